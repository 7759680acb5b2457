//! Which instance of the backup becomes which instance of the target: from a file, or asked for.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead};
use std::path::Path;

use anyhow::{Context, ensure};
use serde::Deserialize;
use uuid::Uuid;

use crate::dump::Instance;
use crate::target::Provisioned;
use crate::{say, settings};

/// Where the answers are written, in the working directory.
const ENTERED: &str = "enteredMapping.yaml";

/// Instances of the backup and what they become.
pub(crate) type Mapping = BTreeMap<Uuid, Uuid>;

#[derive(Deserialize)]
struct MappingFile {
    #[serde(rename = "instance-mappings")]
    mappings: BTreeMap<String, String>,
}

/// Reads a mapping file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Mapping> {
    let file: MappingFile = settings::yaml(path)?;
    let id = |text: &str| {
        text.parse::<Uuid>()
            .with_context(|| format!("{}: {text:?} is no instance id", path.display()))
    };
    let pairs = file.mappings.iter();
    pairs
        .map(|(source, target)| Ok((id(source)?, id(target)?)))
        .collect()
}

/// Asks for the target of each instance, and writes the answers down.
pub(crate) fn ask(instances: &[Instance], targets: &[Provisioned]) -> anyhow::Result<Mapping> {
    let mut mapping = Mapping::new();
    for (index, instance) in instances.iter().enumerate() {
        let is_free = |target: &&Provisioned| !mapping.values().any(|used| *used == target.id);
        let free: Vec<_> = targets.iter().filter(is_free).collect();
        if free.is_empty() {
            break;
        }
        say("Instances of this cluster:")?;
        for target in &free {
            say(&format!("  {}  {}", target.id, target.name))?;
        }
        say(&format!(
            "({} of {}) Enter the instance for {} {:?}:",
            index + 1,
            instances.len(),
            instance.id,
            instance.name
        ))?;
        let chosen = loop {
            let answer = answer()?;
            let known = free.iter().find(|target| target.id.to_string() == answer);
            match known {
                Some(target) => break target.id,
                None => say(&format!("{answer:?} is none of them; enter the instance:"))?,
            }
        };
        mapping.insert(instance.id, chosen);
    }
    let mut text = "instance-mappings:\n".to_owned();
    for (source, target) in &mapping {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {source}: {target}");
    }
    fs::write(ENTERED, text).with_context(|| format!("cannot write {ENTERED}"))?;
    Ok(mapping)
}

/// Asks whether the data of the target may be erased.
pub(crate) fn may_erase() -> anyhow::Result<bool> {
    say("The target Store holds data. Erase it? (y/n):")?;
    Ok(answer()? == "y")
}

fn answer() -> anyhow::Result<String> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line)?;
    ensure!(read > 0, "nobody answers: standard input has ended");
    Ok(line.trim().to_owned())
}

/// Every instance needs a target that exists and that no other one has.
pub(crate) fn check(
    mapping: &Mapping,
    instances: &[Instance],
    targets: &[Provisioned],
) -> anyhow::Result<()> {
    for instance in instances {
        let target = mapping
            .get(&instance.id)
            .with_context(|| format!("no mapping for instance {}", instance.id))?;
        ensure!(
            targets.iter().any(|one| one.id == *target),
            "instance {target} is not provisioned"
        );
        let uses = mapping.values().filter(|one| *one == target).count();
        ensure!(uses == 1, "instance {target} is mapped to {uses} times");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const X: Uuid = Uuid::from_u128(101);
    const Y: Uuid = Uuid::from_u128(102);

    #[test]
    fn a_mapping_is_complete_real_and_one_to_one() {
        let name = String::new;
        let instances = [A, B].map(|id| Instance { id, name: name() });
        let targets = [X, Y].map(|id| Provisioned { id, name: name() });
        let judge = |pairs: &[(Uuid, Uuid)]| {
            let mapping = pairs.iter().copied().collect();
            check(&mapping, &instances, &targets)
        };
        assert!(judge(&[(A, Y), (B, X)]).is_ok());
        for (pairs, why) in [
            (&[(A, X)][..], "no mapping for instance"),
            (&[(A, X), (B, A)], "is not provisioned"),
            (&[(A, X), (B, X)], "is mapped to 2 times"),
        ] {
            let error = judge(pairs).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_literal_line_of_the_documentation_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "instance-mappings:\n  src: dest\n").unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.contains("\"src\" is no instance id"), "{error}");
    }
}
