//! A restore whose connections are cut and whose credentials expire: it ends well, or says where everything is, and
//! `resume` or `rollback` brings it to one end.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use end_to_end::{Objects, Outcome, Restored, run, sweep_random, sweep_rounds, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use wa_sandbox::world::Profile;

/// How a connection breaks.
#[derive(Debug)]
enum Cut {
    /// A request is not carried out, or is and its answer is lost.
    HangUp { done: bool },
    /// The stream of a command in a pod, after so many bytes.
    Stream { bytes: u64 },
    /// All of them, for so many milliseconds.
    Everything { millis: u64 },
}

impl Cut {
    fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..4) {
            0 => Self::HangUp { done: true },
            1 => Self::HangUp { done: false },
            2 => Self::Stream {
                bytes: random.random_range(0..3000),
            },
            _ => Self::Everything {
                millis: random.random_range(0..4000),
            },
        }
    }

    fn make(&self, restored: &Restored) {
        let world = restored.world();
        match *self {
            Self::HangUp { done } => {
                world.fault(Matcher::default(), Some(1), Effect::HangUp { done });
            }
            Self::Stream { bytes } => {
                let on = Matcher {
                    subresource: Some("exec".to_owned()),
                    ..Matcher::default()
                };
                world.fault(on, Some(1), Effect::CutAfter { bytes });
            }
            Self::Everything { millis } => {
                world.fault(Matcher::default(), None, Effect::RefuseConnections);
                std::thread::sleep(Duration::from_millis(millis));
                world.sandbox().faults().clear();
            }
        }
    }
}

/// How many requests the plugin has sent.
fn sent(restored: &Restored) -> usize {
    let requests = restored.world().sandbox().requests();
    let own = requests
        .iter()
        .filter(|request| request.agent.starts_with("kubectl-wa-restore"));
    own.count()
}

/// What nothing may be changed of, whatever the end is.
fn others(restored: &Restored) -> Objects {
    Objects::from_world(restored.world()).without(|name| {
        let own = [
            "configmaps/wa-restore-",
            "leases/wa-restore-",
            "secrets/wa-restore-",
        ];
        name == "secrets/wa-auth-encryption" || own.iter().any(|start| name.starts_with(start))
    })
}

fn key(restored: &Restored) -> String {
    let template = "go-template={{.data.authorization_encryption_key}}";
    let get = ["get", "secret", "wa-auth-encryption", "-o", template];
    restored.world().kubectl(&get)
}

#[test]
fn wherever_a_connection_is_cut_the_restore_succeeds_or_is_resumed_or_rolled_back() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    let (before, old_key) = (others(&restored), key(&restored));
    // How many places there are, and what the new key is.
    restored.run(&["--no-safety-backup"]).expect_code(0);
    let (places, new_key) = (sent(&restored), key(&restored));
    println!("{places} requests");
    let reset = |restored: &Restored| {
        restored.reset();
        let patch = json!({"data": {"authorization_encryption_key": old_key}}).to_string();
        let patch = [
            "patch",
            "secret",
            "wa-auth-encryption",
            "--type=merge",
            "-p",
            &patch,
        ];
        restored.world().kubectl(&patch);
    };
    reset(&restored);
    let mut random = sweep_random();
    for round in 0..sweep_rounds(3, 200) {
        let (place, cut) = (random.random_range(0..places), Cut::any(&mut random));
        println!("round {round}: {cut:?} after {place} requests");
        let mut far_side = restored.world().far_side_of_server();
        far_side.allow_wrappers();
        let first = sent(&restored);
        let said = tempfile::NamedTempFile::new().unwrap();
        let mut child = restored.start(&["--no-safety-backup"], &said);
        wait_until("it has come so far", || {
            sent(&restored) >= first + place || child.try_wait().unwrap().is_some()
        });
        cut.make(&restored);
        let code = child.wait().unwrap().code().unwrap();
        restored.world().sandbox().faults().clear();
        println!("{code}: {}", fs::read_to_string(said.path()).unwrap());
        let is_new = match code {
            0 => true,
            // It was not begun, or everything was undone.
            1 | 4 => false,
            6 => {
                let status = restored.restore(&["status", "-o", "json"]).expect_code(6);
                assert_eq!(status.json()["state"], "stopped", "{status:?}");
                let goes_on = round % 2 == 0;
                let end: &[&str] = if goes_on {
                    &["resume"]
                } else {
                    &["rollback", "--yes=wa"]
                };
                restored.restore(end).expect_code(0);
                goes_on
            }
            other => panic!("it ended with exit code {other}"),
        };
        if is_new {
            restored.assert_new();
            assert_eq!(key(&restored), new_key);
        } else {
            restored.assert_old();
            assert_eq!(key(&restored), old_key);
        }
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
        before.assert_same_as(&others(&restored));
        far_side.expect_as_before();
        drop(far_side);
        reset(&restored);
    }
}

