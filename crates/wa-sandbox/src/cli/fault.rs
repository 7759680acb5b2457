//! `wa-sandbox fault`: makes things go wrong in a running cluster.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use http::Method;
use wa_sandbox::world::{RetrainFault, RetrainPractice};

use super::{Place, client, print, runtime};

/// Make things go wrong on purpose in the running cluster
#[derive(Debug, clap::Args)]
pub(super) struct Fault {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    place: Place,
}

/// What `effect` can be, an example of each.
const EFFECTS: &str = r#"Effects:
  {"type":"cutAfter","bytes":1000}                 close the connection after so much output
  {"type":"closeWithoutStatus","afterBytes":1000}  end the stream properly, but without an exit status
  {"type":"stallAfter","bytes":1000}               send nothing more, no pongs either, and stay connected
  {"type":"shortenStdout","bytes":10}              drop the end of the output, and report success
  {"type":"throttle","bytesPerSecond":20000}       send no faster
  {"type":"deletePodAfter","bytes":1000}           delete the pod of the stream
  {"type":"status","code":503,"message":"busy"}    answer with an error
  {"type":"refuseV5"}                              know only the older exec protocol
  {"type":"dropUpgrade"}                           pass no WebSockets on, as some proxies do
  {"type":"hangUp","done":true}                    carry the request out, and close the connection without an answer
  {"type":"refuseConnections"}                     be gone until the fault is cleared
  {"type":"expireToken"}                           answer 401
  {"type":"forbid","verb":"get","resource":"pods"} take a permission away
  {"type":"requireLabel","label":"team"}           refuse new pods that lack the label
  {"type":"injectSidecar","container":{"name":"x","image":"y"}}
                                                   put the container into new pods"#;

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a fault
    ///
    /// Cut the next exec after a megabyte:
    ///   wa-sandbox fault add '{"on":{"subresource":"exec"},"times":1,"effect":{"type":"cutAfter","bytes":1000000}}'
    ///
    /// Refuse whoever wants to read secrets:
    ///   wa-sandbox fault add '{"effect":{"type":"forbid","verb":"get","resource":"secrets"}}'
    #[command(verbatim_doc_comment, after_long_help = EFFECTS)]
    Add {
        /// The fault as JSON: `on` (method, path, verb, group, resource, subresource, namespace, name), `times`, `effect`
        fault: String,
    },
    /// Have store-admin train differently from now on
    ///
    /// What was set before ends; without any, it trains as it should.
    #[command(after_long_help = RETRAIN_FAULTS)]
    Retrain {
        /// What it does differently
        #[arg(value_name = "FAULT")]
        faults: Vec<RetrainFault>,
    },
    /// List the faults in force, without those of store-admin
    List,
    /// End all faults
    Clear,
}

/// What [`RetrainFault`]s there are.
const RETRAIN_FAULTS: &str = "Faults:
  form=FORM      say how far it is as line, json, reversed, two-lines or unknown
  stall-after=N  train N models and then no more, until the fault ends
  gap=N          say that it is done when N are left, and train these when the fault ends
  crash-after=N  crash once when N are trained
  affected=N     find N workspaces, whatever is in etcd
  resume         go on after a restart with what was left";

impl Fault {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let home = self.place.home();
        if !home.is_in_use()? {
            bail!("no practice cluster runs; start one with `wa-sandbox up`");
        }
        let practice = RetrainPractice::of_cluster(&home.cluster());
        let set = |faults: &[RetrainFault]| {
            let done = practice.set_faults(faults);
            done.context("the cluster's files cannot be written")
        };
        let (method, body) = match &self.action {
            Action::Retrain { faults } => {
                set(faults)?;
                return Ok(ExitCode::SUCCESS);
            }
            Action::Add { fault } => {
                let fault: kube_sandbox::faults::Fault =
                    serde_json::from_str(fault).context("this is no fault")?;
                (Method::POST, serde_json::to_string(&fault)?)
            }
            Action::List => (Method::GET, String::new()),
            Action::Clear => {
                set(&[])?;
                (Method::DELETE, String::new())
            }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kube_sandbox::faults::Effect;

    use super::*;

    #[test]
    fn every_effect_has_an_example_that_is_understood() {
        let lines = EFFECTS.lines().filter(|line| line.contains('{'));
        let examples = lines.map(|line| {
            let mut values = serde_json::Deserializer::from_str(line).into_iter::<Effect>();
            values.next().unwrap().unwrap()
        });
        let shown: BTreeSet<String> = examples
            .map(|effect| serde_json::to_value(effect).unwrap()["type"].to_string())
            .collect();
        let refusal = serde_json::from_str::<Effect>(r#"{"type":"?"}"#).unwrap_err();
        // serde names them all: "unknown variant `?`, expected one of `status`, `cutAfter`…".
        let known = refusal.to_string();
        let known = known.split_once("expected").unwrap().1;
        let known: BTreeSet<String> = known
            .split('`')
            .skip(1)
            .step_by(2)
            .map(|name| format!("{name:?}"))
            .collect();
        assert_eq!(shown, known);
    }
}
