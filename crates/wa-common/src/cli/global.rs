//! Flags that stand beside kubectl's connection flags on every plugin.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::{ConnectionArgs, OutputFormat};
use crate::report::ColorChoice;

/// Flags every plugin takes, before or after its command.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// kubectl's connection flags.
    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// Watson Assistant instance; needed only where the namespace has several
    #[arg(
        short,
        long,
        global = true,
        value_name = "INSTANCE",
        help_heading = "Global options"
    )]
    pub instance: Option<String>,

    /// Output: human, wide, json, yaml, name, or jsonpath=TEMPLATE
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "human",
        hide_default_value = true,
        help_heading = "Global options"
    )]
    pub output: OutputFormat,

    /// Colours: auto, always or never (NO_COLOR is honoured)
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Global options"
    )]
    pub color: ColorChoice,

    /// No progress display, only one line for each step
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_progress: bool,

    /// Log level 0 to 9, as kubectl's; 6 shows each request
    #[arg(
        short,
        long = "v",
        alias = "loglevel",
        global = true,
        value_name = "LEVEL",
        default_value_t = 0,
        hide_default_value = true,
        value_parser = clap::value_parser!(u8).range(0..=10),
        help_heading = "Global options"
    )]
    pub verbosity: u8,
}

impl ValueEnum for ColorChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Always, Self::Never]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Auto => {
                PossibleValue::new("auto").help("On a terminal, unless `NO_COLOR` is set")
            }
            Self::Always => PossibleValue::new("always").help("Always"),
            Self::Never => PossibleValue::new("never").help("Never"),
        })
    }
}
