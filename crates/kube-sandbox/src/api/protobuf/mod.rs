//! Objects that clients send as protobuf (`application/vnd.kubernetes.protobuf`). kubectl does so since 1.32 for what it
//! makes itself: access reviews, `create job`, `create secret`.
//!
//! Left out: answers in protobuf (clients that accept it accept JSON too), and kinds and fields not in
//! `messages.schema`, which are refused by name.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::meta::object::timestamp;

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What precedes the envelope, `k8s.io/apimachinery/pkg/runtime.Unknown`.
const MAGIC: &[u8] = b"k8s\0";

static MESSAGES: LazyLock<HashMap<&str, Vec<Field<'_>>>> =
    LazyLock::new(|| parse(include_str!("messages.schema")));

struct Field<'a> {
    label: &'a str,
    r#type: &'a str,
    name: &'a str,
    number: u64,
}

fn parse(schema: &str) -> HashMap<&str, Vec<Field<'_>>> {
    let mut messages = HashMap::new();
    let mut message = "";
    for line in schema
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let [label, r#type, name, number] = line.split_whitespace().collect::<Vec<_>>()[..] {
            let number = number.parse().unwrap_or_default();
            messages
                .entry(message)
                .or_insert_with(Vec::new)
                .push(Field {
                    label,
                    r#type,
                    name,
                    number,
                });
        } else {
            message = line.trim();
            messages.insert(message, Vec::new());
        }
    }
    messages
}

/// Decodes an object; the error says what was not understood.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, String> {
    let envelope = bytes
        .strip_prefix(MAGIC)
        .ok_or("the body does not begin as Kubernetes protobuf does")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields(envelope) {
        match field? {
            (1, Wire::Bytes(type_meta)) => {
                for field in Fields(type_meta) {
                    match field? {
                        (1, Wire::Bytes(bytes)) => api_version = text(bytes)?,
                        (2, Wire::Bytes(bytes)) => kind = text(bytes)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let mut object = message(&kind, raw)?;
    object.insert("apiVersion".into(), api_version.into());
    object.insert("kind".into(), kind.into());
    Ok(object.into())
}

fn message(name: &str, bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let known = MESSAGES
        .get(name)
        .ok_or_else(|| format!("{name} is not understood as protobuf here; send JSON"))?;
    let mut object = Map::new();
    for field in Fields(bytes) {
        let (number, wire) = field?;
        let field = known
            .iter()
            .find(|field| field.number == number)
            .ok_or_else(|| {
                format!("field {number} of {name} is not understood as protobuf here; send JSON")
            })?;
        if field.label == "ignored" {
            continue;
        }
        if field.label == "map" {
            let (key, entry) = map_entry(field.r#type, wire)?;
            if let Some(map) = entries(&mut object, field.name) {
                map.insert(key, entry);
            }
            continue;
        }
        match (field.label, value(field.r#type, wire)?) {
            ("repeated", value) => {
                let list = object
                    .entry(field.name)
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Some(list) = list.as_array_mut() {
                    list.push(value);
                }
            }
            ("inline", Value::Object(fields)) => object.extend(fields),
            ("pointer", value) => {
                object.insert(field.name.into(), value);
            }
            (_, value) if is_zero(&value) => {}
            (_, value) => {
                object.insert(field.name.into(), value);
            }
        }
    }
    Ok(object)
}

fn entries<'a>(
    object: &'a mut Map<String, Value>,
    field: &str,
) -> Option<&'a mut Map<String, Value>> {
    object
        .entry(field)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
}

fn map_entry(r#type: &str, wire: Wire<'_>) -> Result<(String, Value), String> {
    let (mut key, mut entry) = (String::new(), Value::String(String::new()));
    for field in Fields(wire.bytes()?) {
        match field? {
            (1, wire) => key = text(wire.bytes()?)?,
            (2, wire) => entry = value(r#type, wire)?,
            _ => {}
        }
    }
    Ok((key, entry))
}

fn value(r#type: &str, wire: Wire<'_>) -> Result<Value, String> {
    Ok(match r#type {
        "string" => text(wire.bytes()?)?.into(),
        "bytes" => BASE64_STANDARD.encode(wire.bytes()?).into(),
        "bool" => (wire.number()? != 0).into(),
        "int32" | "int64" => wire.number()?.into(),
        "Time" | "MicroTime" => time(wire.bytes()?)?,
        "Quantity" => member(wire.bytes()?, 1, "string")?,
        "FieldsV1" => match member(wire.bytes()?, 1, "string")? {
            Value::String(json) => {
                serde_json::from_str(&json).map_err(|error| error.to_string())?
            }
            other => other,
        },
        "IntOrString" => match member(wire.bytes()?, 1, "int32")?.as_i64() {
            Some(1) => member(wire.bytes()?, 3, "string")?,
            _ => member(wire.bytes()?, 2, "int32")?,
        },
        other => message(other, wire.bytes()?)?.into(),
    })
}

/// One member of a message that JSON shows as a plain value.
fn member(bytes: &[u8], wanted: u64, r#type: &str) -> Result<Value, String> {
    for field in Fields(bytes) {
        let (number, wire) = field?;
        if number == wanted {
            return value(r#type, wire);
        }
    }
    Ok(Value::Null)
}

/// An empty time is none.
fn time(bytes: &[u8]) -> Result<Value, String> {
    let Some(seconds) = member(bytes, 1, "int64")?.as_i64() else {
        return Ok(Value::Null);
    };
    jiff::Timestamp::from_second(seconds)
        .map(|time| timestamp(time).into())
        .map_err(|error| error.to_string())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
}

/// What a field holds on the wire. The other two wire types do not occur in Kubernetes' messages here.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Number(i64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("a number where bytes belong".to_owned()),
        }
    }

    fn number(self) -> Result<i64, String> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) => Err("bytes where a number belongs".to_owned()),
        }
    }
}

