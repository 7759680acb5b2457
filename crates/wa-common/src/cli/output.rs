//! Results on standard output, in the format asked for with `-o`.

use std::borrow::Cow;
use std::io::{self, Write};
use std::str::FromStr;

use anyhow::Context as _;
use jsonpath_rust::JsonPath as _;
use serde::Serialize;
use serde_json::Value;

use crate::report::Styles;

/// The format of a result, `-o/--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputFormat {
    /// Lines and tables for a person.
    Human,
    /// As [`OutputFormat::Human`], with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
    /// Only the names of what the result is about, one a line.
    Name,
    /// Comma-separated values, of what has rows alone: see [`Plugin::prints_rows`](super::Plugin::prints_rows).
    Csv,
    /// kubectl's JSONPath template over the JSON document: text with `{.path}` in it.
    JsonPath(JsonPathTemplate),
}

impl OutputFormat {
    /// Whether a program reads the output, so that what is reported on the way should be JSON too.
    pub fn is_structured(&self) -> bool {
        matches!(self, Self::Json | Self::Yaml | Self::JsonPath(_))
    }
}

impl FromStr for OutputFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" | "table" => Ok(Self::Human),
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            "csv" => Ok(Self::Csv),
            _ => match text.strip_prefix("jsonpath=") {
                Some(template) => Ok(Self::JsonPath(template.parse()?)),
                None => {
                    Err("expected human, wide, json, yaml, name or jsonpath=TEMPLATE".to_owned())
                }
            },
        }
    }
}

/// A result that can be shown in every [`OutputFormat`].
pub trait Render: Serialize {
    /// Writes the human form; `wide` asks for more columns.
    fn human(&self, out: &mut dyn Write, styles: &Styles, wide: bool) -> io::Result<()>;

    /// Whether the human form is text, whose lines may be broken between words where a terminal is too narrow for them:
    /// not what is to be copied as it is.
    fn wraps(&self) -> bool {
        true
    }

    /// What `-o name` prints, one a line.
    fn names(&self) -> Vec<String>;

