//! `wa-sandbox status`: says whether a cluster runs.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;

use super::{Place, print};

/// Say whether a cluster runs, and which; exit code 1 when none does
#[derive(Debug, clap::Args)]
pub(super) struct Status {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

impl Status {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let home = self.place.home();
        if !home.is_in_use()? {
            print(&match self.output {
                Output::Text => {
                    "no practice cluster runs; start one with `wa-sandbox up`".to_owned()
                }
                Output::Json => json!({ "running": false }).to_string(),
            })?;
            return Ok(ExitCode::FAILURE);
        }
        let state = home.state()?;
        print(&match self.output {
            Output::Text => format!(
                "Watson Assistant {} runs: instance {} in namespace {} at {}\n{}\nkubeconfig: {}\nprocess {}, since {}",
                state.profile,
                state.instance,
                state.namespace,
                state.url,
                super::up::postgres(&state),
                state.kubeconfig.display(),
                state.pid,
                state.started
            ),
            Output::Json => {
                let mut json = serde_json::to_value(&state)?;
                json["running"] = true.into();
                format!("{json:#}")
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