/// The fields of a message, by number.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u64, Wire<'a>), String> {
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Number(i64::from_le_bytes(self.varint()?.to_le_bytes())),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let (bytes, rest) = self
                    .0
                    .split_at_checked(length)
                    .ok_or("the body ends inside a field")?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            other => return Err(format!("wire type {other} is not understood here")),
        };
        Ok((tag >> 3, wire))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self
                .0
                .split_first()
                .ok_or("the body ends inside a number")?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too long".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn job() -> Vec<u8> {
        let meta = [
            field(1, b"now"),
            field(8, b""),
            field(11, &[field(1, b"a"), field(2, b"b")].concat()),
        ]
        .concat();
        // suspend: false and backoffLimit: 0 are pointers, and so are set.
        let spec = [&[7 << 3, 0][..], &[10 << 3, 0]].concat();
        let raw = [field(1, &meta), field(2, &spec), field(3, b"")].concat();
        let type_meta = [field(1, b"batch/v1"), field(2, b"Job")].concat();
        [MAGIC, &field(1, &type_meta), &field(2, &raw)].concat()
    }

    #[test]
    fn zeros_that_were_set_stay_and_others_vanish() {
        let expected = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "now", "labels": { "a": "b" } },
            "spec": { "backoffLimit": 0, "suspend": false },
        });
        assert_eq!(decode(&job()).unwrap(), expected);
    }

    #[test]
    fn broken_bodies_are_errors() {
        let whole = job();
        for length in 0..whole.len() {
            let _ = decode(&whole[..length]);
        }
        let seed = rand::random();
        println!("seed {seed}");
        let mut random = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
        for _ in 0..20_000 {
            let mut broken = whole.clone();
            let at = rand::RngExt::random_range(&mut random, MAGIC.len()..broken.len());
            broken[at] = rand::RngExt::random(&mut random);
            let _ = decode(&broken);
        }
        assert!(decode(b"{}").is_err());
        assert!(decode(&[MAGIC, &field(2, b"\xff\xff")].concat()).is_err());
    }

    #[test]
    fn the_schema_is_whole() {
        let known = [
            "string",
            "bytes",
            "bool",
            "int32",
            "int64",
            "Time",
            "MicroTime",
            "Quantity",
            "FieldsV1",
            "IntOrString",
        ];
        for (message, fields) in MESSAGES.iter() {
            for field in fields.iter().filter(|field| field.label != "ignored") {
                let type_known =
                    known.contains(&field.r#type) || MESSAGES.contains_key(field.r#type);
                assert!(type_known, "{message}.{}: {}", field.name, field.r#type);
                assert!(
                    ["optional", "pointer", "repeated", "map", "inline"].contains(&field.label),
                    "{message}"
                );
                assert!(field.number > 0, "{message}.{}", field.name);
            }
        }
    }
}
