//! Label and field selectors.

use std::str::FromStr;

use serde_json::Value;

use crate::meta::{Resource, Status};

/// Conditions on an object's labels; all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|Requirement { key, test }| {
            let label = labels.get(key).and_then(Value::as_str);
            let number = || label.and_then(|label| label.parse::<i64>().ok());
            match test {
                Test::In(values) => {
                    label.is_some_and(|label| values.iter().any(|value| value == label))
                }
                Test::NotIn(values) => {
                    label.is_none_or(|label| values.iter().all(|value| value != label))
                }
                Test::Exists => label.is_some(),
                Test::DoesNotExist => label.is_none(),
                Test::Greater(than) => number().is_some_and(|number| number > *than),
                Test::Less(than) => number().is_some_and(|number| number < *than),
            }
        })
    }
}

impl FromStr for LabelSelector {
    type Err = Status;

    fn from_str(text: &str) -> Result<Self, Status> {
        let mut tokens = Tokens(text);
        let mut requirements = Vec::new();
        let unparsable = |problem: String| {
            Status::bad_request(format!("unable to parse requirement: {problem}"))
        };
        while tokens.peek() != Token::End {
            requirements.push(tokens.requirement().map_err(unparsable)?);
            match tokens.next() {
                Token::End => break,
                Token::Symbol(",") if tokens.peek() != Token::End => {}
                Token::Symbol(",") => {
                    return Err(unparsable(
                        "found '', expected: identifier after ','".to_owned(),
                    ));
                }
                other => {
                    return Err(unparsable(format!(
                        "found '{other}', expected: ',' or 'end of string'"
                    )));
                }
            }
        }
        Ok(Self(requirements))
    }
}

struct Tokens<'a>(&'a str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Symbol(&'a str),
    Word(&'a str),
    End,
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Symbol(text) | Self::Word(text) => f.write_str(text),
            Self::End => Ok(()),
        }
    }
}

impl<'a> Tokens<'a> {
    fn peek(&self) -> Token<'a> {
        Tokens(self.0).next()
    }

    fn next(&mut self) -> Token<'a> {
        let text = self.0.trim_start();
        let symbol = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"]
            .iter()
            .find(|symbol| text.starts_with(*symbol));
        let length = match symbol {
            Some(symbol) => symbol.len(),
            None => text
                .find(|c: char| c.is_whitespace() || "=!,()<>".contains(c))
                .unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(length);
        self.0 = rest;
        match symbol {
            Some(_) => Token::Symbol(token),
            None if token.is_empty() => Token::End,
            None => Token::Word(token),
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == Token::Symbol("!") {
            self.next();
            return Ok(Requirement {
                key: self.word()?,
                test: Test::DoesNotExist,
            });
        }
        let key = self.word()?;
        let test = match self.peek() {
            Token::End | Token::Symbol(",") => Test::Exists,
            _ => match self.next() {
                Token::Symbol("=" | "==") => Test::In(vec![self.value()?]),
                Token::Symbol("!=") => Test::NotIn(vec![self.value()?]),
                Token::Symbol(">") => Test::Greater(self.number()?),
                Token::Symbol("<") => Test::Less(self.number()?),
                Token::Word("in") => Test::In(self.values()?),
                Token::Word("notin") => Test::NotIn(self.values()?),
                other => {
                    return Err(format!(
                        "found '{other}', expected: in, notin, =, ==, !=, gt, lt"
                    ));
                }
            },
        };
        Ok(Requirement { key, test })
    }

    fn word(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Word(word) => Ok(word.to_owned()),
            other => Err(format!("found '{other}', expected: identifier")),
        }
    }

    /// A value may be empty.
    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            _ => self.word(),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word()?;
        word.parse().map_err(|_| format!("values[0]: Invalid value: {word:?}: for 'Gt', 'Lt' operators, the value must be an integer"))
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Symbol("(") => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        let mut values = Vec::new();
        loop {
            values.push(self.word()?);
            match self.next() {
                Token::Symbol(",") => {}
                Token::Symbol(")") => return Ok(values),
                other => return Err(format!("found '{other}', expected: ',' or ')'")),
            }
        }
    }
}

/// Conditions on the few fields a kind can be selected by; all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSelector(Vec<FieldTerm>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    field: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    pub(super) fn parse(resource: &Resource, text: &str) -> Result<Self, Status> {
        let terms = text.split(',').filter(|term| !term.is_empty()).map(|term| {
            let (field, value, equal) = if let Some((field, value)) = term.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) =
                term.split_once("==").or_else(|| term.split_once('='))
            {
                (field, value, true)
            } else {
                return Err(Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            check_field(resource, field)?;
            Ok(FieldTerm {
                field: field.to_owned(),
                value: value.to_owned(),
                equal,
            })
        });
        terms.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|term| (field_value(object, &term.field) == term.value) == term.equal)
    }
}

fn check_field(resource: &Resource, field: &str) -> Result<(), Status> {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return Ok(());
    }
    let more: &[&str] = match (resource.group, resource.plural) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "secrets") => &["type"],
        ("", "namespaces") => &["status.phase"],
        ("", "nodes") => &["spec.unschedulable"],
        ("apps", "replicasets") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        _ => &[],
    };
    if more.contains(&field) {
        return Ok(());
    }
    let message = if more.is_empty() && !resource.custom {
        format!(
            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    } else {
        format!("field label not supported: {field}")
    };
    Err(Status::bad_request(message))
}

fn field_value(object: &Value, field: &str) -> String {
    let field = match field {
        "source" => "source.component",
        "status.successful" => "status.succeeded",
        other => other,
    };
    let value = field
        .split('.')
        .try_fold(object, |value, key| value.get(key));
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => match field {
            "spec.hostNetwork" | "spec.unschedulable" => "false".to_owned(),
            "status.succeeded" | "status.replicas" => "0".to_owned(),
            _ => String::new(),
        },
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_mean_what_kubernetes_says() {
        let object =
            json!({ "metadata": { "labels": { "app": "web", "size": "7", "empty": "" } } });
        for (selector, matches) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=web", true),
            ("app == web,size", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("other notin (db)", true),
            ("size>6,size<8", true),
            ("size>7", false),
            ("empty=", true),
            ("in", false),
        ] {
            assert_eq!(
                selector.parse::<LabelSelector>().unwrap().matches(&object),
                matches,
                "{selector:?}"
            );
        }
    }

    #[test]
    fn broken_label_selectors_are_refused() {
        for selector in ["a===b", "a in", "a in (b", "=b", "a b", "a,", "a>b", "(a)"] {
            let refused = selector.parse::<LabelSelector>().unwrap_err();
            assert_eq!(refused.code, 400, "{selector:?}");
            assert!(
                refused.message.starts_with("unable to parse requirement: "),
                "{refused}"
            );
        }
    }
}
