//! The patches that a custom resource's annotations list as active.
//!
//! The operator keeps a JSON map from a patch's name to an entry; which annotation it reads depends on its version, and some
//! write two. A key whose patch is gone makes every later reconcile of that custom resource fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::Unreadable;
use crate::patch::TemporaryPatch;

/// The annotations, the newer name first.
pub const ANNOTATIONS: [&str; 2] = [
    "oper8.org/temporary-patches",
    "oppy.ibm.com/temporary-patches",
];

/// An annotation's text without `key`; `None` where it does not list it. Everything else stays as it is written, and in its
/// order, in which the operator applies the patches.
pub fn without_key(text: &str, key: &str) -> Result<Option<String>, serde_json::Error> {
    let Entries(entries) = serde_json::from_str(text)?;
    let (first, last) = (
        text.find('{').unwrap_or(0) + 1,
        text.rfind('}').unwrap_or(0),
    );
    // Each entry reaches from the end of the one before to its own, with the comma between them.
    let ends = entries.iter().map(|(_, value)| end_in(text, value.get()));
    let ends: Vec<usize> = std::iter::once(first).chain(ends).collect();
    let kept = entries
        .iter()
        .zip(ends.windows(2))
        .filter(|((name, _), _)| name != key);
    let kept: String = kept.map(|(_, place)| &text[place[0]..place[1]]).collect();
    if kept.len() == ends[entries.len()] - first {
        return Ok(None);
    }
    let begins = |sign: char| sign == ',' || sign.is_whitespace();
    let rest = if kept.is_empty() {
        ""
    } else {
        &text[ends[entries.len()]..last]
    };
    Ok(Some(format!(
        "{{{}{rest}}}",
        kept.trim_start_matches(begins)
    )))
}

/// Where `part`, which is a part of `text`, ends in it.
fn end_in(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize + part.len()
}

/// A map as it is written.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of patches")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// What is listed of one patch. Old entries have no `kind`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// When it became active.
    pub timestamp: Option<String>,
    /// The patch's `apiVersion`.
    pub api_version: Option<String>,
    /// The patch's kind.
    pub kind: Option<String>,
}

/// What the annotations of one custom resource list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivePatches(BTreeMap<&'static str, BTreeMap<String, Entry>>);

impl ActivePatches {
    /// Reads the annotations of a custom resource. `{}`, an empty text and no annotation are the same.
    pub fn from_object(object: &DynamicObject) -> Result<Self, Unreadable> {
        let mut active = BTreeMap::new();
        for annotation in ANNOTATIONS {
            let Some(text) = object.annotations().get(annotation) else {
                continue;
            };
            if text.trim().is_empty() {
                continue;
            }
            let entries: BTreeMap<String, Entry> =
                serde_json::from_str(text).map_err(|_| Unreadable {
                    annotation,
                    kind: object
                        .types
                        .as_ref()
                        .map(|types| types.kind.clone())
                        .unwrap_or_default(),
                    name: object.name_any(),
                })?;
            if !entries.is_empty() {
                active.insert(annotation, entries);
            }
        }
        Ok(Self(active))
    }

    /// Whether no patch is active.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a patch of this name is listed in any of the annotations.
    pub fn lists(&self, patch: &str) -> bool {
        self.0.values().any(|entries| entries.contains_key(patch))
    }

    /// Every key, once.
    pub fn keys(&self) -> BTreeSet<&str> {
        let entries = self.0.values();
        entries
            .flat_map(|one| one.keys().map(String::as_str))
            .collect()
    }

    /// Each annotation, and the keys in it whose patch is none of `patches`.
    pub fn dangling<'a>(
        &'a self,
        patches: &'a [TemporaryPatch],
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        let keys = self.0.iter().flat_map(|(annotation, entries)| {
            entries.keys().map(|key| (*annotation, key.as_str()))
        });
        keys.filter(|(_, key)| !patches.iter().any(|patch| patch.name == *key))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn active(annotations: &Value) -> Result<ActivePatches, Unreadable> {
        let object = json!({
            "apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistantStore",
            "metadata": { "name": "wa", "annotations": annotations },
        });
        ActivePatches::from_object(&serde_json::from_value(object).unwrap())
    }

