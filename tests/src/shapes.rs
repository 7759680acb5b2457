//! What docs/output.md says of the output for programs, and whether real output is like that.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Outcome;

/// The documentation, read: tables of fields by their headings.
pub struct Shapes {
    sections: BTreeMap<String, Vec<Field>>,
    /// Commands whose section says no more than that they print what another one does.
    aliases: BTreeMap<String, String>,
}

/// A row of a table.
#[derive(Debug, Clone)]
struct Field {
    /// Such as `files[].name`; `…` at the end stands for all fields of the shape that is its type, and `*` for a field of any
    /// name. What begins with `[].` is of the items of a list that is the whole document.
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
        let mut aliases = BTreeMap::new();
        let mut heading = String::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ").or(line.strip_prefix("### ")) {
                title.clone_into(&mut heading);
                sections.entry(heading.clone()).or_default();
            }
            // Such as `run`, of the same plugin.
            let other = line
                .strip_prefix("As `")
                .and_then(|rest| rest.strip_suffix("`."));
            if let (Some(other), Some(plugin)) = (other, heading.split(' ').nth(1)) {
                aliases.insert(heading.clone(), format!("kubectl {plugin} {other}"));
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
        Self { sections, aliases }
    }

    /// The commands whose output is documented, as their headings call them.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let documented = |heading: &&String| {
            heading.starts_with("kubectl ")
                && (self.aliases.contains_key(*heading) || !self.sections[*heading].is_empty())
        };
        self.sections.keys().filter(documented).map(String::as_str)
    }

    /// Whether there is a section of that name.
    pub fn has(&self, heading: &str) -> bool {
        self.sections.contains_key(heading)
    }

    /// What is otherwise than the section says: one line for each field.
    pub fn problems(&self, heading: &str, output: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        let heading = self.aliases.get(heading).map_or(heading, String::as_str);
        match self.sections.get(heading).map(Vec::as_slice) {
            None | Some([]) => problems.push(format!("there is no shape in a section {heading:?}")),
            Some(fields) => {
                let items = below(fields, "[].");
                if items.is_empty() {
                    self.object(fields, output, heading, &mut problems);
                } else {
                    let below = (&[][..], &items[..]);
                    self.value("list of object", below, output, heading, &mut problems);
                }
            }
        }
        problems
    }

    fn object(&self, fields: &[Field], value: &Value, at: &str, problems: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            problems.push(format!("{at} is no object"));
            return;
        };
        let fields = self.flat(fields);
        let own = |path: &str| !path.contains('.') && path != "*";
        for field in fields.iter().filter(|field| own(&field.path)) {
            match object.get(&field.path) {
                None if field.optional => {}
                None => problems.push(format!("{at} has no {}", field.path)),
                Some(value) => {
                    let at = format!("{at}: {}", field.path);
                    let fields_below =
                        |between| below(&fields, &format!("{}{between}", field.path));
                    let below = (&fields_below(".")[..], &fields_below("[].")[..]);
                    self.value(&field.kind, below, value, &at, problems);
                }
            }
        }
        let any = fields.iter().find(|field| field.path == "*");
        for (name, value) in object {
            if fields.iter().any(|field| field.path == *name) {
                continue;
            }
            match any {
                Some(any) => {
                    let at = format!("{at}: {name}");
                    self.value(&any.kind, (&[], &[]), value, &at, problems);
                }
                None => problems.push(format!("{at} has {name}, which is not documented")),
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
        self.sections
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default()
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

/// The fields whose path begins so, with the rest of it.
fn below(fields: &[Field], prefix: &str) -> Vec<Field> {
    let below = fields.iter().filter_map(|field| {
        let path = field.path.strip_prefix(prefix)?.to_owned();
        Some(Field {
            path,
            ..field.clone()
        })
    });
    below.collect()
}

impl Outcome {
    /// The same, if standard output is JSON as the section of the documentation says.
    #[track_caller]
    pub fn expect_shape(self, heading: &str) -> Self {
        let problems = Shapes::documented().problems(heading, &self.json());
        assert_eq!(problems, [""; 0], "{}", self.stdout);
        self
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
