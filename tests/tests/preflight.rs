//! What is wrong before a backup begins: each is named, with what to do, and nothing is written.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use end_to_end::{Outcome, World, binary, run};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::{Value, json};
use wa_sandbox::world::Profile;

/// Runs `create` with more arguments; it must fail with exit code 1 and write nothing.
#[track_caller]
fn refused(world: &World, arguments: &[&str]) -> Outcome {
    let scratch = world.scratch();
    let mut all = vec!["create", "--to", "sets"];
    all.extend(arguments);
    let outcome = world.backup(scratch.path(), &all).expect_code(1);
    assert_eq!(outcome.stdout, "");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    outcome
}

fn assistant(name: &str) -> Value {
    json!({"apiVersion": "assistant.watson.ibm.com/v1", "kind": "WatsonAssistant",
           "metadata": {"name": name}, "spec": {"version": "4.8.8"}})
}

fn store_secret(content: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wa-store-vcap"},
           "stringData": {"vcap_services": content.to_string()}})
}

/// A namespace of its own with these objects in it.
#[track_caller]
fn namespace(world: &World, name: &str, objects: impl IntoIterator<Item = Value>) {
    world.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    for mut object in objects {
        object["metadata"]["namespace"] = name.into();
        world.create(&object);
    }
}

#[test]
fn a_kubeconfig_or_context_that_is_not_there_is_named() {
    let world = World::shared();
    refused(&world, &["--kubeconfig", "nowhere"]).expect_error(&["nowhere"]);
    refused(&world, &["--context", "prod"])
        .expect_error(&["context \"prod\" does not exist", "wa-sandbox"]);
}

#[test]
fn a_server_that_is_not_there_or_does_not_answer_is_an_error_in_time() {
    let world = World::shared();
    refused(&world, &["-s", "https://127.0.0.1:1"])
        .expect_error(&["unable to connect to the server", "refused"]);
    // Accepts connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    refused(&world, &["-s", &url, "--request-timeout", "300ms"]).expect_error(&[&url]);
}

#[test]
fn a_server_in_trouble_is_asked_again_in_the_open() {
    let world = World::shared();
    let scratch = world.scratch();
    let effect = Effect::Status {
        code: 503,
        message: "overloaded".to_owned(),
        retry_after: None,
    };
    let secrets = Matcher {
        resource: Some("secrets".to_owned()),
        ..Matcher::default()
    };
    world.fault(secrets.clone(), Some(2), effect.clone());
    world
        .backup(scratch.path(), &["check"])
        .expect_code(0)
        .expect_error(&["retry 2 of 3", "overloaded"]);
    world.fault(secrets, None, effect);
    refused(&world, &[]).expect_error(&["Error from server", "overloaded"]);
}

#[test]
fn an_expired_token_says_to_log_in_again() {
    let world = World::shared();
    world.fault(Matcher::default(), None, Effect::ExpireToken);
    refused(&world, &[]).expect_error(&[
        "you must be logged in to the server (Unauthorized)",
        "oc login",
    ]);
}

#[test]
fn every_missing_permission_is_named_at_once() {
    let world = World::shared();
    for (verb, resource, subresource) in [("create", "pods", "exec"), ("list", "pods", "")] {
        world.fault(
            Matcher::default(),
            None,
            Effect::Forbid {
                verb: verb.to_owned(),
                group: String::new(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
            },
        );
    }
    let scratch = world.scratch();
    let check = world.backup(scratch.path(), &["check"]).expect_code(1);
    assert!(
        check.stdout.contains("list pods, create pods/exec"),
        "{}",
        check.stdout
    );
    refused(&world, &[]).expect_error(&[
        "list pods, create pods/exec",
        "ask a cluster administrator",
        "pods is forbidden",
    ]);
}

#[test]
fn a_namespace_that_does_not_exist_is_named() {
    let world = World::shared();
    refused(&world, &["-n", "nope"]).expect_error(&["namespace \"nope\" not found", "-n"]);
}

#[test]
fn without_an_instance_here_the_others_are_named() {
    let world = World::shared();
    refused(&world, &["-n", "default"])
        .expect_error(&["no WatsonAssistant in namespace \"default\"", "wa in cpd"]);
    refused(&world, &["-i", "other"])
        .expect_error(&["WatsonAssistant \"other\" not found", "there is wa"]);
}

#[test]
fn of_two_instances_one_must_be_chosen() {
    let world = World::shared();
    namespace(&world, "two", [assistant("wa"), assistant("wb")]);
    refused(&world, &["-n", "two"]).expect_error(&["several WatsonAssistants: wa, wb", "-i"]);
}

#[test]
fn all_problems_are_reported_together() {
    let world = World::shared();
    namespace(&world, "bare", [assistant("wa")]);
    refused(&world, &["-n", "bare"]).expect_error(&[
        "2 problems",
        "no store secret for instance \"wa\"",
        "wa-store-datastore-connection-strings and wa-store-vcap",
        "no PostgreSQL pod",
        "wa-postgres-16 or wa-postgres",
    ]);
}

#[test]
fn a_malformed_secret_is_described_and_not_quoted() {
    let world = World::shared();
    namespace(
        &world,
        "malformed",
        [
            assistant("wa"),
            store_secret(
                &json!({"user-provided": [{"name": "redis", "credentials": {"password": "hunter2"}}]}),
            ),
        ],
    );
    let outcome = refused(&world, &["-n", "malformed"])
        .expect_error(&["secret \"wa-store-vcap\"", "no service named \"pgservice\""]);
    assert!(!outcome.stderr.contains("hunter2"));
}

#[test]
fn a_pod_that_is_not_ready_is_named_with_its_state() {
    let world = World::shared();
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "wa-postgres-1", "labels": {"k8s.enterprisedb.io/cluster": "wa-postgres"}},
        "spec": {"nodeSelector": {"no": "such"}, "containers": [{"name": "postgres", "image": "x"}]}});
    namespace(&world, "unready", [assistant("wa"), pod]);
    refused(&world, &["-n", "unready"]).expect_error(&["is Ready", "wa-postgres-1 is Pending"]);
}

