//! What `status` tells, in Prometheus' text format.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::newest::{Newest, Row, StatusReport};
use super::on_volume::{OnVolume, VolumeDump};

/// A figure of a newest backup.
type Figure = (&'static str, &'static str, fn(&Newest) -> i64);

const FIGURES: [Figure; 6] = [
    (
        "last_success_timestamp_seconds",
        "When the data of the newest good backup was dumped.",
        |newest| newest.time.as_second(),
    ),
    (
        "age_seconds",
        "How old that data was when this file was written.",
        |newest| newest.age_seconds,
    ),
    (
        "size_bytes",
        "The size of the newest good backup.",
        |newest| i64::try_from(newest.bytes).unwrap_or(i64::MAX),
    ),
    ("verified", "Whether its dump was verified.", |newest| {
        i64::from(newest.verified)
    }),
    (
        "rehearsed",
        "Whether it was restored, as a trial.",
        |newest| i64::from(newest.rehearsed),
    ),
    ("protected", "Whether it is protected.", |newest| {
        i64::from(newest.protected)
    }),
];

/// A figure of the newest dump on a volume.
type VolumeFigure = (&'static str, &'static str, fn(&VolumeDump) -> i64);

const VOLUME_FIGURES: [VolumeFigure; 4] = [
    (
        "volume_last_success_timestamp_seconds",
        "When the newest dump on the volume of the nightly backup was written.",
        |newest| newest.time.as_second(),
    ),
    (
        "volume_age_seconds",
        "How old that dump was when this file was written.",
        |newest| newest.age_seconds,
    ),
    ("volume_size_bytes", "The size of that dump.", |newest| {
        i64::try_from(newest.bytes).unwrap_or(i64::MAX)
    }),
    (
        "volume_verified",
        "Whether a verified backup was made of that dump.",
        |newest| i64::from(newest.verified),
    ),
];

/// Writes the file whole: what reads it must not see a part. Anyone may read it; node_exporter runs as another user.
pub(super) fn write(file: &Path, report: &StatusReport) -> io::Result<()> {
    let directory = match file.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    };
    // A name that does not end in `.prom`, or it would be read.
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(text(report).as_bytes())?;
    new.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    new.as_file().sync_all()?;
    new.persist(file).map(drop).map_err(|error| error.error)
}

fn text(report: &StatusReport) -> String {
    let mut text = String::new();
    for (name, help, figure) in FIGURES {
        let values = report.installations.iter().filter_map(|row| {
            let newest = row.newest.as_ref()?;
            Some((labels(report, row), figure(newest)))
        });
        gauge(&mut text, name, help, values);
    }
    let sets = report.installations.iter().map(|row| {
        let sets = i64::try_from(row.backups).unwrap_or(i64::MAX);
        (labels(report, row), sets)
    });
    gauge(
        &mut text,
        "sets",
        "How many complete backups there are.",
        sets,
    );
    for (name, help, figure) in VOLUME_FIGURES {
        let values = report.volume.iter().filter_map(|volume| {
            let newest = volume.newest.as_ref()?;
            Some((volume_labels(volume), figure(newest)))
        });
        gauge(&mut text, name, help, values);
    }
    let directory = format!(
        "directory=\"{}\"",
        escaped(&report.directory.display().to_string())
    );
    let checked = [(directory, report.now.as_second())];
    gauge(
        &mut text,
        "checked_timestamp_seconds",
        "When this file was written.",
        checked,
    );
    text
}

/// Nothing where there are no values: an absent one is told by `absent()`, a zero would be a time.
fn gauge(
    text: &mut String,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (String, i64)>,
) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return;
    }
    let _ = writeln!(
        text,
        "# HELP wa_backup_{name} {help}\n# TYPE wa_backup_{name} gauge"
    );
    for (labels, value) in values {
        let _ = writeln!(text, "wa_backup_{name}{{{labels}}} {value}");
    }
}

fn labels(report: &StatusReport, row: &Row) -> String {
    let labels = [
        ("instance_name", &row.instance),
        ("namespace", &row.namespace),
        ("server", &row.server),
        ("directory", &report.directory.display().to_string()),
    ];
    let labels = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    labels.join(",")
}

fn volume_labels(volume: &OnVolume) -> String {
    let labels = [
        ("instance_name", &volume.instance),
        ("namespace", &volume.namespace),
        ("claim", &volume.claim),
    ];
    let labels = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    labels.join(",")
}

fn escaped(value: &str) -> String {
    let mut escaped = String::new();
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_says_cannot_end_a_label() {
        let value = "a\"} 1\nwa_backup_verified{x=\"\\\u{1b}";
        let expected = "a\\\"} 1\\nwa_backup_verified{x=\\\"\\\\\u{fffd}";
        assert_eq!(escaped(value), expected);
    }
}
