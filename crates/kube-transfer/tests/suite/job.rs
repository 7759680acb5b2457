//! Jobs in pods: what they run, what they leave, and how they are found again.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use kube_transfer::RemoteCommand;
use kube_transfer::job::{JobError, JobState, LogPart};
use sha2::{Digest as _, Sha256};

use crate::support::{
    eventually,
    job::{Place, containers, rest},
    names, secret,
};

fn sh(script: &str) -> RemoteCommand {
    RemoteCommand::new("sh").args(["-c", script])
}

#[tokio::test]
async fn a_job_ends_with_the_exit_code_of_its_program_and_its_wrapper_with_0() {
    for container in containers() {
        let commands = [
            (RemoteCommand::new("printf").arg("a\\000b\\033[2J"), 0),
            (sh("echo out; echo err >&2; exit 3"), 3),
            (sh("kill -9 $$"), 137),
            (sh("kill -1 $$"), 129),
            (RemoteCommand::new("no-such-program"), 127),
            (RemoteCommand::new("/etc"), 126),
        ];
        for (command, code) in commands {
            let place = Place::new(container.pod()).await;
            place.directory().start(&command).await.expect("started");
            let job = place.ended().await;
            assert_eq!(job.code(), code, "{command:?}");
            let (log, _) = rest(&mut job.log(0)).await.expect("a log");
            match code {
                0 => assert_eq!(log, b"a\0b\x1b[2J"),
                3 => assert_eq!(log, b"out\nerr\n"),
                126 | 127 => assert!(!log.is_empty(), "nobody says why"),
                _ => assert_eq!(log, b""),
            }
            let collected = job.collect().await.expect("collected");
            assert_eq!(collected.code, code);
            assert_eq!(collected.log_bytes, log.len() as u64);
            let digest: [u8; 32] = Sha256::digest(&log).into();
            assert_eq!(collected.log_sha256, digest.into());
            let wrapper = place.wrapper();
            job.remove().await.expect("removed");
            assert!(names(place.parent()).is_empty());
            job.remove().await.expect("still removed");
            place.is_clean_after(wrapper).await;
        }
    }
}

#[tokio::test]
async fn a_job_runs_on_when_the_exec_has_ended_and_is_found_by_anyone() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        let go = place.parent().join("go");
        let command = sh("until [ -e \"$1\" ]; do sleep 0.1; done; echo done");
        let command = command.arg("sh").arg(go.to_str().expect("UTF-8"));
        place.directory().start(&command).await.expect("started");
        assert!(matches!(place.state().await, JobState::Running(_)));
        std::fs::write(go, "").expect("a file");
        assert_eq!(place.ended().await.code(), 0);
        assert_eq!(place.file("log"), b"done\n");
        place.is_clean().await;
    }
}

#[tokio::test]
async fn a_secret_reaches_the_program_and_is_written_and_shown_nowhere() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        let seen = place.parent().join("seen");
        let command =
            sh("printf %s \"$PASSWORD\" >\"$1.new\"; mv \"$1.new\" \"$1\"; exec sleep 1000")
                .arg("sh")
                .arg(seen.to_str().expect("UTF-8"))
                .env("PASSWORD", secret("hunter2 \"$x\\ "))
                .expect("a name");
        let job = place.directory().start(&command).await.expect("started");
        eventually("the program was not run", || seen.exists()).await;
        assert_eq!(std::fs::read(seen).expect("a file"), b"hunter2 \"$x\\ ");
        for request in place.requests() {
            assert!(!request.contains("hunter2"), "{request}");
            assert!(
                !request.contains("mkdir"),
                "the script is in the URL: {request}"
            );
        }
        for name in names(&place.path()) {
            let mode = place.path().join(&name).metadata().expect("a file");
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{name}");
            let content = String::from_utf8_lossy(&place.file(&name)).into_owned();
            assert!(!content.contains("hunter2"), "{name}");
        }
        let mode = place.path().metadata().expect("a directory").permissions();
        assert_eq!(mode.mode() & 0o777, 0o700);
        let wrapper = place.wrapper().as_raw_nonzero();
        let arguments = std::fs::read_to_string(format!("/proc/{wrapper}/cmdline"));
        assert!(!arguments.expect("it lives").contains("hunter2"));
        let state = job.stop(Duration::from_mins(1)).await.expect("stopped");
        assert!(
            matches!(&state, JobState::Ended(job) if job.code() == 143),
            "{state:?}"
        );
        place.is_clean().await;
    }
}

#[tokio::test]
async fn a_program_finds_what_an_ordinary_one_finds() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        // The directory that is listed is open as the next file. Files that this process has inherited do not count.
        let command = sh("umask; pwd; cat; exec ls /proc/self/fd").current_dir("/usr/..");
        place.directory().start(&command).await.expect("started");
        place.ended().await;
        let log = String::from_utf8(place.file("log")).expect("UTF-8");
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[0], "0022", "{log}");
        assert!(["/", "/usr/.."].contains(&lines[1]), "{log}");
        let own: Vec<&&str> = lines[2..].iter().filter(|file| !inherited(file)).collect();
        assert!(own.iter().all(|file| **file == "3"), "{log}");
        place.is_clean().await;
    }
}