#[test]
fn postgresqls_own_errors_are_shown() {
    let world = World::shared();
    let store = world.store_environment();
    let value = |name: &str| {
        store
            .iter()
            .find(|(variable, _)| variable == name)
            .unwrap()
            .1
            .clone()
    };
    let good = json!({"host": value("PGHOST"), "port": value("PGPORT"), "database": value("PGDATABASE"),
                      "username": value("PGUSER"), "password": value("PGPASSWORD")});
    for (field, wrong, expected) in [
        ("password", "wrong", "password authentication failed"),
        ("database", "nope", "database \"nope\" does not exist"),
        ("port", "1", "Connection refused"),
        (
            "host",
            "nowhere",
            "could not translate host name \"nowhere\"",
        ),
    ] {
        let mut credentials = good.clone();
        credentials[field] = wrong.into();
        let services =
            json!({"user-provided": [{"name": "pgservice", "credentials": credentials}]});
        // The same pod, reached through a secret of another instance.
        let secret = format!("wb{field}-store-vcap");
        let mut object = store_secret(&services);
        object["metadata"] = json!({"name": secret, "namespace": "cpd"});
        world.create(&object);
        let pod = world.sandbox().names().primary_pod();
        world.kubectl(&[
            "label",
            "pod",
            &pod,
            &format!("postgresql=wb{field}-postgres"),
        ]);
        let mut instance = assistant(&format!("wb{field}"));
        instance["metadata"]["namespace"] = "cpd".into();
        world.create(&instance);
        refused(&world, &["-i", &format!("wb{field}")]).expect_error(&[expected]);
        world.kubectl(&["label", "pod", &pod, "postgresql-"]);
        world.kubectl(&["delete", "watsonassistant", &format!("wb{field}")]);
        world.kubectl(&["delete", "secret", &secret]);
    }
}

#[test]
fn a_target_that_cannot_be_written_is_named() {
    let world = World::shared();
    let scratch = world.scratch();
    fs::write(scratch.path().join("file"), "").unwrap();
    world
        .backup(scratch.path(), &["create", "--to", "file/sets"])
        .expect_code(1)
        .expect_error(&["cannot create a backup set in file/sets", "not a directory"]);
    let read_only = scratch.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o500)).unwrap();
    let mut create = world.command_of_a_user(binary("kubectl-wa-backup"));
    create.args(["create", "--to", "read-only"]);
    run(create.current_dir(scratch.path()))
        .expect_code(1)
        .expect_error(&["Permission denied", "--to"]);
}

#[test]
fn what_has_the_name_of_a_set_is_not_touched_and_the_set_gets_a_number() {
    let world = World::shared();
    let scratch = world.scratch();
    // Whenever the backup begins, its name is taken.
    let take = "for second in $(seq 0 60); do mkdir -p sets/$(date -u -d \"$second seconds\" +wa-cpd-%Y%m%dT%H%M%SZ); done";
    run(world
        .command("sh")
        .args(["-c", take])
        .current_dir(scratch.path()))
    .expect_code(0);
    world
        .backup(scratch.path(), &["create", "--to", "sets"])
        .expect_code(0);
    let written = run(world
        .command("find")
        .arg("sets")
        .args(["-name", "store.dump"])
        .current_dir(scratch.path()));
    let written = written.expect_code(0).stdout;
    assert!(written.trim().ends_with("Z-2/store.dump"), "{written}");
}

