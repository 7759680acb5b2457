//! Roles as manifests: in YAML with a comment above each rule, and as the objects that they are.

use std::io::{self, Write};

use serde_json::{Value, json};
use wa_common::report::printable;

use super::roles::{Reason, Role, Rule, Subject};

const VERSION: &str = "rbac.authorization.k8s.io/v1";
const GROUP: &str = "rbac.authorization.k8s.io";
/// Comments are not wider.
const WIDTH: usize = 80;

/// Writes a role with its comments.
pub(super) fn write_role(out: &mut dyn Write, role: &Role) -> io::Result<()> {
    head(out, kind(role), role)?;
    writeln!(out, "rules:")?;
    for rule in &role.rules {
        for reason in &rule.reasons {
            comment(out, &in_words(reason))?;
        }
        write_rule(out, rule)?;
    }
    Ok(())
}

/// Writes the binding of a role.
pub(super) fn write_binding(
    out: &mut dyn Write,
    role: &Role,
    subjects: &[Subject],
) -> io::Result<()> {
    head(out, &format!("{}Binding", kind(role)), role)?;
    writeln!(out, "roleRef:\n  apiGroup: {GROUP}\n  kind: {}", kind(role))?;
    writeln!(out, "  name: {}\nsubjects:", role.name)?;
    for subject in subjects {
        // JSON is YAML, whatever is in a name.
        writeln!(out, "- {}", serde_json::to_string(subject)?)?;
    }
    Ok(())
}

/// The role and, where it is bound to anybody, its binding as objects.
pub(super) fn objects(role: &Role, subjects: &[Subject]) -> Vec<Value> {
    let mut metadata = json!({"name": role.name});
    if let Some(namespace) = &role.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    let rules: Vec<Value> = role.rules.iter().map(rule_object).collect();
    let kind = kind(role);
    let mut all = vec![json!({
        "apiVersion": VERSION, "kind": kind, "metadata": metadata, "rules": rules,
    })];
    if !subjects.is_empty() {
        all.push(json!({
            "apiVersion": VERSION, "kind": format!("{kind}Binding"), "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": role.name},
            "subjects": subjects,
        }));
    }
    all
}

/// `Role` or `ClusterRole`.
pub(super) fn kind(role: &Role) -> &'static str {
    match role.namespace {
        Some(_) => "Role",
        None => "ClusterRole",
    }
}

fn rule_object(rule: &Rule) -> Value {
    let mut object = json!({
        "apiGroups": [rule.group], "resources": [rule.resource], "verbs": rule.verbs,
    });
    if !rule.names.is_empty() {
        object["resourceNames"] = json!(rule.names);
    }
    object
}

fn head(out: &mut dyn Write, kind: &str, role: &Role) -> io::Result<()> {
    writeln!(out, "---\napiVersion: {VERSION}\nkind: {kind}\nmetadata:")?;
    writeln!(out, "  name: {}", role.name)?;
    match &role.namespace {
        // A namespace may be all digits, which YAML takes for a number.
        Some(namespace) => writeln!(out, "  namespace: {}", serde_json::to_string(namespace)?),
        None => Ok(()),
    }
}

fn write_rule(out: &mut dyn Write, rule: &Rule) -> io::Result<()> {
    let group = if rule.group.is_empty() {
        "\"\""
    } else {
        rule.group
    };
    writeln!(out, "- apiGroups: [{group}]")?;
    writeln!(out, "  resources: [{}]", rule.resource)?;
    if !rule.names.is_empty() {
        writeln!(out, "  resourceNames: [{}]", rule.names.join(", "))?;
    }
    writeln!(out, "  verbs: [{}]", rule.verbs.join(", "))
}

/// Such as `get, create: runs pg_dump in it (create, check; with the live database: diff)`.
fn in_words(reason: &Reason) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (command, when) in &reason.commands {
        match groups.iter_mut().find(|(other, _)| other == when) {
            Some((_, commands)) => commands.push(command),
            None => groups.push((when, vec![command])),
        }
    }
    let group = |(when, commands): &(&str, Vec<&str>)| match *when {
        "" => commands.join(", "),
        when => format!("{}, {when}", commands.join(", ")),
    };
    let groups: Vec<String> = groups.iter().map(group).collect();
    let optional = reason
        .without
        .map(|without| format!("; optional: without it, {without}"));
    format!(
        "{}: {} ({}){}",
        reason.verbs.join(", "),
        reason.why,
        groups.join("; "),
        optional.unwrap_or_default()
    )
}

/// A comment in lines that are not too long.
pub(super) fn comment(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let mut line = String::from("#");
    for word in printable(text).split_whitespace() {
        if line.len() > 1 && line.len() + 1 + word.len() > WIDTH {
            writeln!(out, "{line}")?;
            line = String::from("#  ");
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(out, "{line}")
}