    /// Writes this result in `format`. `shown` says how the bare values of formats for programs are written, which a
    /// terminal should get otherwise than a program.
    fn render(
        &self,
        out: &mut dyn Write,
        format: &OutputFormat,
        styles: &Styles,
        shown: Shown,
    ) -> anyhow::Result<()>
    where
        Self: Sized,
    {
        match format {
            OutputFormat::Human | OutputFormat::Wide => {
                let is_wide = *format == OutputFormat::Wide;
                if self.wraps() {
                    let mut lines = Wrapped::new(out, styles);
                    self.human(&mut lines, styles, is_wide)?;
                    lines.finish()?;
                } else {
                    self.human(out, styles, is_wide)?;
                }
            }
            // Only what prints rows gets so far with it.
            OutputFormat::Csv => anyhow::bail!("this result has no rows to be written as CSV"),
            OutputFormat::Name => {
                for name in self.names() {
                    writeln!(out, "{}", shown(&name))?;
                }
            }
            OutputFormat::Json => {
                serde_json::to_writer_pretty(&mut *out, self)?;
                writeln!(out)?;
            }
            OutputFormat::Yaml => {
                let yaml =
                    serde_saphyr::to_string(self).context("cannot write the result as YAML")?;
                writeln!(out, "{}", yaml.trim_end())?;
            }
            OutputFormat::JsonPath(template) => {
                let text = template.apply(&serde_json::to_value(self)?, shown)?;
                writeln!(out, "{text}")?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// Writes lines on, each broken between words where the terminal is too narrow for it.
struct Wrapped<'a> {
    out: &'a mut dyn Write,
    styles: &'a Styles,
    /// The line that has not ended.
    line: Vec<u8>,
}

impl<'a> Wrapped<'a> {
    fn new(out: &'a mut dyn Write, styles: &'a Styles) -> Self {
        Self {
            out,
            styles,
            line: Vec::new(),
        }
    }

    /// Writes what stands after the end of the last line.
    fn finish(mut self) -> io::Result<()> {
        self.write_line()
    }

    fn write_line(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let Ok(text) = str::from_utf8(&line) else {
            return self.out.write_all(&line);
        };
        let lines = self.styles.wrapped(text, 0);
        self.out.write_all(lines.join("\n").as_bytes())
    }
}

impl Write for Wrapped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        self.line.extend(lines.next().unwrap_or_default());
        for line in lines {
            self.write_line()?;
            self.out.write_all(b"\n")?;
            self.line.extend(line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How a value is written: as it is, or made harmless.
pub type Shown = fn(&str) -> Cow<'_, str>;

/// For a program.
pub(super) fn as_it_is(value: &str) -> Cow<'_, str> {
    Cow::Borrowed(value)
}

/// A parsed `jsonpath=` template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPathTemplate(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Path(String),
}

impl FromStr for JsonPathTemplate {
    type Err = String;

    fn from_str(template: &str) -> Result<Self, Self::Err> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once('{') {
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            let (expression, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{template}` has a `{{` without `}}`"))?;
            pieces.push(expression.trim().parse()?);
            rest = after;
        }
        if pieces.is_empty() {
            // kubectl accepts a bare path: jsonpath=.files[0].name
            pieces.push(rest.parse()?);
        } else if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }
}

impl FromStr for Piece {
    type Err = String;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        if let Some(quoted) = expression
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
        {
            return Ok(Self::Text(quoted.replace("\\n", "\n").replace("\\t", "\t")));
        }
        if expression.starts_with("range") || expression == "end" {
            return Err(
                "`range` is not supported in templates: use -o json with jq, or a path with [*]"
                    .to_owned(),
            );
        }
        let path = expression.trim_start_matches('$');
        let path = if path.is_empty() || path.starts_with(['.', '[']) {
            format!("${path}")
        } else {
            format!("$.{path}")
        };
        jsonpath_rust::parser::parse_json_path(&path)
            .map_err(|error| format!("`{expression}`: {error}"))?;
        Ok(Self::Path(path))
    }
}

impl JsonPathTemplate {
    /// The template with every path replaced by what it selects in `document`, several values separated by a space.
    pub fn apply(&self, document: &Value, shown: Shown) -> anyhow::Result<String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Path(path) => {
                    let selected = document
                        .query(path)
                        .with_context(|| format!("JSONPath {path}"))?;
                    let words: Vec<String> = selected
                        .into_iter()
                        .map(|value| shown(&plain(value)).into_owned())
                        .collect();
                    text.push_str(&words.join(" "));
                }
            }
        }
        Ok(text)
    }
}

/// Strings without their quotes, as kubectl prints them; everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::printable;
    use serde_json::json;

    fn apply(template: &str) -> String {
        let document =
            json!({"files": [{"name": "a", "bytes": 1}, {"name": "b", "bytes": 2}], "ok": true});
        template
            .parse::<JsonPathTemplate>()
            .unwrap()
            .apply(&document, as_it_is)
            .unwrap()
    }

    #[test]
    fn jsonpath_templates_select_as_kubectl_does() {
        assert_eq!(apply("{.files[0].name}"), "a");
        assert_eq!(apply("{.files[*].bytes}"), "1 2");
        assert_eq!(apply("{.ok}{\"\\n\"}n={.files[1].bytes}"), "true\nn=2");
        assert_eq!(apply(".files[1].name"), "b");
        assert_eq!(apply("{.missing}"), "");
    }

    #[test]
    fn templates_that_cannot_work_are_refused_when_parsed() {
        for template in ["{.files", "{range .files[*]}{.name}{end}", "{.files[}"] {
            assert!(template.parse::<JsonPathTemplate>().is_err(), "{template}");
        }
    }

    #[test]
    fn human_output_is_wrapped_on_a_terminal_except_what_is_copied_as_it_is() {
        #[derive(Serialize)]
        struct Text {
            wraps: bool,
        }
        impl Render for Text {
            fn human(&self, out: &mut dyn Write, _: &Styles, _: bool) -> io::Result<()> {
                write!(out, "label   one two three ")?;
                write!(out, "four five six\nseven")
            }
            fn wraps(&self) -> bool {
                self.wraps
            }
            fn names(&self) -> Vec<String> {
                Vec::new()
            }
        }
        let rendered = |wraps, width| {
            let mut out = Vec::new();
            let styles = Styles {
                width,
                ..Styles::default()
            };
            let text = Text { wraps };
            text.render(&mut out, &OutputFormat::Human, &styles, as_it_is)
                .unwrap();
            String::from_utf8(out).unwrap()
        };
        let whole = "label   one two three four five six\nseven";
        assert_eq!(
            rendered(true, Some(32)),
            "label   one two three four five\n        six\nseven"
        );
        assert_eq!(rendered(false, Some(32)), whole);
        assert_eq!(rendered(true, None), whole);
    }

    #[test]
    fn a_terminal_gets_no_control_characters_and_a_program_gets_values_as_they_are() {
        #[derive(Serialize)]
        struct Name(&'static str);
        impl Render for Name {
            fn human(&self, out: &mut dyn Write, _: &Styles, _: bool) -> io::Result<()> {
                writeln!(out, "-")
            }
            fn names(&self) -> Vec<String> {
                vec![self.0.to_owned()]
            }
        }
        let rendered = |format: &str, shown| {
            let mut out = Vec::new();
            let format = format.parse().unwrap();
            let name = Name("\u{1b}[2Ja");
            name.render(&mut out, &format, &Styles::default(), shown)
                .unwrap();
            String::from_utf8(out).unwrap()
        };
        for format in ["name", "jsonpath={$}"] {
            assert_eq!(rendered(format, printable), "\\u{1b}[2Ja\n");
            assert_eq!(rendered(format, as_it_is), "\u{1b}[2Ja\n");
        }
        // What the user has written stays.
        assert_eq!(rendered("jsonpath={\"\\t\"}", printable), "\t\n");
    }
}