    const OLD: &str = "oppy.ibm.com/temporary-patches";
    const NEW: &str = "oper8.org/temporary-patches";
    const ENTRY: &str = r#"{"wa-fix": {"timestamp": "2026-01-12T09:14:03.120417", "api_version": "assistant.watson.ibm.com/v1"}}"#;

    fn patch(name: &str) -> TemporaryPatch {
        TemporaryPatch {
            name: name.to_owned(),
            ..TemporaryPatch::replicas("wa", &[(crate::component::Component::Tfmm, 1)]).remove(0)
        }
    }

    #[test]
    fn an_empty_map_is_the_same_as_no_annotation() {
        let none = active(&json!({})).unwrap();
        assert!(none.is_empty());
        for empty in ["{}", " {} ", ""] {
            assert_eq!(active(&json!({ OLD: empty, NEW: empty })).unwrap(), none);
        }
    }

    #[test]
    fn a_patch_is_active_whichever_annotation_lists_it_and_with_or_without_kind() {
        let with_kind = ENTRY.replace(
            "\"api_version\"",
            "\"kind\": \"TemporaryPatch\", \"api_version\"",
        );
        for annotations in [
            json!({ OLD: ENTRY }),
            json!({ NEW: with_kind }),
            json!({ OLD: ENTRY, NEW: with_kind }),
            json!({ OLD: "{}", NEW: ENTRY }),
        ] {
            let active = active(&annotations).unwrap();
            assert!(active.lists("wa-fix") && !active.lists("wa"), "{active:?}");
            assert_eq!(active.dangling(&[patch("wa-fix")]).count(), 0);
        }
    }

    #[test]
    fn a_key_whose_patch_is_gone_is_dangling_in_the_annotation_that_has_it() {
        // What IBM's recipe leaves: the older annotation is cleared, the newer one is not.
        let left = active(&json!({ NEW: ENTRY })).unwrap();
        let found: Vec<_> = left.dangling(&[]).collect();
        assert_eq!(found, [(NEW, "wa-fix")]);
        let both = active(&json!({ OLD: ENTRY, NEW: ENTRY })).unwrap();
        assert_eq!(both.dangling(&[patch("wa-fixed")]).count(), 2);
    }

    #[test]
    fn one_key_is_taken_away_and_the_others_keep_their_text_and_order() {
        let entries = [
            r#""z": {"timestamp": "1"}"#,
            r#""ours": {"kind": "}"}"#,
            r#""a": {"b":1.0}"#,
        ];
        for separator in [", ", ",", " ,\n  "] {
            for ours in 0..entries.len() {
                let mut all = entries.to_vec();
                let one = all.remove(1);
                let rest = format!("{{{}}}", all.join(separator));
                all.insert(ours, one);
                let text = format!("{{{}}}", all.join(separator));
                assert_eq!(
                    without_key(&text, "ours").unwrap(),
                    Some(rest.clone()),
                    "{text}"
                );
                assert_eq!(without_key(&rest, "ours").unwrap(), None);
            }
        }
        assert_eq!(
            without_key(r#"{ "ours": {} }"#, "ours").unwrap().as_deref(),
            Some("{}")
        );
        assert_eq!(without_key("{}", "ours").unwrap(), None);
        assert!(without_key("[]", "ours").is_err());
    }

    #[test]
    fn an_annotation_that_is_no_map_is_an_error_and_not_empty() {
        for text in ["null", "[]", "wa-fix", "{\"wa-fix\": 1}", "{"] {
            let unreadable = active(&json!({ NEW: text })).unwrap_err();
            assert_eq!(unreadable.annotation, NEW);
            assert!(
                unreadable
                    .to_string()
                    .contains("WatsonAssistantStore \"wa\"")
            );
        }
    }
}