/// Whether this process hands its file of this number to its children.
fn inherited(file: &str) -> bool {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{file}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
}

#[tokio::test]
async fn a_job_is_stopped_by_asking_and_if_need_be_by_force() {
    for container in containers() {
        for (script, grace, code) in [
            ("exec sleep 1000", 60, 143),
            ("trap 'exit 5' TERM; while :; do sleep 0.1; done", 60, 5),
            ("trap '' TERM; echo deaf; exec sleep 1000", 1, 137),
        ] {
            let place = Place::new(container.pod()).await;
            let job = place.directory().start(&sh(script)).await.expect("started");
            if code == 137 {
                eventually("it did not begin", || !place.file("log").is_empty()).await;
            }
            let state = job.stop(Duration::from_secs(grace)).await.expect("ended");
            assert!(
                matches!(&state, JobState::Ended(job) if job.code() == code),
                "{script}: {state:?}"
            );
            let again = job.stop(Duration::ZERO).await.expect("ended before");
            assert!(matches!(again, JobState::Ended(_)), "{again:?}");
            place.is_clean().await;
        }
    }
}

#[tokio::test]
async fn of_two_starts_one_is_refused() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        let directory = place.directory();
        let mark = place.parent().join("mark");
        let command = sh("echo x >>\"$1\"")
            .arg("sh")
            .arg(mark.to_str().expect("UTF-8"));
        let results = tokio::join!(directory.start(&command), directory.start(&command));
        let refused = match results {
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused, JobError::Exists { .. }), "{refused:?}");
        assert!(!refused.is_transient());
        place.ended().await;
        assert_eq!(std::fs::read(mark).expect("a file"), b"x\n");
        place.is_clean().await;
    }
}

#[tokio::test]
async fn a_log_is_followed_while_it_grows_to_its_end_without_a_newline() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        let script = "for i in 1 2 3; do printf \"$i\\000\\033\\n\"; sleep 0.4; done; printf end";
        let job = place.directory().start(&sh(script)).await.expect("started");
        let mut log = job.log(0);
        let first = log.next().await.expect("a part");
        let LogPart::Data(mut read) = first else {
            panic!("{first:?}")
        };
        let offset = read.len() as u64;
        assert_eq!(log.offset(), offset);
        // Somebody else goes on.
        let (more, state) = rest(&mut job.log(offset)).await.expect("the rest");
        read.extend(more);
        assert_eq!(read, b"1\0\x1b\n2\0\x1b\n3\0\x1b\nend");
        assert!(matches!(state, JobState::Ended(_)), "{state:?}");
        let beyond = job.log(1000).next().await;
        assert!(
            matches!(beyond, Err(JobError::LogShrank { .. })),
            "{beyond:?}"
        );
        place.is_clean().await;
    }
}

#[tokio::test]
async fn where_there_is_no_job_none_is_found() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        assert!(matches!(place.state().await, JobState::Absent));
        std::fs::create_dir(place.path()).expect("a directory");
        let error = place.directory().status().await.expect_err("no job");
        assert!(matches!(error, JobError::NoRecord { .. }), "{error:?}");
        let error = place.directory().start(&sh("")).await.expect_err("refused");
        assert!(matches!(error, JobError::Exists { .. }), "{error:?}");
        assert!(names(&place.path()).is_empty());
    }
}

#[tokio::test]
async fn a_handle_does_not_touch_the_next_job_in_its_directory() {
    let container = &containers()[0];
    let place = Place::new(container.pod()).await;
    place.directory().start(&sh("")).await.expect("started");
    let old = place.ended().await;
    place.is_clean().await;
    old.remove().await.expect("removed");
    let removed = old.collect().await;
    assert!(
        matches!(removed, Err(JobError::Removed { .. })),
        "{removed:?}"
    );
    place
        .directory()
        .start(&sh(""))
        .await
        .expect("started again");
    place.ended().await;
    for error in [old.remove().await.err(), old.collect().await.err()] {
        assert!(
            matches!(error, Some(JobError::Replaced { .. })),
            "{error:?}"
        );
    }
    place.is_clean().await;
}

#[tokio::test]
async fn what_cannot_be_a_directory_or_a_container_is_refused_here() {
    let container = &containers()[0];
    let place = Place::new(container.pod()).await;
    let id = place.directory().in_container("a b");
    assert!(
        matches!(id, Err(JobError::InvalidContainerId { .. })),
        "{id:?}"
    );
    let missing = sh("").current_dir("/no/such");
    let error = place
        .directory()
        .start(&missing)
        .await
        .expect_err("refused");
    assert!(
        matches!(&error, JobError::Failed { action, .. } if action == "enter its working directory"),
        "{error:?}"
    );
    assert!(!place.path().exists());
}

#[tokio::test]
async fn a_command_with_input_is_refused_and_nothing_is_started() {
    let container = containers().remove(0);
    let place = Place::new(container.pod()).await;
    let command = sh("cat").input_line(secret("a line"));
    let error = place.directory().start(&command).await;
    assert!(matches!(error, Err(JobError::HasInput)), "{error:?}");
    assert!(place.requests().is_empty());
}