#[test]
fn an_api_server_that_serves_nothing_for_a_while_costs_a_restore_time_and_nothing_else() {
    let restored = Restored::prepare(Profile::V5_2_1);
    // More than a request is tried again by itself: first when production stops, then when it comes back.
    let refuse = || {
        let on = Matcher {
            subresource: Some("scale".to_owned()),
            ..Matcher::default()
        };
        let effect = Effect::Status {
            code: 503,
            message: "the server is currently unable to handle the request".to_owned(),
            retry_after: None,
        };
        restored.world().fault(on, Some(6), effect);
    };
    let said = tempfile::NamedTempFile::new().unwrap();
    refuse();
    let mut child = restored.start(&["--no-safety-backup"], &said);
    wait_until("pgmig is at work", || {
        restored.state_of("migrate").as_deref() == Some("started")
            || child.try_wait().unwrap().is_some()
    });
    refuse();
    let code = child.wait().unwrap().code();
    let told = fs::read_to_string(said.path()).unwrap();
    println!("{told}");
    assert_eq!(code, Some(0), "{told}");
    for step in ["quiesce", "resume service"] {
        let retried = told
            .lines()
            .any(|line| line.contains(step) && line.contains("unable to handle"));
        assert!(retried, "no {step} was tried again: {told}");
    }
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

#[test]
fn somebody_who_stays_connected_is_named_and_does_not_keep_production_down() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let psql = restored.world().psql_command();
    let variables = psql
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    // As the store's own user, again whenever its sessions are ended. Several, so that one of them is there at any moment.
    let mut stay = Command::new("sh");
    stay.envs(variables).args([
        "-c",
        "while sleep 0.05; do psql -XAtqc 'select pg_sleep(120)' 2>/dev/null; done",
    ]);
    let mut connected = [(); 4].map(|()| stay.spawn().unwrap());
    let ended = restored.run(&["--no-safety-backup"]);
    for one in &mut connected {
        one.kill().unwrap();
        one.wait().unwrap();
    }
    let ended = ended.expect_code(0);
    let named = ended
        .stderr
        .lines()
        .any(|line| line.contains("though the store is at 0: ") && line.contains(" of bystander"));
    assert!(named, "{}", ended.stderr);
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

/// Lets in a user who may do everything, and returns a kubeconfig for it and the token in that.
fn let_in(restored: &Restored, directory: &Path) -> (PathBuf, String) {
    let sandbox = restored.world().sandbox();
    let given = sandbox.user_kubeconfig("night-shift").unwrap();
    let text = fs::read_to_string(&given).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    let token = config["users"][0]["user"]["token"].as_str().unwrap();
    let path = directory.join(token).with_extension("kubeconfig");
    fs::write(&path, text).unwrap();
    (path, token.to_owned())
}

/// Has the user of [`let_in`] do everything.
fn allow_everything(restored: &Restored) {
    let rule = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    restored.world().create(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "everything"}, "rules": [rule],
    }));
    let binding = ["create", "clusterrolebinding", "night-shift"];
    let who = ["--clusterrole=everything", "--user=night-shift"];
    restored
        .world()
        .kubectl(&[binding.as_slice(), &who].concat());
}

/// Starts a restore as that user.
fn start_as(restored: &Restored, kubeconfig: &Path, said: &tempfile::NamedTempFile) -> Child {
    restored
        .run_command(&["--no-safety-backup"])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.reopen().unwrap())
        .spawn()
        .unwrap()
}

fn as_user(restored: &Restored, kubeconfig: &Path, arguments: &[&str]) -> Outcome {
    let plugin = end_to_end::binary("kubectl-wa-restore");
    let mut command = restored.world().command(plugin);
    command
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        // Where the log of pgmig goes.
        .current_dir(restored.directory());
    run(&mut command)
}

