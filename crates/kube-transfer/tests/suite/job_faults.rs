//! Jobs over lines that break, in pods that restart, run full, or lie.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use kube_transfer::RemoteCommand;
use kube_transfer::job::{JobError, JobState};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use crate::support::{
    ApiServer, Behaviour, Fault, Pod, Subprotocol, end_of_session, eventually,
    job::{Disk, Place, containers, directory, rest},
    names, random_bytes, sweep_seed,
};

fn sh(script: &str) -> RemoteCommand {
    RemoteCommand::new("sh").args(["-c", script])
}

#[tokio::test]
async fn a_start_that_is_cut_anywhere_has_started_one_job_or_none() {
    let mut random = SmallRng::seed_from_u64(sweep_seed());
    for container in containers() {
        let faults = (0..24).map(|attempt| match attempt % 3 {
            0 => Fault::CutScript(random.random_range(0..9000)),
            1 => Fault::CutInput(random.random_range(0..34)),
            _ => Fault::Cut(random.random_range(0..150)),
        });
        let starts: Vec<_> = faults
            .map(|fault| is_started_over(container.pod(), fault))
            .collect();
        let started = join_all(starts).await;
        println!("started: {started:?}");
        assert!(started.contains(&true) && started.contains(&false));
    }
}

/// Whether a job was started over a line with this fault.
async fn is_started_over(pod: Pod, fault: Fault) -> bool {
    let broken = Pod {
        fault,
        ..pod.clone()
    };
    let place = Place::choosing(pod, Arc::new(move |_, _: &[String]| broken.clone())).await;
    let command = sh("echo $$; exec sleep 1000");
    let result = place.directory().start(&command).await;
    if let Err(error) = &result {
        assert!(matches!(error, JobError::Unsettled { .. }), "{error:?}");
        assert!(!error.is_transient());
    }
    place.settled().await;
    match place.state().await {
        JobState::Absent => {
            assert!(result.is_err(), "{fault:?}");
            false
        }
        JobState::Running(_) => {
            eventually("it did not begin", || place.file("log").ends_with(b"\n")).await;
            let log = String::from_utf8(place.file("log")).expect("UTF-8");
            let program = log.trim_end().parse().expect("one number");
            kill_process(Pid::from_raw(program).expect("a process"), Signal::TERM).expect("mine");
            place.is_clean().await;
            true
        }
        state => panic!("{fault:?}: {state:?}"),
    }
}

#[tokio::test]
async fn a_start_whose_client_goes_between_two_steps_is_completed() {
    for container in containers() {
        container.replace("mkdir", "#!/bin/sh\n/bin/mkdir \"$@\" && exec sleep 1\n");
        let place = Place::new(container.pod()).await;
        let directory = place.directory();
        let start = tokio::spawn(async move { directory.start(&sh("exec sleep 1000")).await });
        eventually("no directory was made", || place.path().exists()).await;
        start.abort();
        place.settled().await;
        let JobState::Running(job) = place.state().await else {
            panic!("half a job")
        };
        place.stop(job).await;
        place.is_clean().await;
    }
}

#[tokio::test]
async fn a_log_is_followed_whole_over_a_line_that_breaks() {
    let seed = sweep_seed();
    let content = random_bytes(1_500_000, seed);
    for container in containers() {
        let random = Mutex::new(SmallRng::seed_from_u64(seed));
        let sound = container.pod();
        let pod = sound.clone();
        let choice = move |number: usize, _: &[String]| {
            let mut random = random.lock().expect("not poisoned");
            let fault = match random.random_range(0..5) {
                _ if number == 0 => Fault::None,
                0 => Fault::CutScript(random.random_range(0..6000)),
                1 => Fault::CutInput(random.random_range(0..33)),
                2 => Fault::Cut(random.random_range(0..300_000)),
                _ => Fault::None,
            };
            Pod {
                fault,
                ..pod.clone()
            }
        };
        let place = Place::choosing(sound, Arc::new(choice)).await;
        let source = place.parent().join("source");
        std::fs::write(&source, &content).expect("a file");
        let script = "head -c 700000 \"$1\"; sleep 0.5; tail -c +700001 \"$1\"";
        let command = sh(script).arg("sh").arg(source.to_str().expect("UTF-8"));
        let job = place.directory().start(&command).await.expect("started");
        let (read, state) = rest(&mut job.log(0)).await.expect("all of it");
        assert!(read == content, "{} bytes", read.len());
        assert!(matches!(state, JobState::Ended(_)), "{state:?}");
        place.is_clean().await;
    }
}

