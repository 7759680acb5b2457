//! From YAML to the fields of a kubeconfig, with kubectl's types: a number is no text. Unknown fields are passed over.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{AuthProvider, Cluster, Context, Exec, Impersonate, Kubeconfig, User};

/// The extension of a cluster that credential plugins are told of.
const PLUGIN_CONFIG: &str = "client.authentication.k8s.io/exec";

/// A field that is not what it should be. Its value is not shown: it may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Such as `users[0].user.token`.
    pub(super) field: String,
    pub(super) what: String,
}

/// Reads a whole file.
pub(super) fn kubeconfig(document: &Value) -> Result<Kubeconfig, Mistake> {
    let root = Fields::root(document)?;
    for (field, expected) in [("apiVersion", "v1"), ("kind", "Config")] {
        let given = root.text(field)?;
        if !given.is_empty() && given != expected {
            return Err(root.mistake(
                field,
                format!("{given:?} is not {expected:?}: this is no kubeconfig"),
            ));
        }
    }
    Ok(Kubeconfig {
        current_context: root.text("current-context")?,
        clusters: root.named("clusters", "cluster", cluster)?,
        users: root.named("users", "user", user)?,
        contexts: root.named("contexts", "context", context)?,
    })
}

fn cluster(fields: &Fields<'_>) -> Result<Cluster, Mistake> {
    let mut plugin_config = None;
    for extension in fields.list("extensions")? {
        let extension = Fields::from_value(extension.1, extension.0)?;
        if extension.text("name")? == PLUGIN_CONFIG {
            plugin_config = extension.get("extension").cloned();
        }
    }
    Ok(Cluster {
        server: fields.text("server")?,
        tls_server_name: fields.text("tls-server-name")?,
        insecure_skip_tls_verify: fields.flag("insecure-skip-tls-verify")?,
        certificate_authority: fields.text("certificate-authority")?,
        certificate_authority_data: fields.bytes("certificate-authority-data")?,
        proxy_url: fields.text("proxy-url")?,
        disable_compression: fields.flag("disable-compression")?,
        plugin_config,
    })
}

fn user(fields: &Fields<'_>) -> Result<User, Mistake> {
    let key = fields.bytes("client-key-data")?;
    Ok(User {
        client_certificate: fields.text("client-certificate")?,
        client_certificate_data: fields.bytes("client-certificate-data")?,
        client_key: fields.text("client-key")?,
        client_key_data: match String::from_utf8(key) {
            Ok(pem) => Some(pem)
                .filter(|pem| !pem.is_empty())
                .map(SecretString::from),
            Err(_) => {
                return Err(fields.mistake("client-key-data", "it is no key in PEM".to_owned()));
            }
        },
        token: fields.secret("token")?,
        token_file: fields.text("tokenFile")?,
        username: fields.text("username")?,
        password: fields.secret("password")?,
        impersonate: Impersonate {
            user: fields.text("as")?,
            uid: fields.text("as-uid")?,
            groups: fields.texts("as-groups")?,
            extra: match fields.object("as-user-extra")? {
                None => BTreeMap::new(),
                Some(extra) => extra
                    .names()
                    .map(|name| Ok((name.clone(), extra.texts(name)?)))
                    .collect::<Result<_, _>>()?,
            },
        },
        auth_provider: fields
            .object("auth-provider")?
            .as_ref()
            .map(auth_provider)
            .transpose()?,
        exec: fields.object("exec")?.as_ref().map(exec).transpose()?,
    })
}

fn auth_provider(fields: &Fields<'_>) -> Result<AuthProvider, Mistake> {
    let mut config = BTreeMap::new();
    if let Some(given) = fields.object("config")? {
        for name in given.names() {
            config.insert(name.clone(), given.text(name)?.into());
        }
    }
    Ok(AuthProvider {
        name: fields.text("name")?,
        config,
    })
}

fn exec(fields: &Fields<'_>) -> Result<Exec, Mistake> {
    let mut env = Vec::new();
    for (field, variable) in fields.list("env")? {
        let variable = Fields::from_value(variable, field)?;
        env.push((variable.text("name")?, variable.text("value")?.into()));
    }
    Ok(Exec {
        command: fields.text("command")?,
        args: fields.texts("args")?,
        env,
        api_version: fields.text("apiVersion")?,
        install_hint: fields.text("installHint")?,
        provide_cluster_info: fields.flag("provideClusterInfo")?,
        interactive_mode: fields.text("interactiveMode")?,
    })
}

fn context(fields: &Fields<'_>) -> Result<Context, Mistake> {
    Ok(Context {
        cluster: fields.text("cluster")?,
        user: fields.text("user")?,
        namespace: fields.text("namespace")?,
    })
}

