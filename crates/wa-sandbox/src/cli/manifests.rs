//! `wa-sandbox manifests`: the same Watson Assistant for a real cluster.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::Value;
use wa_sandbox::world::{self, Profile};

use super::print;

/// Print the objects of a practice cluster for a real one, such as kind, k3s or CRC
///
/// First the definitions, then everything else:
///
///   wa-sandbox manifests --definitions | kubectl apply -f -
///   wa-sandbox manifests | kubectl apply -f -
///
/// PostgreSQL and etcd are real; nothing trains, and no operator reconciles. Images are pulled from
/// docker.io, and etcd from Debian. Passwords and certificates are made anew each time: to apply it
/// again, keep what was printed.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Manifests {
    /// Release whose object names they use: 4.0, 4.8.5, 4.8.8, 5.0.1, 5.1 or 5.2.1
    #[arg(long, default_value_t)]
    profile: Profile,

    /// Print the definitions of custom resources, and nothing else
    #[arg(long)]
    definitions: bool,
}

impl Manifests {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let objects = if self.definitions {
            world::definitions()
        } else {
            world::manifests(self.profile)?
        };
        let documents = objects
            .iter()
            .map(document)
            .collect::<anyhow::Result<Vec<_>>>()?;
        print(documents.join("---\n").trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn document(object: &Value) -> anyhow::Result<String> {
    serde_saphyr::to_string(object).context("cannot write an object as YAML")
}
