//! `wa-sandbox fault`: makes things go wrong in a running cluster.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use http::Method;

use super::{Place, client, print, runtime};

/// Make things go wrong on purpose in the running cluster
#[derive(Debug, clap::Args)]
pub(super) struct Fault {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a fault
    ///
    /// Cut the next exec after a megabyte:
    ///   wa-sandbox fault add '{"on":{"subresource":"exec"},"times":1,"effect":{"type":"cutAfter","bytes":1000000}}'
    ///
    /// Refuse whoever wants to read secrets:
    ///   wa-sandbox fault add '{"effect":{"type":"forbid","verb":"get","resource":"secrets"}}'
    #[command(verbatim_doc_comment)]
    Add {
        /// The fault as JSON: `on` (method, path, verb, group, resource, subresource, namespace, name), `times`, `effect`
        fault: String,
    },
    /// List the faults in force
    List,
    /// End all faults
    Clear,
}

impl Fault {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let home = self.place.home();
        if !home.is_in_use()? {
            bail!("no practice cluster runs; start one with `wa-sandbox up`");
        }
        let (method, body) = match &self.action {
            Action::Add { fault } => {
                let fault: wa_sandbox::faults::Fault =
                    serde_json::from_str(fault).context("this is no fault")?;
                (Method::POST, serde_json::to_string(&fault)?)
            }
            Action::List => (Method::GET, String::new()),
            Action::Clear => (Method::DELETE, String::new()),
        };
        let kubeconfig = home.cluster().join("kubeconfig");
        let faults = runtime()?.block_on(client::request(
            &kubeconfig,
            method,
            "/_sandbox/faults",
            body,
        ))?;
        print(&format!("{faults:#}"))?;
        Ok(ExitCode::SUCCESS)
    }
}