/// An object and where it is. What is `null` is as if it were not there.
struct Fields<'a> {
    place: String,
    /// `None` for `null`.
    fields: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    fn root(document: &'a Value) -> Result<Self, Mistake> {
        Self::from_value(document, String::new())
    }

    fn from_value(value: &'a Value, place: String) -> Result<Self, Mistake> {
        let fields = match value {
            Value::Object(fields) => Some(fields),
            Value::Null => None,
            other => return Err(wrong_type(place, "an object", other)),
        };
        Ok(Self { place, fields })
    }

    fn names(&self) -> impl Iterator<Item = &'a String> {
        self.fields.into_iter().flat_map(Map::keys)
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
        self.fields?.get(field).filter(|value| !value.is_null())
    }

    fn path(&self, field: &str) -> String {
        if self.place.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.place)
        }
    }

    fn mistake(&self, field: &str, what: String) -> Mistake {
        Mistake {
            field: self.path(field),
            what,
        }
    }

    fn text(&self, field: &str) -> Result<String, Mistake> {
        match self.get(field) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(wrong_type(self.path(field), "text", other)),
        }
    }

    fn secret(&self, field: &str) -> Result<Option<SecretString>, Mistake> {
        let text = self.text(field)?;
        Ok((!text.is_empty()).then(|| text.into()))
    }

    fn flag(&self, field: &str) -> Result<bool, Mistake> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            // Go's library speaks YAML 1.1.
            Some(Value::String(word)) if is_word(word, &["y", "yes", "on"]) => Ok(true),
            Some(Value::String(word)) if is_word(word, &["n", "no", "off"]) => Ok(false),
            Some(other) => Err(wrong_type(self.path(field), "true or false", other)),
        }
    }

    /// Base64. kubeconfigs that were put together by hand have white space in it.
    fn bytes(&self, field: &str) -> Result<Vec<u8>, Mistake> {
        let mut text = self.text(field)?;
        text.retain(|letter| !letter.is_ascii_whitespace());
        STANDARD
            .decode(text)
            .map_err(|_| self.mistake(field, "it is not base64".to_owned()))
    }

    fn object(&self, field: &str) -> Result<Option<Fields<'a>>, Mistake> {
        self.get(field)
            .map(|value| Fields::from_value(value, self.path(field)))
            .transpose()
    }

    /// The elements of a list, each with its place.
    fn list(&self, field: &str) -> Result<Vec<(String, &'a Value)>, Mistake> {
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(elements)) => {
                let place = |at| format!("{}[{at}]", self.path(field));
                Ok(elements
                    .iter()
                    .enumerate()
                    .map(|(at, element)| (place(at), element))
                    .collect())
            }
            Some(other) => Err(wrong_type(self.path(field), "a list", other)),
        }
    }

    fn texts(&self, field: &str) -> Result<Vec<String>, Mistake> {
        let texts = self
            .list(field)?
            .into_iter()
            .map(|(place, element)| match element {
                Value::String(text) => Ok(text.clone()),
                Value::Null => Ok(String::new()),
                other => Err(wrong_type(place, "text", other)),
            });
        texts.collect()
    }

    /// A list of entries with a name each; two of one name are refused.
    fn named<T>(
        &self,
        list: &str,
        content: &str,
        read: impl Fn(&Fields<'_>) -> Result<T, Mistake>,
    ) -> Result<BTreeMap<String, T>, Mistake> {
        let mut entries = BTreeMap::new();
        for (place, entry) in self.list(list)? {
            let entry = Fields::from_value(entry, place)?;
            let name = entry.text("name")?;
            let empty = Fields {
                place: entry.path(content),
                fields: None,
            };
            let value = read(&entry.object(content)?.unwrap_or(empty))?;
            if entries.contains_key(&name) {
                return Err(entry.mistake(
                    "name",
                    format!("there is another entry named {name:?}; remove one of them"),
                ));
            }
            entries.insert(name, value);
        }
        Ok(entries)
    }
}

fn is_word(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| one.eq_ignore_ascii_case(word))
}

fn wrong_type(field: String, expected: &str, found: &Value) -> Mistake {
    let found = match found {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value (put it in quotes if it is text)",
        Value::Number(_) => "a number (put it in quotes if it is text)",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let field = if field.is_empty() {
        "the file".to_owned()
    } else {
        field
    };
    Mistake {
        field,
        what: format!("it should be {expected} and is {found}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mistake(document: &Value) -> String {
        let Mistake { field, what } = kubeconfig(document).unwrap_err();
        format!("{field}: {what}")
    }

    #[test]
    fn a_mistake_names_the_field_and_not_its_value() {
        let token = json!({"users": [{"name": "u", "user": {"token": 4711}}]});
        assert_eq!(
            mistake(&token),
            "users[0].user.token: it should be text and is a number (put it in quotes if it is text)"
        );
        let data = json!({"clusters": [{}, {"name": "k", "cluster": {"certificate-authority-data": "%hunter2"}}]});
        assert_eq!(
            mistake(&data),
            "clusters[1].cluster.certificate-authority-data: it is not base64"
        );
        let twice = json!({"clusters": [{"name": "k"}, {"name": "k"}]});
        assert!(
            mistake(&twice).starts_with("clusters[1].name: there is another entry named \"k\"")
        );
        assert!(mistake(&json!({"kind": "Pod"})).starts_with("kind: \"Pod\" is not \"Config\""));
        assert_eq!(
            mistake(&json!(["a"])),
            "the file: it should be an object and is a list"
        );
    }

    #[test]
    fn what_is_null_or_unknown_is_as_if_it_were_not_there() {
        let document = json!({
            "users": null, "contexts": [null], "preferences": null, "new": {"a": 1},
            "clusters": [{"name": "k", "cluster": {"server": null, "Server": "x", "new": []}}],
        });
        let read = kubeconfig(&document).unwrap();
        assert_eq!(read.clusters["k"], Cluster::default());
        assert!(read.users.is_empty() && read.contexts.contains_key(""));
    }

    #[test]
    fn the_truth_values_of_yaml_1_1_are_understood() {
        for (word, expected) in [("yes", true), ("On", true), ("off", false), ("n", false)] {
            let document =
                json!({"clusters": [{"name": "k", "cluster": {"insecure-skip-tls-verify": word}}]});
            assert_eq!(
                kubeconfig(&document).unwrap().clusters["k"].insecure_skip_tls_verify,
                expected
            );
        }
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        let document = json!({"clusters": [{"name": "k", "cluster": {"certificate-authority-data": "aGVs\r\n  bG8=\n"}}]});
        assert_eq!(
            kubeconfig(&document).unwrap().clusters["k"].certificate_authority_data,
            b"hello"
        );
    }
}
