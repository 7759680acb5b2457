//! Errors as they are printed: a cause is told by what it is the cause of, or stands after it, never both.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

use backup_set::{Backup, SetError};
use kube::core::Status;
use wa_common::cluster::{ClusterError, TimedOut, WaitError};
use wa_common::run::{Loss, RunError};

type AnyError = Box<dyn Error + Send + Sync>;

fn io_error() -> io::Error {
    io::Error::new(ErrorKind::StorageFull, "the disk is full")
}

fn cluster(error: kube::Error) -> ClusterError {
    ClusterError::from_kube(error, "https://api.example:6443", "list pods")
}

fn forbidden() -> ClusterError {
    let status = Status {
        code: 403,
        reason: "Forbidden".to_owned(),
        message: "you may not list pods".to_owned(),
        ..Status::default()
    };
    cluster(kube::Error::Api(Box::new(status)))
}

/// One of each kind that has a cause, and what is printed of it must hold.
fn representative() -> Vec<(AnyError, &'static str)> {
    let directory = tempfile::tempdir().unwrap();
    let no_backup = Backup::open(&directory.path().join("gone")).unwrap_err();
    let run = RunError::Cluster {
        what: "begin a run".to_owned(),
        source: forbidden(),
    };
    let lost = RunError::Lost {
        run: "wa-pvc-1".to_owned(),
        loss: Loss::Gone,
    };
    let timed_out = TimedOut {
        what: "for pod a".to_owned(),
        after: std::time::Duration::from_secs(10),
        state: "it pulls its image".to_owned(),
    };
    let service = kube::Error::Service(Box::new(io_error()));
    vec![
        (forbidden().into(), "you may not list pods"),
        (cluster(service).into(), "the disk is full"),
        (
            run.into(),
            "begin a run: Error from server (Forbidden): you may not",
        ),
        (lost.into(), "it is gone"),
        (
            WaitError::<RunError>::TimedOut(timed_out).into(),
            "it pulls its image",
        ),
        (no_backup.into(), "No such file"),
        (
            SetError::writing(Path::new("/backups"), io_error()).into(),
            "cannot write /backups: the disk is full",
        ),
    ]
}

#[test]
fn no_text_of_an_error_is_repeated_by_its_causes() {
    for (error, expected) in representative() {
        let first: &(dyn Error + 'static) = &*error;
        let chain = std::iter::successors(Some(first), |&error| error.source());
        let parts: Vec<String> = chain.map(ToString::to_string).collect();
        for (at, part) in parts.iter().enumerate() {
            let repeated = parts[..at].iter().find(|before| before.contains(part));
            assert_eq!(repeated, None, "{part:?} is in {parts:?} twice");
        }
        let printed = parts.join(": ");
        assert!(printed.contains(expected), "{printed}");
    }
}

#[test]
fn libraries_name_no_option_of_a_plugin() {
    let in_the_way = SetError::InTheWay {
        path: "/backups/wa".into(),
        what: "is a file".to_owned(),
    };
    let full = SetError::writing(Path::new("/backups"), io_error());
    for error in [in_the_way, full] {
        assert!(!error.to_string().contains("--"), "{error}");
    }
}
