//! The store database's address and credentials, from the secret the product keeps them in.

use jsonpath_rust::JsonPath as _;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube_transfer::{InvalidSecret, Secret};
use serde_json::Value;

use super::{AssistantError, Instance, names};
use crate::cluster::Cluster;

/// The key of the auth-encryption secret's data.
pub const AUTH_ENCRYPTION_KEY: &str = "authorization_encryption_key";

/// The services of a store secret under this name are the PostgreSQL database; others, such as Redis, may stand
/// before it.
const SERVICE: &str = "$['user-provided'][?@.name == 'pgservice'].credentials";

/// How to reach the store database from inside the cluster.
#[derive(Debug, Clone)]
pub struct Datastore {
    /// The secret this was read from.
    pub secret: String,
    /// Host name of the database service, resolvable in the cluster.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database, `conversation_pprd_<instance>`.
    pub database: String,
    /// The database user.
    pub user: String,
    /// The user's password.
    pub password: Secret,
}

impl Datastore {
    /// The names that the store secret of `instance` may have, newest first.
    pub fn secret_names(instance: &Instance) -> [String; 2] {
        names::store_secrets(&instance.name).map(|(name, _)| name)
    }

    /// Reads the store secret of `instance`, under whichever name this release gives it.
    ///
    /// A role may allow only the one that exists; Kubernetes then answers "forbidden" for the other, not "not found".
    pub async fn read(cluster: &Cluster, instance: &Instance) -> Result<Self, AssistantError> {
        let candidates = names::store_secrets(&instance.name);
        let mut forbidden = None;
        for (name, key) in &candidates {
            match cluster.find::<SecretObject>(name).await {
                Ok(Some(secret)) => {
                    return Self::parse(&secret, key).map_err(|what| {
                        AssistantError::MalformedSecret {
                            secret: name.clone(),
                            namespace: instance.namespace.clone(),
                            what,
                        }
                    });
                }
                Ok(None) => {}
                Err(error) if error.code() == Some(403) => forbidden = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(error) = forbidden {
            return Err(error.into());
        }
        Err(AssistantError::NoStoreSecret {
            instance: instance.name.clone(),
            namespace: instance.namespace.clone(),
            tried: candidates.map(|(name, _)| name).to_vec(),
        })
    }

    /// Everything wrong with a secret is said without its values.
    fn parse(secret: &SecretObject, key: &str) -> Result<Self, String> {
        let data = secret
            .data
            .as_ref()
            .and_then(|data| data.get(key))
            .ok_or_else(|| {
                let keys: Vec<&str> = secret
                    .data
                    .iter()
                    .flat_map(|data| data.keys())
                    .map(String::as_str)
                    .collect();
                format!("it has no key {key:?}, only [{}]", keys.join(", "))
            })?;
        let services: Value = serde_json::from_slice(&data.0).map_err(|error| {
            format!(
                "the value of {key:?} is not JSON (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        let found = services
            .query(SERVICE)
            .map_err(|_| format!("the value of {key:?} has no list \"user-provided\""))?;
        let credentials = *found.first().ok_or_else(|| {
            format!("{key:?} lists no service named \"pgservice\" under \"user-provided\"")
        })?;
        let text = |field: &str| {
            credentials
                .get(field)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| format!("the credentials of \"pgservice\" have no {field:?}"))
        };
        Ok(Self {
            secret: secret.metadata.name.clone().unwrap_or_default(),
            host: text("host")?.to_owned(),
            port: port(credentials.get("port"))?,
            database: text("database")?.to_owned(),
            user: text("username")?.to_owned(),
            password: Secret::new(text("password")?)
                .map_err(|error| format!("the \"password\" of \"pgservice\": {error}"))?,
        })
    }

    /// The PostgreSQL cluster that the host is a service of; `None` where it is one of no cluster that the product makes.
    pub fn postgres_cluster(&self, instance: &Instance) -> Option<String> {
        let service = self.host.split('.').next().unwrap_or_default();
        let is_of = |cluster: &String| {
            let rest = service.strip_prefix(cluster.as_str());
            rest.is_some_and(|rest| matches!(rest, "-rw" | "-r" | "-ro"))
        };
        instance.postgres_clusters().into_iter().find(is_of)
    }

    /// The environment that points PostgreSQL's own programs at this database (libpq's variables).
    pub fn environment(&self) -> Result<Vec<(&'static str, Secret)>, InvalidSecret> {
        Ok(vec![
            ("PGHOST", Secret::new(&*self.host)?),
            ("PGPORT", Secret::new(self.port.to_string())?),
            ("PGDATABASE", Secret::new(&*self.database)?),
            ("PGUSER", Secret::new(&*self.user)?),
            ("PGPASSWORD", self.password.clone()),
            ("PGCONNECT_TIMEOUT", Secret::new("30")?),
            ("PGAPPNAME", Secret::new("kubectl-wa")?),
        ])
    }
}

/// Releases differ in whether the port is a number or a string; absent, it is PostgreSQL's own.
fn port(value: Option<&Value>) -> Result<u16, String> {
    let port = match value {
        None | Some(Value::Null) => Some(5432),
        Some(Value::String(digits)) => digits.parse().ok(),
        Some(number) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    port.ok_or_else(|| "the \"port\" of \"pgservice\" is not a port number".to_owned())
}

impl Instance {
    /// The name of the auth-encryption secret, in releases that have one.
    pub fn auth_encryption_name(&self) -> String {
        names::auth_encryption_secret(&self.name)
    }

    /// The auth-encryption secret, which restored data cannot be read without; `None` in releases that have none.
    pub async fn auth_encryption(
        &self,
        cluster: &Cluster,
    ) -> Result<Option<SecretObject>, AssistantError> {
        let name = self.auth_encryption_name();
        let Some(secret) = cluster.find::<SecretObject>(&name).await? else {
            return Ok(None);
        };
        let has_key = secret
            .data
            .as_ref()
            .is_some_and(|data| data.contains_key(AUTH_ENCRYPTION_KEY));
        if !has_key {
            return Err(AssistantError::MalformedSecret {
                secret: name,
                namespace: self.namespace.clone(),
                what: format!("it has no key {AUTH_ENCRYPTION_KEY:?}"),
            });
        }
        Ok(Some(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::json;

    fn secret(key: &str, value: &str) -> SecretObject {
        SecretObject {
            data: Some([(key.to_owned(), ByteString(value.as_bytes().to_vec()))].into()),
            ..SecretObject::default()
        }
    }

    fn services(credentials: &Value) -> String {
        json!({"user-provided": [
            {"name": "redis", "credentials": {"host": "redis", "password": "r"}},
            {"name": "pgservice", "label": "user-provided", "credentials": credentials},
        ]})
        .to_string()
    }

    #[test]
    fn pgservice_is_found_after_other_services_and_its_password_kept_to_the_letter() {
        let password = r#"a'b"c$d\e f"#;
        for port in [json!(5432), json!("5432")] {
            let text = services(
                &json!({"host": "h", "port": port, "database": "d", "username": "u", "password": password}),
            );
            let datastore =
                Datastore::parse(&secret("vcap_services", &text), "vcap_services").unwrap();
            assert_eq!((datastore.host.as_str(), datastore.port), ("h", 5432));
            assert_eq!(datastore.password.expose(), password);
        }
    }

    #[test]
    fn a_malformed_secret_is_described_without_its_values() {
        let good = json!({"host": "h", "port": 1, "database": "d", "username": "u", "password": "hunter2"});
        let without = |field: &str| {
            let mut credentials = good.clone();
            credentials.as_object_mut().unwrap().remove(field);
            services(&credentials)
        };
        let cases = [
            (secret("other", "{}"), "no key \"key\", only [other]"),
            (secret("key", "{\"hunter2\": "), "not JSON"),
            (secret("key", "{}"), "no service named \"pgservice\""),
            (secret("key", "[]"), "no service named \"pgservice\""),
            (secret("key", &without("password")), "no \"password\""),
            (secret("key", &without("host")), "no \"host\""),
            (
                secret("key", &services(&json!({"host": "h", "port": "hunter2"}))),
                "not a port number",
            ),
        ];
        for (secret, expected) in cases {
            let what = Datastore::parse(&secret, "key").unwrap_err();
            assert!(
                what.contains(expected) && !what.contains("hunter2"),
                "{what}"
            );
        }
    }

    #[test]
    fn the_password_does_not_show_in_debug_output() {
        let text = services(
            &json!({"host": "h", "port": 1, "database": "d", "username": "u", "password": "hunter2"}),
        );
        let datastore = Datastore::parse(&secret("key", &text), "key").unwrap();
        assert!(
            !format!("{datastore:?} {:?}", datastore.environment().unwrap()).contains("hunter2")
        );
    }
}