#[test]
fn a_token_that_expires_and_is_not_renewed_is_reported_and_a_new_one_goes_on() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    allow_everything(&restored);
    restored.pgmig_faults("silence=4");
    let directory = tempfile::tempdir().unwrap();
    for step in ["stopStore", "migrate"] {
        let (kubeconfig, token) = let_in(&restored, directory.path());
        let said = tempfile::NamedTempFile::new().unwrap();
        let mut child = start_as(&restored, &kubeconfig, &said);
        wait_until(step, || {
            restored.state_of(step).as_deref() == Some("started")
                || child.try_wait().unwrap().is_some()
        });
        restored.world().sandbox().revoke_token(&token);
        let code = child.wait().unwrap().code();
        let told = fs::read_to_string(said.path()).unwrap();
        println!("{told}");
        assert_eq!(code, Some(6), "{told}");
        for part in [
            "you must be logged in to the server (Unauthorized)",
            "kubectl wa-restore resume -n cpd -i wa",
            "kubectl wa-restore rollback -n cpd -i wa",
        ] {
            assert!(told.contains(part), "{step}: no {part} in {told}");
        }
        let refused = as_user(&restored, &kubeconfig, &["status"]).expect_code(1);
        assert!(refused.stderr.contains("log in again"), "{refused:?}");
        let (kubeconfig, _) = let_in(&restored, directory.path());
        as_user(&restored, &kubeconfig, &["resume"]).expect_code(0);
        restored.assert_new();
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
        restored.reset();
    }
}

/// How long each of the tokens in [`a_credential_plugin_that_renews_tokens_is_asked_for_new_ones_in_the_middle`] is the
/// present one.
const PERIOD_SECONDS: u64 = 3;

#[test]
fn a_credential_plugin_that_renews_tokens_is_asked_for_new_ones_in_the_middle() {
    let restored = Restored::prepare(Profile::V5_2_1);
    allow_everything(&restored);
    restored.pgmig_faults("silence=6");
    let directory = tempfile::tempdir().unwrap();
    let tokens: Vec<String> = (0..200)
        .map(|_| let_in(&restored, directory.path()).1)
        .collect();
    fs::write(directory.path().join("tokens"), tokens.join("\n")).unwrap();
    let (kubeconfig, _) = let_in(&restored, directory.path());
    // The present one is found out by the clock, and told to be over when its time is.
    let script = format!(
        r#"n=$((($(date +%s) - $(cat began)) / {PERIOD_SECONDS}))
until=$(date -u -d "@$(($(cat began) + (n + 1) * {PERIOD_SECONDS}))" +%Y-%m-%dT%H:%M:%SZ)
printf '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"%s","expirationTimestamp":"%s"}}}}' \
  "$(sed -n "$((n + 1))p" tokens)" "$until""#
    );
    let script = format!("cd {}\n{script}", directory.path().display());
    fs::write(directory.path().join("plugin.sh"), script).unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(&kubeconfig).unwrap()).unwrap();
    config["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
        "args": [directory.path().join("plugin.sh")], "interactiveMode": "Never",
    }});
    fs::write(&kubeconfig, config.to_string()).unwrap();

    let now = || {
        let since = std::time::SystemTime::UNIX_EPOCH;
        std::time::SystemTime::now().duration_since(since).unwrap()
    };
    let began = now().as_secs();
    fs::write(directory.path().join("began"), began.to_string()).unwrap();
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut child = start_as(&restored, &kubeconfig, &said);
    let mut revoked = 0;
    while child.try_wait().unwrap().is_none() {
        let present = usize::try_from((now().as_secs() - began) / PERIOD_SECONDS).unwrap();
        // A request may be under way with the one before.
        for token in &tokens[revoked..present.saturating_sub(1).max(revoked)] {
            restored.world().sandbox().revoke_token(token);
            revoked += 1;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = fs::read_to_string(said.path()).unwrap();
    assert!(child.wait().unwrap().success(), "{told}");
    assert!(revoked >= 2, "it took too little time: {told}");
    assert!(!tokens.iter().any(|token| told.contains(token)), "{told}");
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}
