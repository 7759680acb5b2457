//! Environment and command line of a container: values, references to secrets and config maps, `$(NAME)`.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::{
    image::Image,
    registration::Machine,
    spec::{
        ContainerSpec, EnvironmentSource, EnvironmentVariable, FieldReference, KeyReference, Pod,
    },
};
use crate::meta::{Resource, Status, resources};
use crate::store::Store;

/// Why a container cannot be made from its manifest; the kubelet's `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("{0}")]
    Missing(#[from] Status),
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey {
        key: String,
        kind: &'static str,
        namespace: String,
        name: String,
    },
    #[error("field {0:?} is none that a container can be given")]
    UnknownField(String),
}

/// The environment of a container: the image's, then what the manifest says, later entries winning.
pub(super) fn environment(
    store: &Store,
    (pod, machine): (&Pod, &Machine),
    pod_ip: &str,
    container: &ContainerSpec,
    image: &Image,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut environment = Environment(image.environment.clone());
    environment.set("HOSTNAME", pod.hostname().to_owned());
    let source = Source {
        store,
        pod,
        machine,
        pod_ip,
    };
    for from in &container.env_from {
        for (name, value) in source.all(from)? {
            environment.set(&format!("{}{name}", from.prefix), value);
        }
    }
    for variable in &container.env {
        if let Some(value) = source.value(variable, &environment)? {
            environment.set(&variable.name, value);
        }
    }
    Ok(environment.0)
}

/// The container's command line, `$(NAME)` replaced.
pub(super) fn command_line(
    container: &ContainerSpec,
    image: &Image,
    environment: &[(String, String)],
) -> Vec<String> {
    if container.command.is_empty() && container.args.is_empty() {
        return image.default_command.clone();
    }
    let lookup = |name: &str| find(environment, name);
    container
        .command
        .iter()
        .chain(&container.args)
        .map(|word| expand(word, lookup))
        .collect()
}

struct Environment(Vec<(String, String)>);

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

fn find<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment
        .iter()
        .find_map(|(known, value)| (known == name).then_some(value.as_str()))
}

struct Source<'a> {
    store: &'a Store,
    pod: &'a Pod,
    machine: &'a Machine,
    pod_ip: &'a str,
}

impl Source<'_> {
    fn value(
        &self,
        variable: &EnvironmentVariable,
        known: &Environment,
    ) -> Result<Option<String>, ConfigError> {
        if let Some(value) = &variable.value {
            return Ok(Some(expand(value, |name| find(&known.0, name))));
        }
        let Some(from) = &variable.value_from else {
            return Ok(Some(String::new()));
        };
        if let Some(reference) = &from.secret_key_ref {
            return self.key(&resources::SECRETS, reference);
        }
        if let Some(reference) = &from.config_map_key_ref {
            return self.key(&resources::CONFIG_MAPS, reference);
        }
        from.field_ref
            .as_ref()
            .map(|field| self.field(field))
            .transpose()
    }

    fn key(
        &self,
        resource: &'static Resource,
        reference: &KeyReference,
    ) -> Result<Option<String>, ConfigError> {
        let namespace = &self.pod.metadata.namespace;
        let object = match self.store.get(resource, namespace, &reference.name) {
            Ok(object) => object,
            Err(missing) if reference.optional => {
                tracing::debug!(%missing, "an optional reference");
                return Ok(None);
            }
            Err(missing) => return Err(missing.into()),
        };
        match content(resource, &object).remove(&reference.key) {
            Some(value) => Ok(Some(value)),
            None if reference.optional => Ok(None),
            None => Err(ConfigError::NoKey {
                key: reference.key.clone(),
                kind: resource.kind,
                namespace: namespace.clone(),
                name: reference.name.clone(),
            }),
        }
    }

    fn all(&self, from: &EnvironmentSource) -> Result<Vec<(String, String)>, ConfigError> {
        let (resource, reference) = match (&from.secret_ref, &from.config_map_ref) {
            (Some(reference), _) => (&resources::SECRETS, reference),
            (None, Some(reference)) => (&resources::CONFIG_MAPS, reference),
            (None, None) => return Ok(Vec::new()),
        };
        match self
            .store
            .get(resource, &self.pod.metadata.namespace, &reference.name)
        {
            Ok(object) => Ok(content(resource, &object).into_iter().collect()),
            Err(_) if reference.optional => Ok(Vec::new()),
            Err(missing) => Err(missing.into()),
        }
    }

    fn field(&self, field: &FieldReference) -> Result<String, ConfigError> {
        let metadata = &self.pod.metadata;
        let path = field.field_path.as_str();
        let entry = |path: &str, prefix: &str| {
            let name = path.strip_prefix(prefix)?.strip_suffix("']")?;
            Some(name.to_owned())
        };
        if let Some(label) = entry(path, "metadata.labels['") {
            return Ok(metadata.labels.get(&label).cloned().unwrap_or_default());
        }
        if let Some(annotation) = entry(path, "metadata.annotations['") {
            return Ok(metadata
                .annotations
                .get(&annotation)
                .cloned()
                .unwrap_or_default());
        }
        let value = match path {
            "metadata.name" => &metadata.name,
            "metadata.namespace" => &metadata.namespace,
            "metadata.uid" => &metadata.uid,
            "spec.nodeName" => self.machine.name,
            "spec.serviceAccountName" => self
                .pod
                .spec
                .service_account_name
                .as_deref()
                .unwrap_or("default"),
            "status.podIP" | "status.podIPs" => self.pod_ip,
            "status.hostIP" => self.machine.address,
            _ => return Err(ConfigError::UnknownField(path.to_owned())),
        };
        Ok(value.to_owned())
    }
}

/// The text values of a secret or config map.
fn content(resource: &Resource, object: &Value) -> std::collections::BTreeMap<String, String> {
    let none = Map::new();
    let data = object["data"].as_object().unwrap_or(&none);
    let decode = |value: &str| {
        if resource.kind == resources::SECRETS.kind {
            let bytes = BASE64_STANDARD.decode(value).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        } else {
            value.to_owned()
        }
    };
    data.iter()
        .filter_map(|(key, value)| Some((key.clone(), decode(value.as_str()?))))
        .collect()
}

/// Replaces `$(NAME)` by the variable's value; an unknown one stays, `$$` is a plain `$`.
fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            match lookup(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::{ContainerSpec, Image, command_line, expand};

    #[test]
    fn references_are_replaced_and_everything_else_stays() {
        let lookup = |name: &str| (name == "HOST").then_some("db");
        for (text, expanded) in [
            ("psql -h $(HOST)", "psql -h db"),
            ("$(UNKNOWN) $HOST ${HOST}", "$(UNKNOWN) $HOST ${HOST}"),
            ("$$(HOST) costs $$5", "$(HOST) costs $5"),
            ("$(HOST", "$(HOST"),
            ("ends with $", "ends with $"),
        ] {
            assert_eq!(expand(text, lookup), expanded, "{text}");
        }
    }

    #[test]
    fn arguments_alone_are_the_command() {
        let image = Image::of_this_machine("local/host:1");
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        for (command, args, runs) in [
            (&[][..], &[][..], &["sleep", "infinity"][..]),
            (&[], &["sleep", "100"], &["sleep", "100"]),
            (&["sleep"], &[], &["sleep"]),
            (&["sleep"], &["100"], &["sleep", "100"]),
        ] {
            let container = ContainerSpec {
                command: words(command),
                args: words(args),
                ..ContainerSpec::default()
            };
            assert_eq!(command_line(&container, &image, &[]), words(runs));
        }
    }
}
