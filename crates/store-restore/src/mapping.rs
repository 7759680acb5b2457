//! Which service instance of the backup becomes which one of the target: proposed, written, read and validated.
//!
//! The key on both sides is the tenant's id as it stands in its row. It is taken as it is and never computed: older
//! tenants have random ids.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Write as _};

use backup_set::ServiceInstance;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use wa_common::report::printable;

use crate::yaml;

/// The only entry of a mapping file.
const ENTRY: &str = "instance-mappings";
/// More than any mapping takes.
pub const FILE_LIMIT_BYTES: u64 = 1 << 20;

/// Why two instances were put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// They have one id: it is the same instance.
    SameId,
    /// They have one name, which no other on either side has.
    SameName,
    /// On each side only this one was left.
    OnlyOneLeft,
    /// A mapping file says so.
    Given,
    /// The user was asked.
    Entered,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SameId => "same id",
            Self::SameName => "same name",
            Self::OnlyOneLeft => "only one left",
            Self::Given => "mapping file",
            Self::Entered => "entered",
        })
    }
}

/// An instance of the backup and the one that it becomes.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// Of the backup.
    pub source: ServiceInstance,
    /// Of the target.
    pub target: ServiceInstance,
    /// Why these two.
    pub by: Reason,
}

/// All instances of both sides, put together as far as that is clear.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// Those that belong together.
    pub pairs: Vec<Pair>,
    /// Instances of the backup without one of the target.
    pub sources_left: Vec<ServiceInstance>,
    /// Instances of the target that get none of the backup: their data is erased all the same.
    pub targets_left: Vec<ServiceInstance>,
}

/// Everything that is wrong with a mapping file.
#[derive(Debug, PartialEq, Eq)]
pub struct BadMapping(Vec<String>);

impl fmt::Display for BadMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [one] => write!(f, "the mapping cannot be used: {one}"),
            several => {
                f.write_str("the mapping cannot be used:")?;
                several.iter().try_for_each(|one| write!(f, "\n  {one}"))
            }
        }
    }
}

impl std::error::Error for BadMapping {}

impl Mapping {
    /// Puts together what is clear: instances of one id; of one name, where no other has it; the last one on each side.
    pub fn propose(sources: &[ServiceInstance], targets: &[ServiceInstance]) -> Self {
        let mut mapping = Self {
            pairs: Vec::new(),
            sources_left: sources.to_vec(),
            targets_left: targets.to_vec(),
        };
        mapping.pair_up(Reason::SameId, |source, target| {
            same(&source.id, &target.id)
        });
        let twice = [sources, targets].map(names_of_several);
        let is_unique = |name: &str| !twice.iter().any(|names| names.contains(name));
        mapping.pair_up(Reason::SameName, |source, target| {
            let name = name_of(source);
            name.is_some_and(is_unique) && name == name_of(target)
        });
        if let ([_], [_]) = (&mapping.sources_left[..], &mapping.targets_left[..]) {
            mapping.pair_up(Reason::OnlyOneLeft, |_, _| true);
        }
        mapping
    }

    fn pair_up(&mut self, by: Reason, belong: impl Fn(&ServiceInstance, &ServiceInstance) -> bool) {
        let sources = std::mem::take(&mut self.sources_left);
        for source in sources {
            let found = self
                .targets_left
                .iter()
                .position(|target| belong(&source, target));
            match found {
                Some(at) => {
                    let target = self.targets_left.remove(at);
                    self.pairs.push(Pair { source, target, by });
                }
                None => self.sources_left.push(source),
            }
        }
    }

    /// Reads a mapping file, and holds it against both sides: every instance of the backup stands in it once, every
    /// target is there, and none has two.
    pub fn read(
        yaml: &str,
        sources: &[ServiceInstance],
        targets: &[ServiceInstance],
    ) -> Result<Self, BadMapping> {
        let File { mappings } = parse(yaml).map_err(|problem| BadMapping(vec![problem]))?;
        let mut problems = Vec::new();
        let mut mapping = Self {
            pairs: Vec::new(),
            sources_left: sources.to_vec(),
            targets_left: targets.to_vec(),
        };
        for (from, to) in &mappings.0 {
            match mapping.take(from, to, sources, targets) {
                Ok(pair) => mapping.pairs.push(pair),
                Err(problem) => problems.push(problem),
            }
        }
        // Where something else is wrong with its line, that is reported already.
        let named = |id: &str| mappings.0.iter().any(|(from, _)| same(from, id));
        let missing = mapping.sources_left.iter().filter(|one| !named(&one.id));
        problems.extend(missing.map(|one| {
            format!(
                "{} of the backup is missing: every instance of the backup needs a target",
                shown(one)
            )
        }));
        if problems.is_empty() {
            Ok(mapping)
        } else {
            Err(BadMapping(problems))
        }
    }

