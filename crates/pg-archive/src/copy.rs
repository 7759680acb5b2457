//! COPY text: the statement that names the columns, the end-of-data line, the escapes in a row.

use std::{borrow::Cow, ops::Range, sync::Arc};

use memchr::memchr;

/// What pg_dump writes after the last row.
pub(crate) const END_OF_DATA: &[u8] = b"\\.\n\n\n";

/// The names in the column list of `COPY schema.table (a, "B") FROM stdin;`, in their order. None if the statement is
/// of another form. A table without columns has no list, and rows without fields.
pub(crate) fn columns(statement: &str) -> Option<Vec<String>> {
    let rest = statement.strip_prefix("COPY ")?;
    let (_, mut rest) = identifier(rest)?;
    while let Some(qualified) = rest.strip_prefix('.') {
        (_, rest) = identifier(qualified)?;
    }
    let mut columns = Vec::new();
    let mut rest = rest.trim_start();
    if let Some(list) = rest.strip_prefix('(') {
        rest = list;
        loop {
            let (column, after) = identifier(rest.trim_start())?;
            columns.push(column);
            if let Some(end) = after.strip_prefix(')') {
                rest = end.trim_start();
                break;
            }
            rest = after.strip_prefix(',')?;
        }
    }
    // Until PostgreSQL 11 a table could have a hidden column.
    if let Some(after) = rest.strip_prefix("WITH OIDS ") {
        columns.insert(0, "oid".to_owned());
        rest = after;
    }
    rest.starts_with("FROM stdin").then_some(columns)
}

/// An identifier as pg_dump quotes it, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| matches!(c, '.' | ',' | '(' | ')') || c.is_whitespace())?;
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

/// A row of a table, its fields decoded.
#[derive(Clone, Debug)]
pub struct Row {
    columns: Arc<[String]>,
    /// The fields, one after the other; their ranges in it, none for NULL.
    text: Vec<u8>,
    fields: Vec<Option<Range<usize>>>,
}

/// A field of a [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'r> {
    /// SQL NULL.
    Null,
    /// The value as PostgreSQL's text output writes it, in the encoding of the dump.
    Value(&'r [u8]),
}

impl<'r> Field<'r> {
    /// The value, or none for NULL.
    pub fn as_bytes(self) -> Option<&'r [u8]> {
        match self {
            Self::Null => None,
            Self::Value(bytes) => Some(bytes),
        }
    }

    /// The value as text, with `U+FFFD` for what is not UTF-8, or none for NULL.
    pub fn to_text(self) -> Option<Cow<'r, str>> {
        self.as_bytes().map(String::from_utf8_lossy)
    }
}

impl Row {
    pub(crate) fn new(columns: Arc<[String]>) -> Self {
        Self {
            columns,
            text: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// The names of the columns, in their order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The field in the column of that name, or none if the table has no such column.
    pub fn get(&self, column: &str) -> Option<Field<'_>> {
        let position = self.columns.iter().position(|name| name == column)?;
        self.field(position)
    }

    /// All fields, in the order of the columns.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = Field<'_>> {
        self.fields.iter().map(|range| self.at(range.as_ref()))
    }

    fn field(&self, position: usize) -> Option<Field<'_>> {
        self.fields
            .get(position)
            .map(|range| self.at(range.as_ref()))
    }

    fn at(&self, range: Option<&Range<usize>>) -> Field<'_> {
        range.map_or(Field::Null, |range| Field::Value(&self.text[range.clone()]))
    }

    /// Replaces the fields by those of a line of COPY data; returns how many there are.
    pub(crate) fn decode(&mut self, line: &[u8]) -> usize {
        self.text.clear();
        self.fields.clear();
        // The only row a table without columns has.
        if self.columns.is_empty() && line.is_empty() {
            return 0;
        }
        for field in line.split(|&byte| byte == b'\t') {
            let range = if field == b"\\N" {
                None
            } else {
                let start = self.text.len();
                unescape(field, &mut self.text);
                Some(start..self.text.len())
            };
            self.fields.push(range);
        }
        self.fields.len()
    }
}

/// Appends a field with the escapes of COPY's text format resolved.
fn unescape(field: &[u8], text: &mut Vec<u8>) {
    let mut rest = field;
    while let Some(backslash) = memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        let Some((&escaped, after)) = rest.split_first() else {
            text.push(b'\\');
            return;
        };
        rest = after;
        let byte = match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => number(&mut rest, escaped - b'0', 8, 2),
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => number(&mut rest, 0, 16, 2),
            other => other,
        };
        text.push(byte);
    }
    text.extend_from_slice(rest);
}

/// Reads up to `most` more digits; PostgreSQL keeps the low eight bits.
fn number(rest: &mut &[u8], first: u8, radix: u8, most: usize) -> u8 {
    let mut value = first;
    for _ in 0..most {
        let Some((&byte, after)) = rest.split_first() else {
            break;
        };
        let Some(digit) = char::from(byte)
            .to_digit(radix.into())
            .and_then(|digit| u8::try_from(digit).ok())
        else {
            break;
        };
        value = value.wrapping_mul(radix).wrapping_add(digit);
        *rest = after;
    }
    value
}
