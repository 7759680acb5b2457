//! `upgrade-path`: which release can be restored onto which?

use std::io::{self, Write};

use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::release::{Release, Row, UpgradePath, table};
use wa_common::cli::{Context, Exit, Render};
use wa_common::report::{Styles, count};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Works without a cluster. Without a release it shows IBM's table; with one, its row; with two, whether a backup \
of the first can be restored onto the second in one step (exit code 0) or not (4), and the shortest way there."
)]
pub(super) struct Args {
    /// The release that was backed up, such as 4.8.8
    from: Option<Release>,
    /// The release to restore onto, such as 5.2.1
    to: Option<Release>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (Some(from), Some(to)) = (args.from, args.to) else {
        let rows = match args.from {
            None => table(),
            Some(from) => from.row().into_iter().collect(),
        };
        context.print(&Table {
            from: args.from,
            rows,
        })?;
        return Ok(Exit::Done);
    };
    let answer = Answer::new(from, to);
    context.print(&answer)?;
    Ok(if answer.supported {
        Exit::Done
    } else {
        Exit::Refused
    })
}

#[derive(Serialize)]
struct Table {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Release>,
    rows: Vec<Row>,
}

impl Render for Table {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        if let (Some(from), []) = (self.from, &self.rows[..]) {
            return writeln!(
                out,
                "IBM's table names no release that a backup of {from} can be restored onto, other than {from} itself."
            );
        }
        let rows = self.rows.iter().map(|row| {
            let to: Vec<String> = row.to.iter().map(ToString::to_string).collect();
            [
                row.from.to_string(),
                to.join(", "),
                row.remark.unwrap_or_default().to_owned(),
            ]
        });
        writeln!(
            out,
            "{}",
            styles.table(&["BACKED UP ON", "RESTORE ONTO", "REMARK"], rows)
        )?;
        writeln!(
            out,
            "\nA backup can always be restored onto the release that it was taken on."
        )
    }

    fn names(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.from.to_string()).collect()
    }
}

#[derive(Serialize)]
struct Answer {
    from: Release,
    to: Release,
    /// Whether one restore does it.
    supported: bool,
    /// The releases on the way, both ends included; none where there is no way.
    route: Vec<Release>,
    reason: String,
}

impl Answer {
    fn new(from: Release, to: Release) -> Self {
        let (supported, steps, reason) = match from.path_to(to) {
            UpgradePath::Same => (true, vec![], "it is the same release".to_owned()),
            UpgradePath::WithinLine => (
                true,
                vec![to],
                format!("both are of one line, {}", line_of(to)),
            ),
            UpgradePath::Direct => (true, vec![to], "IBM's table lists it".to_owned()),
            UpgradePath::Steps(steps) => {
                let number = count(steps.len() as u64, "step");
                let reason = format!(
                    "not at once; in {number}, each with a restore or an upgrade and a new backup"
                );
                (false, steps, reason)
            }
            UpgradePath::None(why) => (false, vec![], why),
        };
        let is_way = supported || !steps.is_empty();
        let route = std::iter::once(from).chain(steps);
        Self {
            from,
            to,
            supported,
            route: if is_way { route.collect() } else { Vec::new() },
            reason,
        }
    }
}

fn line_of(release: Release) -> String {
    let row = release.row().map(|row| row.from);
    row.unwrap_or(release).to_string()
}

impl Render for Answer {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        let (word, style) = if self.supported {
            ("yes", styles.good)
        } else {
            ("no", styles.bad)
        };
        writeln!(
            out,
            "{}: a backup of {} onto {}: {}",
            word.style(style),
            self.from,
            self.to,
            self.reason
        )?;
        if self.route.len() > 1 {
            writeln!(out, "{}", self.names().join(" → "))?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.route.iter().map(ToString::to_string).collect()
    }
}