#[tokio::test]
async fn a_job_of_another_container_or_process_is_gone() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        let here = || {
            place
                .directory()
                .in_container("containerd://1")
                .expect("an id")
        };
        let job = here().start(&sh("exec sleep 1000")).await.expect("started");
        assert!(matches!(here().status().await, Ok(JobState::Running(_))));
        assert!(matches!(place.state().await, JobState::Running(_)));
        let other = place.directory().in_container("containerd://2");
        let state = other.expect("an id").status().await;
        assert!(matches!(state, Ok(JobState::Gone(_))), "{state:?}");
        let record = place.record();
        assert_eq!(record[4], "containerd://1");
        for changed in [1, 2, 3] {
            let mut false_record = record.clone();
            // A number that was used again belongs to a process that began at another time.
            false_record[changed] = match changed {
                1 => std::process::id().to_string(),
                _ => format!("{}1", record[changed]),
            };
            place.write("state", false_record.join(" ") + "\n");
            let state = place.state().await;
            let JobState::Gone(gone) = state else {
                panic!("{changed}: {state:?}")
            };
            // Nobody is signalled in its place, and its log is there.
            rest(&mut gone.log(0)).await.expect("a log");
        }
        place.write("state", record.join(" ") + "\n");
        place.stop(job).await;
        place.is_clean().await;
    }
}

#[tokio::test]
async fn a_job_whose_wrapper_was_killed_is_gone_though_it_stays_a_zombie() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        let job = place
            .directory()
            .start(&sh("exec sleep 0.5"))
            .await
            .expect("started");
        let wrapper = place.wrapper();
        kill_process(wrapper, Signal::KILL).expect("mine");
        let mut log = job.log(0);
        let end = timeout(Duration::from_mins(1), rest(&mut log)).await;
        let (_, state) = end.expect("an end").expect("a log");
        let JobState::Gone(gone) = state else {
            panic!("{state:?}")
        };
        gone.remove().await.expect("removed");
        assert!(names(place.parent()).is_empty());
    }
}

#[tokio::test]
async fn signals_to_the_wrapper_itself_do_not_change_its_exit_code() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        place
            .directory()
            .start(&sh("exec sleep 1000"))
            .await
            .expect("started");
        for signal in [Signal::HUP, Signal::INT, Signal::QUIT] {
            kill_process(place.wrapper(), signal).expect("mine");
        }
        let JobState::Running(job) = place.state().await else {
            panic!("it has ended")
        };
        place.stop(job).await;
        place.is_clean().await;
    }
}

#[tokio::test]
async fn on_a_full_or_read_only_file_system_no_job_is_started_and_nothing_is_left() {
    for (prepare, attempt, why) in [
        (
            "head -c 8000 /dev/zero >/mnt/other 2>/dev/null",
            "write its state",
            "",
        ),
        (
            "mount -o remount,ro /mnt",
            "create its directory",
            "Read-only file system",
        ),
    ] {
        for container in containers() {
            let Some(disk) = Disk::new(4, prepare) else {
                return;
            };
            let pod = disk.pod(&container.pod());
            let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod.clone())).await;
            let place = directory(&server, Path::new("/mnt/job"));
            let error = place.start(&sh("echo x")).await.expect_err("no room");
            assert!(
                matches!(&error, JobError::Failed { action, said, .. }
                    if action == attempt && said.contains(why)),
                "{error:?}"
            );
            assert!(!error.is_transient());
            assert!(!names(&disk.path()).contains(&"job".to_owned()));
            pod.node.is_clean().await;
        }
    }
}

#[tokio::test]
async fn a_job_that_fills_the_file_system_still_leaves_its_exit_code() {
    for container in containers() {
        let Some(disk) = Disk::new(64, ":") else {
            return;
        };
        let pod = disk.pod(&container.pod());
        let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, pod.clone())).await;
        let place = directory(&server, Path::new("/mnt/job"));
        let command = sh("cat /dev/zero; exit 7");
        let job = place.start(&command).await.expect("started");
        let (log, state) = rest(&mut job.log(0)).await.expect("a log");
        assert!(log.len() > 20_000, "{} bytes", log.len());
        let JobState::Ended(job) = state else {
            panic!("{state:?}")
        };
        assert_eq!(job.code(), 7);
        job.remove().await.expect("removed");
        assert!(names(&disk.path()).is_empty());
        pod.node.is_clean().await;
    }
}

#[tokio::test]
async fn a_removal_that_is_cut_anywhere_leaves_a_job_that_can_be_removed() {
    let mut random = SmallRng::seed_from_u64(sweep_seed());
    let container = &containers()[0];
    for attempt in 0..10 {
        let fault = match attempt % 2 {
            0 => Fault::CutScript(random.random_range(0..6000)),
            _ => Fault::CutInput(random.random_range(0..34)),
        };
        let sound = container.pod();
        let pod = sound.clone();
        // The third request: after start and stop.
        let choice = move |number: usize, _: &[String]| Pod {
            fault: if number == 2 { fault } else { Fault::None },
            ..pod.clone()
        };
        let place = Place::choosing(sound, Arc::new(choice)).await;
        let job = place
            .directory()
            .start(&sh("echo x"))
            .await
            .expect("started");
        let wrapper = place.wrapper();
        assert_eq!(end_of_session(wrapper).await, 0);
        let JobState::Ended(job) = job.stop(Duration::ZERO).await.expect("ended") else {
            panic!("not ended")
        };
        if let Err(error) = job.remove().await {
            assert!(error.is_transient(), "{error:?}");
            place.settled().await;
            match place.state().await {
                JobState::Absent => {}
                JobState::Ended(job) => job.remove().await.expect("removed"),
                state => panic!("{fault:?}: {state:?}"),
            }
        }
        assert!(names(place.parent()).is_empty());
        place.settled().await;
    }
}

