//! `logs`: what pgmig prints.

use std::io::{IsTerminal as _, Write as _, stdout};

use anyhow::Context as _;
use store_restore::procedure::follow_log;
use wa_common::cli::{Context, Exit};
use wa_common::report::printable_lines;

use super::resume::{found, instance};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the log in the pod, from any machine, as long as the restore is not cleaned up after. The machine that runs the restore \
keeps it too. pgmig says nothing while it restores."
)]
pub(super) struct Args {
    /// Go on until pgmig has ended
    #[arg(short, long)]
    follow: bool,
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let cluster = context.connect()?;
    let instance = instance(context, &cluster).await?;
    let found = found(&cluster, &instance).await?;
    let mut out = stdout();
    let on_terminal = out.is_terminal();
    let shown = follow_log(&cluster, &found, args.follow, |data| {
        let written = if on_terminal {
            let text = String::from_utf8_lossy(data);
            write!(out, "{}", printable_lines(&text))
        } else {
            out.write_all(data)
        };
        Ok(written.and_then(|()| out.flush())?)
    });
    shown
        .await
        .map(|()| Exit::Done)
        .context("cannot show the log of pgmig")
}
