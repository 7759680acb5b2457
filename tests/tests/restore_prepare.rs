//! What `kubectl wa-restore` finds out and writes before a restore, without changing the cluster.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use end_to_end::{Outcome, World};
use serde_json::Value;
use wa_sandbox::world::Profile;

/// A backup in `sets` of this directory.
fn back_up(world: &World, directory: &Path) {
    world
        .backup(directory, &["create", "--to", "sets"])
        .expect_code(0);
}

fn result_of(report: &Value, name: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {report:#}"));
    let text = |field: &str| check[field].as_str().unwrap().to_owned();
    (text("result"), text("detail"))
}

fn remarks_of(report: &Value, name: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let remarks = check.unwrap()["remarks"].as_array().unwrap().iter();
    let remarks: Vec<&str> = remarks.map(|remark| remark.as_str().unwrap()).collect();
    remarks.join("; ")
}

/// A program for this machine, in place of pgmig.
fn program() -> String {
    std::env::current_exe().unwrap().display().to_string()
}

#[test]
fn every_release_is_checked_configured_and_planned_with_its_own_names() {
    for profile in Profile::ALL {
        let world = World::start(profile);
        let scratch = world.scratch();
        let directory = scratch.path();
        back_up(&world, directory);
        let names = world.sandbox().names().clone();
        let program = program();

        let check = ["check", "sets/latest", "--pgmig", &program, "-o", "json"];
        let report = world.restore(directory, &check).expect_code(0).json();
        assert_eq!(report["ok"], true, "{profile}: {report:#}");
        let (result, _) = result_of(&report, "service instances");
        assert_eq!(result, "ok", "{profile}");

        fs::write(directory.join("token"), "ey.first\n").unwrap();
        fs::write(directory.join("token2"), "ey.second\n").unwrap();
        let config = [
            "config",
            "--to",
            "files",
            "--token-file",
            "token",
            "--token-file",
            "token2",
        ];
        let config = world.restore(directory, &config).expect_code(0);
        let password = world.password();
        assert!(!config.everything().contains(&password), "{profile}");
        let postgres = fs::read_to_string(directory.join("files/postgres.yaml")).unwrap();
        assert!(
            postgres.contains(&format!("host: \"{}\"", names.postgres_service())),
            "{profile}: {postgres}"
        );
        let quoted = serde_json::to_string(&password).unwrap();
        assert!(postgres.contains(&format!("su_password: {quoted}")));
        let controller = fs::read_to_string(directory.join("files/resourceController.yaml"));
        let controller = controller.unwrap();
        assert_eq!(
            controller.contains("ey.first") && controller.contains("ey.second"),
            !names.service_token,
            "{profile}: {controller}"
        );
        assert_eq!(
            controller.contains("port: 4444\ntype: assistant"),
            names.service_token,
            "{profile}: {controller}"
        );
        let icp = names.postgres_cluster.ends_with("-postgres-16");
        assert_eq!(config.stdout.contains("ENABLE_ICP=true"), icp, "{profile}");

        let plan = ["plan", "sets/latest", "--pgmig", &program];
        let plan = world.restore(directory, &plan).expect_code(0).stdout;
        assert_eq!(plan.contains("ENABLE_ICP=true"), icp, "{profile}");
        for part in [
            &names.postgres_cluster[..],
            &names.cron_job(),
            &names.database(),
            "-n cpd-operators scale deployment/ibm-watson-assistant-operator --replicas=1",
            "scale deployment/wa-store --replicas=2",
        ] {
            assert!(plan.contains(part), "{profile}: no {part} in {plan}");
        }
        assert!(
            !plan.contains('<') || !plan.contains("<POSTGRES_POD>"),
            "{plan}"
        );
        assert!(!plan.contains(&password), "{profile}");
    }
}

#[test]
fn nothing_in_the_cluster_is_changed_and_no_secret_is_shown() {
    let world = World::shared();
    let scratch = world.scratch();
    let directory = scratch.path();
    back_up(&world, directory);
    let before = world.sandbox().requests().len();
    let key = "go-template={{.data.authorization_encryption_key}}";
    let key = world.kubectl(&["get", "secret", "wa-auth-encryption", "-o", key]);
    let token = "go-template={{.data.token | base64decode}}";
    let token = world.kubectl(&["get", "secret", "zen-service-broker-secret", "-o", token]);
    let secrets = [world.password(), key, token];
    let mut printed = String::new();
    for arguments in [
        &["check", "sets/latest"][..],
        &["plan", "sets/latest"],
        &["plan", "sets/latest", "-o", "json"],
        &["mapping", "sets/latest", "--to", "mapping.yaml"],
        &["config", "--to", "files"],
        &[
            "config",
            "--to",
            "files",
            "--overwrite",
            "-o",
            "json",
            "--v",
            "9",
        ],
    ] {
        printed.push_str(&world.restore(directory, arguments).everything());
    }
    for request in world.sandbox().requests().split_off(before) {
        printed.push_str(&request.uri);
        let is_read = request.method == "GET"
            || request.uri.contains("/selfsubjectaccessreviews")
            || request.agent.starts_with("kubectl/");
        assert!(is_read, "{request:?}");
    }
    for secret in secrets {
        assert!(!secret.is_empty());
        assert!(!printed.contains(&secret), "a secret in {printed}");
    }
    for file in ["postgres.yaml", "resourceController.yaml", "ca.crt"] {
        let mode = fs::metadata(directory.join("files").join(file)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{file}");
    }
}

#[test]
fn what_stands_in_the_way_is_reported_at_once_and_refused() {
    let world = World::start(Profile::V5_1);
    let scratch = world.scratch();
    let directory = scratch.path();
    back_up(&world, directory);
    let operator = "deployment/ibm-watson-assistant-operator";
    // It would bring the store back.
    world.kubectl(&["-n", "cpd-operators", "scale", operator, "--replicas=0"]);
    let pods = "app.kubernetes.io/name=ibm-watson-assistant-operator";
    world.kubectl(&[
        "-n",
        "cpd-operators",
        "wait",
        "pod",
        "--for=delete",
        "-l",
        pods,
    ]);
    world.kubectl(&["scale", "deployment/wa-store", "--replicas=0"]);
    fs::write(directory.join("pgmig"), "<html>").unwrap();
    fs::write(
        directory.join("mapping.yaml"),
        "instance-mappings:\n  src: dest\n",
    )
    .unwrap();
    let arguments = [
        "check",
        "sets/latest",
        "--pgmig",
        "pgmig",
        "--mapping",
        "mapping.yaml",
        "--from-release",
        "4.7.0",
        "-o",
        "json",
    ];
    let report = world.restore(directory, &arguments).expect_code(4).json();
    for (name, told) in [
        ("pgmig", "web page"),
        ("service instances", "src: dest"),
        ("store", "wa-store is scaled to 0"),
        ("operator", "ibm-watson-assistant-operator is scaled to 0"),
        ("upgrade path", "4.7.0 → 5.0.x → 5.1.0"),
    ] {
        let (result, detail) = result_of(&report, name);
        assert_eq!(result, "failed", "{name}: {detail}");
        assert!(detail.contains(told), "{name}: {detail}");
    }
    let forced = [&arguments[..], &["--force-path"]].concat();
    let report = world.restore(directory, &forced).expect_code(4).json();
    assert_eq!(result_of(&report, "upgrade path").0, "warning");
    let remarks = remarks_of(&report, "upgrade path");
    assert!(remarks.contains("4.7.0 → 5.0.x → 5.1.0"), "{remarks}");
    // What needs what failed is skipped by itself, and says of which.
    let needs = |name: &str| result_of(&report, name).1;
    assert_eq!(needs("architecture"), "needs: pgmig");
    assert_eq!(needs("permissions of the operator"), "needs: operator");
    // A plan is written all the same, and does not come back to a count of 0.
    let plan = ["plan", "sets/latest", "--from-release", "4.7.0"];
    let plan = world.restore(directory, &plan).expect_code(4).stdout;
    assert!(plan.contains("STANDS IN THE WAY: store"), "{plan}");
    assert!(plan.contains("/5.1.0/pgmig"), "{plan}");
    assert!(
        !plan.contains("wa-store --replicas=0\noc -n cpd scale"),
        "{plan}"
    );

    fs::write(directory.join("sets/cut.dump"), "PGDMP").unwrap();
    let cut = ["check", "sets/cut.dump", "-o", "json"];
    let report = world.restore(directory, &cut).expect_code(4).json();
    assert_eq!(result_of(&report, "backup").0, "failed");
    for name in [
        "service instances",
        "upgrade path",
        "encryption key",
        "space in the pod",
    ] {
        let skipped = ("skipped".to_owned(), "needs: backup".to_owned());
        assert_eq!(result_of(&report, name), skipped, "{name}");
    }
    assert_eq!(result_of(&report, "pg_restore").0, "ok");
    let nobody = ["check", "sets/latest", "-i", "nobody", "-o", "json"];
    let report = world.restore(directory, &nobody).expect_code(4).json();
    let skipped = ("skipped".to_owned(), "needs: instance".to_owned());
    assert_eq!(result_of(&report, "service instances"), skipped);
    assert_eq!(result_of(&report, "pgmig"), skipped);
}

#[test]
fn what_must_be_known_and_stands_in_no_way_is_a_remark_on_its_condition() {
    let world = World::start(Profile::V5_2_1);
    let scratch = world.scratch();
    let directory = scratch.path();
    back_up(&world, directory);
    world.kubectl(&["delete", "secret", "wa-auth-encryption"]);
    world.sql(
        "SET session_replication_role = replica; \
         INSERT INTO tenant SELECT (jsonb_populate_record(tenant, jsonb_build_object( \
           'tenant_id', '99999999-0000-0000-0000-000000000000', \
           'instance_id', '99999999-0000-0000-0000-000000000000', 'name', 'Left over'))).* \
         FROM tenant WHERE tenant_id::text LIKE '00000000-0000-0000-%' LIMIT 1;",
    );
    let program = program();
    let check = ["check", "sets/latest", "--pgmig", &program];
    let report = world
        .restore(directory, &[&check[..], &["-o", "json"]].concat())
        .expect_code(0)
        .json();
    assert_eq!(report["ok"], true);
    for (name, told) in [
        (
            "encryption key",
            "the target has no secret wa-auth-encryption",
        ),
        ("service instances", "99999999-0000-0000-0000-000000000000"),
    ] {
        assert_eq!(result_of(&report, name).0, "warning", "{report:#}");
        let remarks = remarks_of(&report, name);
        assert!(remarks.contains(told), "{name}: {remarks}");
    }
    let shown = world.restore(directory, &check).expect_code(0).stdout;
    let line = shown.lines().find(|line| line.contains("encryption key"));
    assert!(line.unwrap().contains(" warning "), "{shown}");
    let plan = ["plan", "sets/latest", "--pgmig", &program];
    let plan = world.restore(directory, &plan).expect_code(0).stdout;
    assert!(
        plan.contains("to know: encryption key: the target has no secret"),
        "{plan}"
    );
}

#[test]
fn counts_of_several_stores_and_operators_are_those_of_the_plan() {
    let world = World::start_as(|config| {
        config.profile = Profile::V4_8_5;
        config.variant.store_replicas = vec![3, 2];
        config.variant.operator_replicas = 2;
    });
    let scratch = world.scratch();
    back_up(&world, scratch.path());
    let store = world.kubectl(&["get", "deployment", "wa-store", "-o", "json"]);
    let mut other: Value = serde_json::from_str(&store).unwrap();
    other["metadata"] = serde_json::json!({
        "name": "wo-wa-store", "namespace": "cpd",
        "labels": {"component": "store", "app.kubernetes.io/instance": "wo-wa"},
    });
    world.create(&other);
    let plan = || {
        world
            .restore(scratch.path(), &["plan", "sets/latest"])
            .stdout
    };
    let written = plan();
    for part in [
        "deployment/wa-store --replicas=3",
        "deployment/wa-store-2 --replicas=2",
        "deployment/ibm-watson-assistant-operator --replicas=2",
    ] {
        assert!(written.contains(part), "no {part} in {written}");
    }
    assert!(!written.contains("wo-wa-store"), "{written}");
    // Whose store it is can no longer be told.
    world.kubectl(&[
        "label",
        "deployment/wo-wa-store",
        "app.kubernetes.io/instance-",
    ]);
    let written = plan();
    assert!(
        written.contains("cannot tell whose store wo-wa-store is"),
        "{written}"
    );
}

#[test]
fn instances_are_put_together_by_name_and_the_rest_is_left_to_the_user() {
    let world = World::start(Profile::V5_2_1);
    let scratch = world.scratch();
    let directory = scratch.path();
    back_up(&world, directory);
    let propose = |arguments: &[&str]| -> Outcome {
        world.restore(
            directory,
            &[&["mapping", "sets/latest"], arguments].concat(),
        )
    };
    // As on another cluster: every id is another one.
    let live = "deleted IS NOT TRUE AND lower(region) NOT IN ('system', 'monitoring')";
    world.sql(&format!(
        "SET session_replication_role = replica; \
         UPDATE tenant SET tenant_id = ('10000000' || substr(tenant_id::text, 9))::uuid WHERE {live};"
    ));
    let whole = propose(&["-o", "json"]).expect_code(0).json();
    let by = |pairs: &Value| -> Vec<String> {
        let pairs = pairs["pairs"].as_array().unwrap().iter();
        let mut by: Vec<String> = pairs
            .map(|pair| pair["by"].as_str().unwrap().to_owned())
            .collect();
        by.sort();
        by
    };
    let expected = [
        "only-one-left",
        "same-name",
        "same-name",
        "same-name",
        "same-name",
    ];
    assert_eq!(by(&whole), expected);

    // Two of one name, pipes, tabs, quotes, an escape code, and one too few.
    world.sql(&format!(
        "UPDATE tenant SET name = 'Customer Care' WHERE name LIKE 'Hilfe%' AND {live}; \
         UPDATE tenant SET name = E'a|b\\t\"c\" ''d'' \\x1b[2J' WHERE name LIKE '人事%' AND {live}; \
         UPDATE tenant SET deleted = true WHERE name IS NULL AND {live};"
    ));
    let partly = propose(&["--to", "new/mapping.yaml"]).expect_code(4);
    assert!(!partly.everything().contains('\u{1b}'), "{partly:?}");
    assert!(
        partly.stderr.contains("1 service instance too few"),
        "{partly:?}"
    );
    let yaml = fs::read_to_string(directory.join("new/mapping.yaml")).unwrap();
    assert!(yaml.contains(": TARGET"), "{yaml}");
    propose(&["--to", "new/mapping.yaml"])
        .expect_code(1)
        .expect_error(&["new/mapping.yaml", "exists"]);
    propose(&["--mapping", "new/mapping.yaml"])
        .expect_code(4)
        .expect_error(&["of the backup is missing"]);

    world.sql("UPDATE tenant SET deleted = false WHERE name IS NULL AND region = 'us-south';");
    let ids =
        |query: &str| -> Vec<String> { world.sql(query).lines().map(str::to_owned).collect() };
    let targets = ids(&format!(
        "SELECT tenant_id FROM tenant WHERE {live} ORDER BY 1"
    ));
    let pair_of = |target: &String| {
        let source = target.replacen("10000000", "00000000", 1);
        format!("  {source}: {target}\n")
    };
    let lines: Vec<String> = targets.iter().map(pair_of).collect();
    let lines = format!("instance-mappings:\n{}", lines.concat());
    fs::write(directory.join("own.yaml"), &lines).unwrap();
    let own = propose(&["--mapping", "own.yaml", "-o", "name"]).expect_code(0);
    assert_eq!(own.stdout.lines().count(), 5, "{own:?}");
    fs::write(
        directory.join("own.yaml"),
        lines.replace(&targets[1], &targets[0]),
    )
    .unwrap();
    propose(&["--mapping", "own.yaml"])
        .expect_code(4)
        .expect_error(&["is the target of two instances"]);
}

#[test]
fn tokens_are_asked_for_only_on_a_terminal_and_files_are_not_replaced() {
    let world = World::start(Profile::V4_0);
    let scratch = world.scratch();
    let directory = scratch.path();
    let config = |arguments: &[&str]| {
        world.restore(
            directory,
            &[&["config", "--to", "files"], arguments].concat(),
        )
    };
    fs::write(directory.join("bad"), "hunter2 swordfish").unwrap();
    let refused = config(&["--token-file", "bad"]).expect_code(1);
    assert!(!refused.everything().contains("hunter2"), "{refused:?}");
    assert!(!directory.join("files").exists());
    world.kubectl(&["delete", "secret", "zen-service-broker-secret"]);
    config(&["--rc-form", "service-token"])
        .expect_code(1)
        .expect_error(&["zen-service-broker-secret", "--rc-form user-tokens"]);
    fs::write(directory.join("good"), "ey.token").unwrap();
    config(&["--token-file", "good"]).expect_code(0);
    config(&["--token-file", "good"])
        .expect_code(1)
        .expect_error(&["files/postgres.yaml", "--overwrite"]);
    config(&[
        "--token-file",
        "good",
        "--target-type",
        "orchestrate",
        "--overwrite",
    ])
    .expect_code(0);
    let controller = fs::read_to_string(directory.join("files/resourceController.yaml")).unwrap();
    assert!(controller.contains("type: orchestrate"), "{controller}");
    assert!(controller.contains("port: 5000"), "{controller}");
}

/// Reads what a terminal shows until that holds `part`.
fn read_until(output: &mut impl Read, part: &str) -> String {
    let mut shown = Vec::new();
    let mut byte = [0];
    loop {
        let text = String::from_utf8_lossy(&shown).into_owned();
        if text.contains(part) {
            return text;
        }
        assert_eq!(output.read(&mut byte).unwrap(), 1, "no {part:?} in {text}");
        shown.push(byte[0]);
    }
}

#[test]
fn a_token_that_is_typed_is_not_shown() {
    let world = World::start(Profile::V4_8_8);
    let scratch = world.scratch();
    let plugin = end_to_end::binary("kubectl-wa-restore");
    let mut terminal = world
        .on_terminal(&format!("{} config --to files", plugin.display()))
        .current_dir(scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = terminal.stdin.take().unwrap();
    let mut output = terminal.stdout.take().unwrap();
    let mut shown = read_until(&mut output, "(not shown): ");
    input.write_all(b"ey.typed\n").unwrap();
    shown += &read_until(&mut output, "if that was the last: ");
    input.write_all(b"\n").unwrap();
    shown += &read_until(&mut output, "written");
    output.read_to_string(&mut shown).unwrap();
    assert!(terminal.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains("ey.typed"), "{shown}");
    let controller = fs::read_to_string(scratch.path().join("files/resourceController.yaml"));
    assert!(controller.unwrap().contains("ey.typed"));
}
