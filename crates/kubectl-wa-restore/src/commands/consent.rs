//! The user's word for what cannot be taken back by a key press: the instance's name, typed or given with `--yes`.

use wa_common::cli::{Context, ask_line};
use wa_common::report::printable;

use super::refused::Refused;

/// `--yes=INSTANCE`.
#[derive(Debug, clap::Args)]
pub(super) struct Consent {
    /// Do not ask; the instance's name says that you mean this one
    #[arg(long, value_name = "INSTANCE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    yes: Option<String>,
}

impl Consent {
    /// Refuses a `--yes` that does not name `instance`, before anything else is looked at where the name is known.
    pub(super) fn require_fits(&self, instance: &str) -> Result<(), Refused> {
        match self.yes.as_deref() {
            None => Ok(()),
            Some(given) if given == instance => Ok(()),
            Some("") => Err(Refused(format!(
                "a bare --yes is not taken here: write --yes={}",
                printable(instance)
            ))),
            Some(other) => Err(Refused(format!(
                "--yes={} does not name the instance, which is {}",
                printable(other),
                printable(instance)
            ))),
        }
    }

    /// Returns when the user has agreed to `what`; an error where not.
    pub(super) async fn ask(
        &self,
        context: &Context,
        instance: &str,
        what: &str,
    ) -> anyhow::Result<()> {
        self.require_fits(instance)?;
        if self.yes.is_some() {
            return Ok(());
        }
        // In a format for programs the lines before were JSON.
        let asked = if context.global.output.is_structured() {
            None
        } else {
            ask_line(&format!(
                "{what}\nType the instance's name ({}) to go on: ",
                printable(instance)
            ))
            .await?
        };
        match asked {
            None => Err(Refused(format!(
                "nobody can be asked without a terminal: give --yes={}",
                printable(instance)
            ))
            .into()),
            Some(typed) if typed == instance => Ok(()),
            Some(_) => Err(Refused("declined; nothing was changed".to_owned()).into()),
        }
    }
}