    fn take(
        &mut self,
        from: &str,
        to: &str,
        sources: &[ServiceInstance],
        targets: &[ServiceInstance],
    ) -> Result<Pair, String> {
        if (from, to) == ("src", "dest") {
            return Err(
                "it holds the line `src: dest` of IBM's example, which stands for an id of the backup and one of the target: remove it"
                    .to_owned(),
            );
        }
        let at = |list: &[ServiceInstance], id: &str| list.iter().position(|one| same(&one.id, id));
        let Some(source_at) = at(&self.sources_left, from) else {
            return Err(match at(sources, from) {
                Some(_) => format!("{} stands in it twice", printable(from)),
                None if at(targets, from).is_some() && at(sources, to).is_some() => format!(
                    "{} is an instance of the target and {} one of the backup: the line is the wrong way round",
                    printable(from),
                    printable(to)
                ),
                None => format!("{} is no service instance of the backup", printable(from)),
            });
        };
        let Some(target_at) = at(&self.targets_left, to) else {
            return Err(match at(targets, to) {
                Some(_) => format!(
                    "{} is the target of two instances: each needs one of its own",
                    printable(to)
                ),
                None => format!(
                    "{} is no service instance of the target (for {})",
                    printable(to),
                    printable(from)
                ),
            });
        };
        Ok(Pair {
            source: self.sources_left.remove(source_at),
            target: self.targets_left.remove(target_at),
            by: Reason::Given,
        })
    }

    /// Whether every instance of the backup has a target.
    pub fn is_complete(&self) -> bool {
        self.sources_left.is_empty()
    }

    /// Whether the target has too few instances, whichever of the backup's becomes which of them.
    pub fn lacks_targets(&self) -> bool {
        self.sources_left.len() > self.targets_left.len()
    }

    /// Why it is not complete, and what to do about it; `None` where it is.
    pub fn gap(&self) -> Option<String> {
        let sources = self.sources_left.len();
        if sources == 0 {
            return None;
        }
        let names: Vec<String> = self.sources_left.iter().map(shown).collect();
        let missing = sources.saturating_sub(self.targets_left.len());
        let mut text = format!("no target is clear for {}", names.join(", "));
        if missing > 0 {
            let _ = write!(
                text,
                "; the target has {missing} service instance{} too few: create {} in the web client first",
                if missing == 1 { "" } else { "s" },
                if missing == 1 { "it" } else { "them" },
            );
        } else {
            text.push_str("; choose one for each in a mapping file");
        }
        Some(text)
    }

    /// The file that pgmig's `--mapping` takes. What is not clear stands in it as a comment, to be filled in.
    pub fn to_yaml(&self) -> String {
        let mut text = format!("{ENTRY}:\n");
        for pair in &self.pairs {
            let _ = writeln!(
                text,
                "  # {} -> {} ({})",
                named(&pair.source),
                named(&pair.target),
                pair.by
            );
            let (source, target) = (yaml::key(&pair.source.id), yaml::key(&pair.target.id));
            let _ = writeln!(text, "  {source}: {target}");
        }
        for source in &self.sources_left {
            let _ = writeln!(
                text,
                "  # {}: remove the # of the next line, and write the id of its target\n  # {}: TARGET",
                named(source),
                printable(&source.id)
            );
        }
        for target in &self.targets_left {
            let _ = writeln!(
                text,
                "  # not used so far: {} ({})",
                printable(&target.id),
                named(target)
            );
        }
        text
    }
}

/// The file that pgmig's `--mapping` takes, of pairs of ids.
pub(crate) fn to_yaml_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = format!("{ENTRY}:\n");
    for (source, target) in pairs {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {}: {}", yaml::key(source), yaml::key(target));
    }
    text
}

/// A name that means something: releases have written the word `null`, or nothing, for instances without one.
fn name_of(instance: &ServiceInstance) -> Option<&str> {
    let name = instance.name.as_deref()?;
    (!name.trim().is_empty() && name != "null").then_some(name)
}

/// The name for a person, on one line.
pub fn named(instance: &ServiceInstance) -> String {
    name_of(instance).map_or_else(
        || "without a name".to_owned(),
        |name| format!("{:?}", printable(name)),
    )
}

fn shown(instance: &ServiceInstance) -> String {
    format!("{} ({})", printable(&instance.id), named(instance))
}

fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn names_of_several(instances: &[ServiceInstance]) -> HashSet<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in instances.iter().filter_map(name_of) {
        *counts.entry(name).or_default() += 1;
    }
    let several = counts.into_iter().filter(|(_, count)| *count > 1);
    several.map(|(name, _)| name.to_owned()).collect()
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "instance-mappings")]
    mappings: Lines,
}

/// The lines as they stand there: a map would keep only one of two with the same key.
struct Lines(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lined;
        impl<'de> Visitor<'de> for Lined {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("lines of an id, a colon and an id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
                let mut lines = Vec::new();
                while let Some(line) = map.next_entry()? {
                    lines.push(line);
                }
                Ok(Lines(lines))
            }

            fn visit_unit<E>(self) -> Result<Lines, E> {
                Ok(Lines(Vec::new()))
            }
        }
        deserializer.deserialize_any(Lined)
    }
}