#[tokio::test]
async fn where_no_directory_can_be_made_the_pod_says_why() {
    for container in containers() {
        let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, container.pod())).await;
        let place = directory(&server, Path::new("/proc/job"));
        let error = place.start(&sh("")).await.expect_err("refused");
        assert!(
            matches!(&error, JobError::Failed { action, said, .. }
                if action == "create its directory" && said.contains("/proc/job")),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn without_a_tool_no_job_is_started() {
    for container in containers() {
        container.replace("setsid", "#!/bin/sh\nexit 1\n");
        let place = Place::new(container.pod()).await;
        let error = place.directory().start(&sh("")).await.expect_err("refused");
        assert!(
            matches!(&error, JobError::Failed { action, .. } if action == "run setsid"),
            "{error:?}"
        );
        container.remove("setsid");
        let error = place.directory().start(&sh("")).await.expect_err("refused");
        assert!(
            matches!(&error, JobError::MissingTool { tool } if tool == "setsid"),
            "{error:?}"
        );
        assert!(names(place.parent()).is_empty());
    }
}

#[tokio::test]
async fn files_that_somebody_changed_run_nothing_and_are_never_taken_for_an_end() {
    let hostile: [&[u8]; 10] = [
        b"",
        b"\n\n",
        b"1 0 0 0 -\x1b[2J extra words\n",
        b"1 $(touch /tmp/kube-transfer-was-here) 1 1 -\n",
        b"1 `id` 1 1 -\nended 0 1 1 1 1 -\n",
        b"2 1 1 1 -\n",
        b"1 * * * *\n",
        b"1 -1 1 1 -\n",
        b"1 1\0 1\n",
        &[b'7'; 10_000],
    ];
    for container in containers() {
        let place = Place::new(container.pod()).await;
        let job = place
            .directory()
            .start(&sh("exec sleep 1000"))
            .await
            .expect("started");
        let record = place.record().join(" ") + "\n";
        for content in hostile {
            place.write("state", content);
            let error = place.directory().status().await.expect_err("no state");
            let JobError::Unreadable { answer, .. } = &error else {
                panic!("{error:?}")
            };
            assert!(answer.len() < 400 && !answer.contains('\x1b'), "{answer:?}");
            let stopped = job.stop(Duration::ZERO).await;
            assert!(
                matches!(stopped, Err(JobError::Replaced { .. })),
                "{stopped:?}"
            );
        }
        assert!(!Path::new("/tmp/kube-transfer-was-here").exists());
        place.write("state", &record);
        for name in ["ended.", "ended.x", "ended.$(id)", "ended.0\nended.1"] {
            place.write(name, "");
        }
        assert!(matches!(place.state().await, JobState::Running(_)));
        place.write("ended.999", "");
        let error = place.directory().status().await.expect_err("no exit code");
        assert!(matches!(error, JobError::Unreadable { .. }), "{error:?}");
        std::fs::remove_file(place.path().join("ended.999")).expect("mine");
        place.stop(job).await;
        let wrapper = place.wrapper();
        place.ended().await.remove().await.expect("removed");
        assert!(names(place.parent()).is_empty());
        place.is_clean_after(wrapper).await;
    }
}

#[tokio::test]
async fn a_start_that_was_killed_halfway_is_distinguished_from_one_under_way() {
    for container in containers() {
        let place = Place::new(container.pod()).await;
        std::fs::create_dir(place.path()).expect("a directory");
        let stat = std::fs::read_to_string("/proc/self/stat").expect("a process");
        let began = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(19));
        let init = std::fs::read_to_string("/proc/1/stat").expect("a process");
        let up = init
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(19));
        let (began, up) = (began.expect("a time"), up.expect("a time"));
        let me = std::process::id();
        place.write("starter", format!("1 {me} {began} {up} -\n"));
        assert!(matches!(place.state().await, JobState::Starting));
        place.write("starter", format!("1 {me} {began}1 {up} -\n"));
        let JobState::Gone(gone) = place.state().await else {
            panic!("not gone")
        };
        gone.remove().await.expect("removed");
        assert!(names(place.parent()).is_empty());
    }
}
