//! Rules for names and labels.

use serde_json::Value;

use crate::meta::{Cause, Resource, object};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
    and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an \
    alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, \
    and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
    '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Checks a new object's name and labels.
pub(super) fn check(resource: &Resource, object: &Value) -> Vec<Cause> {
    let name = object::name(object);
    let (valid, rule, longest) = match (resource.group, resource.plural) {
        ("", "services") => (
            is_label(name) && name.starts_with(|first: char| first.is_ascii_lowercase()),
            SERVICE,
            63,
        ),
        ("", "namespaces") => (is_label(name), LABEL, 63),
        _ => (name.split('.').all(is_label), SUBDOMAIN, 253),
    };
    let mut causes = Vec::new();
    if !valid {
        causes.push(Cause::invalid("metadata.name", &name.into(), rule));
    }
    if name.len() > longest {
        let detail = format!("must be no more than {longest} characters");
        causes.push(Cause::invalid("metadata.name", &name.into(), &detail));
    }
    for (_, value) in object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let text = value.as_str().unwrap_or_default();
        if text.len() > 63 || !is_label_value(text) {
            causes.push(Cause::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    causes
}

/// Whether a text is an RFC 1123 label.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

pub(super) const LABEL_RULE: &str = LABEL;

fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().last())
}
