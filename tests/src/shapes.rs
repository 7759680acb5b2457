//! What docs/output.md says of the output for programs, and whether real output is like that.

use std::collections::BTreeMap;

use serde_json::Value;

/// The documentation, read: tables of fields by their headings.
pub struct Shapes(BTreeMap<String, Vec<Field>>);

/// A row of a table.
#[derive(Debug, Clone)]
struct Field {
    /// Such as `files[].name`; `…` at the end stands for all fields of the shape that is its type.
    path: String,
    /// Such as `list of Table or null`.
    kind: String,
    optional: bool,
}

impl Shapes {
    /// Reads the documentation.
    pub fn documented() -> Self {
        let text = include_str!("../../docs/output.md");
        let mut sections: BTreeMap<String, Vec<Field>> = BTreeMap::new();
        let mut heading = String::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
                title.clone_into(&mut heading);
                sections.entry(heading.clone()).or_default();
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            if let ["", path, kind, ..] = cells.as_slice()
                && let Some(path) = path
                    .strip_prefix('`')
                    .and_then(|path| path.strip_suffix('`'))
            {
                let required = kind.strip_prefix("optional ");
                let field = Field {
                    path: path.to_owned(),
                    kind: required.unwrap_or(kind).to_owned(),
                    optional: required.is_some(),
                };
                sections.entry(heading.clone()).or_default().push(field);
            }
        }
        Self(sections)
    }

    /// Whether there is a section of that name.
    pub fn has(&self, heading: &str) -> bool {
        self.0.contains_key(heading)
    }

    /// What is otherwise than the section says: one line for each field.
    pub fn problems(&self, heading: &str, output: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        match self.0.get(heading) {
            None => problems.push(format!("there is no section {heading:?}")),
            Some(fields) => self.object(fields, output, heading, &mut problems),
        }
        problems
    }

    fn object(&self, fields: &[Field], value: &Value, at: &str, problems: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            problems.push(format!("{at} is no object"));
            return;
        };
        let fields = self.flat(fields);
        let own = |path: &str| !path.contains('.');
        for field in fields.iter().filter(|field| own(&field.path)) {
            match object.get(&field.path) {
                None if field.optional => {}
                None => problems.push(format!("{at} has no {}", field.path)),
                Some(value) => {
                    let at = format!("{at}: {}", field.path);
                    let below = |prefix: &str| -> Vec<Field> {
                        let prefix = format!("{}{prefix}.", field.path);
                        let below = fields.iter().filter_map(|one| {
                            let path = one.path.strip_prefix(&prefix)?.to_owned();
                            Some(Field {
                                path,
                                ..one.clone()
                            })
                        });
                        below.collect()
                    };
                    self.value(
                        &field.kind,
                        (&below(""), &below("[]")),
                        value,
                        &at,
                        problems,
                    );
                }
            }
        }
        for name in object.keys() {
            if !fields.iter().any(|field| field.path == *name) {
                problems.push(format!("{at} has {name}, which is not documented"));
            }
        }
    }

    /// The fields with those of the shapes that `…` stands for.
    fn flat(&self, fields: &[Field]) -> Vec<Field> {
        let mut flat = Vec::new();
        for field in fields {
            match field.path.as_str() {
                "…" => flat.extend(self.flat(self.shape(&field.kind))),
                _ => flat.push(field.clone()),
            }
        }
        flat
    }

    fn shape(&self, name: &str) -> &[Field] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// `below` are the fields of an object, and of the objects of a list.
    fn value(
        &self,
        kind: &str,
        below: (&[Field], &[Field]),
        value: &Value,
        at: &str,
        problems: &mut Vec<String>,
    ) {
        if let Some(kind) = kind.strip_suffix(" or null") {
            if !value.is_null() {
                self.value(kind, below, value, at, problems);
            }
            return;
        }
        if let Some(items) = kind.strip_prefix("list of ") {
            let Some(list) = value.as_array() else {
                problems.push(format!("{at} is no list"));
                return;
            };
            for item in list {
                self.value(items, (below.1, &[]), item, at, problems);
            }
            return;
        }
        let fits = match kind {
            "string" => value.is_string(),
            "time" => value.as_str().is_some_and(is_time),
            "integer" => value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "any" => true,
            "object" => {
                self.object(below.0, value, at, problems);
                true
            }
            shape if self.has(shape) => {
                self.object(self.shape(shape), value, at, problems);
                true
            }
            unknown => {
                problems.push(format!("{at}: {unknown:?} is no type"));
                true
            }
        };
        if !fits {
            problems.push(format!("{at} is no {kind}: {value}"));
        }
    }
}

/// Such as `2026-11-27T02:00:00Z`, with parts of a second or none.
fn is_time(text: &str) -> bool {
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    shape.starts_with("0000-00-00T00:00:00") && text.ends_with('Z')
}