#[test]
fn a_proxy_is_not_asked_where_a_list_that_kubectl_reads_says_so() {
    let world = World::shared();
    let scratch = world.scratch();
    for no_proxy in ["localhost,127.0.0.1,", "a, ,b", "fe80::1%eth0"] {
        let mut check = world.backup_command(scratch.path(), &["check"]);
        check
            .env("HTTPS_PROXY", "http://127.0.0.1:1")
            .env("NO_PROXY", no_proxy);
        run(&mut check).expect_code(0);
    }
}

#[test]
fn a_key_that_the_release_has_and_nobody_finds_is_missed_aloud() {
    let world = World::shared();
    let scratch = world.scratch();
    let secret = world.kubectl(&["get", "secret", "wa-auth-encryption", "-o", "json"]);
    let mut secret: Value = serde_json::from_str(&secret).unwrap();
    world.kubectl(&["delete", "secret", "wa-auth-encryption"]);
    let outcome = world.backup(scratch.path(), &["create", "--to", "sets"]);
    let check = world.backup(scratch.path(), &["check"]);
    let metadata = secret["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
    world.create(&secret);
    let stderr = outcome.expect_code(0).stderr;
    assert!(
        stderr.contains("warning: there is no secret wa-auth-encryption"),
        "{stderr}"
    );
    let stdout = check.expect_code(0).stdout;
    assert!(stdout.contains("auth-encryption  warning"), "{stdout}");
    assert!(
        stdout.contains("there is no secret wa-auth-encryption"),
        "{stdout}"
    );
}

#[test]
fn of_several_problems_each_says_what_to_do() {
    let world = World::start(Profile::V5_2_1);
    let scratch = world.scratch();
    fs::write(scratch.path().join("file"), "").unwrap();
    world.kubectl(&["delete", "secret", "wa-store-datastore-connection-strings"]);
    let create = ["create", "--to", "file"];
    let outcome = world.backup(scratch.path(), &create).expect_code(1);
    outcome.expect_error(&[
        "2 problems stand in the way; nothing was changed",
        "wa-store-datastore-connection-strings",
        "choose another directory with --to",
    ]);
}

#[test]
fn options_before_the_name_of_a_command_are_refused_not_ignored() {
    let world = World::shared();
    let scratch = world.scratch();
    for arguments in [["--dry-run", "create"], ["--no-verify", "check"]] {
        world
            .backup(scratch.path(), &arguments)
            .expect_code(1)
            .expect_error(&["write them after `create`"]);
    }
    world
        .backup(scratch.path(), &["-n", "cpd", "check"])
        .expect_code(0);
    world.backup(scratch.path(), &["--dry-run"]).expect_code(0);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_front_that_passes_no_websockets_is_explained_before_anything_is_made() {
    let world = World::shared();
    let scratch = world.scratch();
    let websocket = |stdout: &str| {
        let report: Value = serde_json::from_str(stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        let result = |name: &str| {
            let check = checks.iter().find(|check| check["name"] == name);
            check.unwrap()["result"].as_str().unwrap().to_owned()
        };
        (result("websocket"), result("pg_dump"))
    };
    let check = ["check", "-o", "json"];
    let whole = world.backup(scratch.path(), &check).expect_code(0);
    assert_eq!(websocket(&whole.stdout), ("ok".into(), "ok".into()));

    world.fault(Matcher::default(), None, Effect::DropUpgrade);
    let before = world.sandbox().requests().len();
    let broken = world.backup(scratch.path(), &check).expect_code(1);
    assert_eq!(
        websocket(&broken.stdout),
        ("failed".into(), "skipped".into())
    );
    assert!(
        broken.stdout.contains("does not pass WebSockets on"),
        "{}",
        broken.stdout
    );
    refused(&world, &[]).expect_error(&["does not pass WebSockets on"]);

    let info = world.pvc(scratch.path(), &["info"]).expect_code(1);
    assert!(
        info.stdout.contains("does not pass WebSockets on"),
        "{}",
        info.stdout
    );
    world
        .pvc(scratch.path(), &["info", "--measure", "--via", "debug"])
        .expect_code(1);
    let pull = world.pvc(
        scratch.path(),
        &["pull", "--to", "sets", "--latest", "--via", "debug"],
    );
    pull.expect_code(1)
        .expect_error(&["does not pass WebSockets on"]);
    let made = world.sandbox().requests().split_off(before).into_iter();
    let made: Vec<_> = made
        .filter(|request| {
            request.method != "GET" && !request.uri.contains("/selfsubjectaccessreviews")
        })
        .collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn every_request_says_which_program_sends_it_websockets_included() {
    let world = World::shared();
    let scratch = world.scratch();
    let before = world.sandbox().requests().len();
    world.backup(scratch.path(), &["check"]).expect_code(0);
    let requests = world.sandbox().requests().split_off(before);
    assert!(
        requests
            .iter()
            .any(|request| request.uri.contains("/exec?"))
    );
    for request in requests {
        assert!(
            request.agent.starts_with("kubectl-wa-backup/"),
            "{request:?}"
        );
    }
}