fn parse(yaml: &str) -> Result<File, String> {
    let entries: Result<BTreeMap<String, serde_json::Value>, _> = serde_saphyr::from_str(yaml);
    if entries.is_ok_and(|entries| !entries.contains_key(ENTRY)) {
        return Err(format!("the file has no entry `{ENTRY}:`"));
    }
    let mut options = serde_saphyr::Options::default();
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    options.with_snippet = false;
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
        let line = error.location().map(|place| place.line());
        let place = line.map_or_else(String::new, |line| format!(" (line {line})"));
        format!(
            "it is not YAML with `{ENTRY}:` and below that, indented, lines of an id, a colon and an id{place}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00000000-0000-0000-0000-00000000000a";
    const B: &str = "7f9c24e8-3b12-4f43-9a5e-00000000000b";
    const X: &str = "00000000-0000-0000-0000-000000000001";
    const Y: &str = "00000000-0000-0000-0000-000000000002";

    fn one(id: &str, name: Option<&str>) -> ServiceInstance {
        ServiceInstance {
            id: id.to_owned(),
            name: name.map(str::to_owned),
            region: None,
            deleted: false,
        }
    }

    fn proposed(sources: &[ServiceInstance], targets: &[ServiceInstance]) -> Vec<String> {
        let mapping = Mapping::propose(sources, targets);
        let pairs = mapping.pairs.iter();
        pairs
            .map(|pair| format!("{}={} {}", pair.source.id, pair.target.id, pair.by))
            .collect()
    }

    #[test]
    fn pairs_are_proposed_by_id_by_name_and_for_the_last_one_left() {
        let sources = [one("a", Some("Care")), one("b", Some("HR")), one("c", None)];
        let targets = [
            one("x", Some("Personal")),
            one("y", Some("Care")),
            one("C", Some("HR")),
        ];
        assert_eq!(
            proposed(&sources, &targets),
            ["c=C same id", "a=y same name", "b=x only one left"]
        );
    }

    #[test]
    fn nothing_is_proposed_for_two_of_one_name_nor_by_a_name_that_is_none() {
        let care = |id| one(id, Some("Care"));
        assert!(proposed(&[care("a"), care("b")], &[care("x"), one("y", None)]).is_empty());
        assert!(proposed(&[care("a")], &[care("x"), care("y")]).is_empty());
        for name in [None, Some(""), Some(" "), Some("null")] {
            let (sources, targets) = (
                [one("a", name), one("b", None)],
                [one("x", name), one("y", None)],
            );
            assert!(proposed(&sources, &targets).is_empty(), "{name:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again_whatever_the_names_are() {
        let odd = [
            None,
            Some(""),
            Some("a|b\t\"c\" # : \n  injected: line"),
            Some("\u{1b}[2J"),
        ];
        for name in odd {
            let (sources, targets) = ([one(A, name)], [one(X, name), one(Y, name)]);
            let yaml = format!(
                "{}  {A}: {}\n",
                Mapping::propose(&sources, &targets).to_yaml(),
                Y.to_uppercase()
            );
            assert!(!yaml.contains('\u{1b}'), "{yaml:?}");
            let mapping = Mapping::read(&yaml, &sources, &targets).unwrap();
            assert!(mapping.is_complete());
            assert_eq!(mapping.pairs[0].target.id, Y, "as the row has it");
            assert_eq!(mapping.targets_left[0].id, X);
        }
    }

    #[test]
    fn everything_that_is_wrong_with_a_mapping_is_reported_at_once() {
        let (sources, targets) = (
            [one(A, Some("Care")), one(B, Some("HR"))],
            [one(X, None), one(Y, None)],
        );
        let told = |lines: &str| {
            let yaml = format!("instance-mappings:\n{lines}");
            Mapping::read(&yaml, &sources, &targets)
                .unwrap_err()
                .to_string()
        };
        for (lines, parts) in [
            (
                format!("  src: dest\n  {A}: {X}\n"),
                vec![
                    "`src: dest` of IBM's example",
                    "(\"HR\") of the backup is missing",
                ],
            ),
            (
                format!("  {A}: {X}\n  {B}: {X}\n"),
                vec!["is the target of two"],
            ),
            (
                format!("  {A}: {X}\n  {A}: {Y}\n  {B}: {Y}\n"),
                vec!["stands in it twice"],
            ),
            (
                format!("  {A}: {B}\n  {B}: {Y}\n"),
                vec!["is no service instance of the target"],
            ),
            (
                format!("  {X}: {A}\n"),
                vec!["wrong way round", "(\"Care\") of the backup is missing"],
            ),
            (
                format!("  {A}: {X}\n  {B}: {Y}\n  c: {Y}\n"),
                vec!["c is no service instance of the backup"],
            ),
            (String::new(), vec!["(\"Care\") of", "(\"HR\") of"]),
        ] {
            let told = told(&lines);
            for part in parts {
                assert!(told.contains(part), "no {part:?} in {told}");
            }
        }
        for yaml in [
            "",
            "instance-mapping: {}",
            "[1, 2]",
            "instance-mappings: [a]",
            "\t",
        ] {
            assert!(Mapping::read(yaml, &sources, &targets).is_err(), "{yaml:?}");
        }
    }
}
