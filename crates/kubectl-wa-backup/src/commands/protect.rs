//! `protect`: a backup that `prune` leaves alone.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use backup_places::BucketArgs;
use backup_set::{Protected, Protection, ToolRecord};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::Serialize;
use wa_common::cli::{About, Context, Exit, Render, no_permissions};
use wa_common::report::{Styles, printable};

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup protect latest",
        "kubectl wa-backup protect wa-backups/wa-cpd-20261122T205500Z --until 2027-06-30",
        "kubectl wa-backup protect latest --remove",
    ],
    changes: "nothing in the cluster; writes protected.json into the backup set",
    permissions: no_permissions,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory or URL of a backup set, `latest`, `latest~N`, a day, or the beginning of a set's name
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,

    /// The last day that it is protected (2027-06-30, in UTC), or a time [default: for good]
    #[arg(long, value_name = "DATE", value_parser = parse_until, conflicts_with = "remove")]
    until: Option<Timestamp>,

    /// End the protection
    #[arg(long)]
    remove: bool,

    #[command(flatten)]
    bucket: BucketArgs,
}

/// A day counts to its end.
fn parse_until(text: &str) -> Result<Timestamp, String> {
    let of_day = |date: Date| {
        let next = date.checked_add(1.day()).ok()?;
        Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let until = match text.parse::<Timestamp>() {
        Ok(time) => Some(time),
        Err(_) if text.len() > "2027-06-30".len() => None,
        Err(_) => text.parse().ok().and_then(of_day),
    };
    let until = until.ok_or("write a day, 2027-06-30, or a time, 2027-06-30T12:00:00Z")?;
    if until <= Timestamp::now() {
        return Err("that is over".to_owned());
    }
    Ok(until)
}

#[derive(Serialize)]
struct ProtectReport {
    path: PathBuf,
    protected: bool,
    until: Option<Timestamp>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let bucket = args.bucket.bucket([&args.backup], context)?;
    let set = bucket.set(&bucket.resolve(&args.backup)?)?;
    let path = set.location().to_owned();
    if args.remove {
        Protection::remove(&*set)
            .with_context(|| format!("cannot end the protection of {}", path.display()))?;
    } else {
        if bucket.open(&path, None)?.manifest().is_none() {
            bail!(
                "{} is a dump that stands alone: only a backup set can be protected, and `prune` deletes nothing else",
                path.display()
            );
        }
        let tool = ToolRecord {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Protection::new(tool, args.until)
            .write(&*set)
            .with_context(|| format!("cannot protect {}", path.display()))?;
    }
    let again = set
        .again()
        .with_context(|| format!("cannot look at {}", path.display()))?;
    let protected = Protected::from_set(&*again, Timestamp::now());
    context.print(&ProtectReport {
        protected: protected.is_on(),
        until: args.until,
        path,
    })?;
    Ok(Exit::Done)
}

impl Render for ProtectReport {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        let path = self.path.display().to_string();
        let path = printable(&path);
        match (self.protected, self.until) {
            (true, None) => writeln!(out, "backup {path} is protected, until --remove"),
            (true, Some(until)) => {
                let until = until.strftime("%Y-%m-%d %H:%M UTC");
                writeln!(out, "backup {path} is protected until {until}")
            }
            (false, _) => writeln!(out, "backup {path} is not protected"),
        }
    }

    fn names(&self) -> Vec<String> {
        vec![self.path.display().to_string()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_protected_to_its_end_and_what_is_over_is_refused() {
        let until = |text| parse_until(text).map(|until| until.to_string());
        assert_eq!(until("2999-06-30").as_deref(), Ok("2999-07-01T00:00:00Z"));
        let time = "2999-06-30T12:00:00+02:00";
        assert_eq!(until(time).as_deref(), Ok("2999-06-30T10:00:00Z"));
        for bad in [
            "",
            "2001-01-01",
            "tomorrow",
            "30.6.2999",
            "2999-06-30 12:00",
        ] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
