//! Credential plugins.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use end_to_end::{binary, run};

use super::certificates::text;
use super::world::{Refused, SELF, Works, World, command, kubeconfig, text_of, works, world};

/// A plugin that notes what it is told, and prints what is in the variable `ANSWER`.
fn plugin(world: &World) -> String {
    let path = world.directory().join("login");
    let log = world.directory().join("elsewhere/plugin.log");
    let script = format!(
        "#!/bin/sh\necho \"$KUBERNETES_EXEC_INFO $*\" >>{}\necho 'hello from the plugin' >&2\nprintf '%s' \"$ANSWER\"\nexit \"${{CODE:-0}}\"\n",
        log.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    text(&log)
}

#[test]
fn credential_plugins_are_run_as_kubectl_runs_them() {
    let world = world();
    fs::create_dir_all(world.directory().join("elsewhere")).unwrap();
    let log = plugin(world);
    let v1 = "apiVersion: client.authentication.k8s.io/v1, command: ./login";
    let beta = "apiVersion: client.authentication.k8s.io/v1beta1, command: ./login";
    let given = |status: &str| {
        format!(
            r#"{{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{status}}}"#
        )
    };
    let token = given(r#"{"token":"hunter2"}"#);
    let pem = |name: &str| {
        serde_json::to_string(&fs::read_to_string(world.directory().join(name)).unwrap()).unwrap()
    };
    let certificate = given(&format!(
        r#"{{"clientCertificateData":{},"clientKeyData":{}}}"#,
        pem("v1.crt"),
        pem("v1.key")
    ));
    let cases = [
        (
            "never",
            format!("{v1}, interactiveMode: Never"),
            token.clone(),
            "0",
            Works,
            1,
        ),
        (
            "if available, with arguments",
            format!(
                "{v1}, interactiveMode: IfAvailable, args: [a, b], env: [{{name: CODE, value: '0'}}]"
            ),
            token.clone(),
            "0",
            Works,
            1,
        ),
        (
            "always",
            format!("{v1}, interactiveMode: Always"),
            token.clone(),
            "0",
            Refused("interactiveMode: Always"),
            0,
        ),
        (
            "no mode",
            v1.to_owned(),
            token.clone(),
            "0",
            Refused("no interactiveMode"),
            0,
        ),
        (
            "an unknown mode",
            format!("{v1}, interactiveMode: never"),
            token.clone(),
            "0",
            Refused("interactiveMode"),
            0,
        ),
        (
            "v1beta1 without a mode",
            beta.to_owned(),
            token.replace("/v1", "/v1beta1"),
            "0",
            Works,
            1,
        ),
        (
            "v1beta1 answered in v1",
            beta.to_owned(),
            token.clone(),
            "0",
            Refused("answers in version"),
            1,
        ),
        (
            "v1alpha1",
            format!("{}, interactiveMode: Never", v1.replace("/v1", "/v1alpha1")),
            token.clone(),
            "0",
            Refused("v1alpha1"),
            0,
        ),
        (
            "told of the cluster",
            format!("{v1}, interactiveMode: Never, provideClusterInfo: true"),
            token.clone(),
            "0",
            Works,
            1,
        ),
        (
            "a certificate",
            format!("{v1}, interactiveMode: Never"),
            certificate,
            "0",
            Works,
            1,
        ),
        (
            "an empty credential",
            format!("{v1}, interactiveMode: Never"),
            given("{}"),
            "0",
            Refused("neither a token nor a client certificate"),
            1,
        ),
        (
            "no status",
            format!("{v1}, interactiveMode: Never"),
            token.split(",\"status\"").next().unwrap().to_owned() + "}",
            "0",
            Refused("no status"),
            1,
        ),
        (
            "a line break",
            format!("{v1}, interactiveMode: Never"),
            given(r#"{"token":"hunter2\n"}"#),
            "0",
            Refused("line break"),
            1,
        ),
        (
            "nothing at all",
            format!("{v1}, interactiveMode: Never"),
            String::new(),
            "0",
            Refused("printed no credential"),
            1,
        ),
        (
            "a failure",
            format!("{v1}, interactiveMode: Never, installHint: 'see example.com'"),
            token.clone(),
            "3",
            Refused("see example.com"),
            1,
        ),
        (
            "no such program",
            format!(
                "{}, interactiveMode: Never, installHint: 'see example.com'",
                v1.replace("./login", "no-such-login")
            ),
            token.clone(),
            "0",
            Refused("no-such-login"),
            0,
        ),
        (
            "refused by the server",
            format!("{v1}, interactiveMode: Never"),
            given(r#"{"token":"wrong"}"#),
            "0",
            Refused("must be logged in"),
            2,
        ),
    ];
    for (name, exec, answer, code, verdict, starts) in &cases {
        let text = world.filled(&kubeconfig(SELF, &format!("exec: {{{exec}}}")));
        let file = world.directory().join("with-plugin");
        fs::write(&file, text).unwrap();
        let outcome = |mut command: Command| {
            let _ = fs::remove_file(&log);
            command
                .env("KUBECONFIG", &file)
                .env("ANSWER", answer)
                .env("CODE", code);
            (
                run(&mut command),
                fs::read_to_string(&log).unwrap_or_default(),
            )
        };
        let elsewhere = world.directory().join("elsewhere");
        let mut kubectl = command("kubectl".into(), &elsewhere);
        kubectl.args(["get", "--raw", "/version"]);
        let mut ours = command(binary("kubectl-wa-backup"), &elsewhere);
        ours.args(["check", "-o", "json"]);
        let (kubectl, told_by_kubectl) = outcome(kubectl);
        let (ours, told_by_us) = outcome(ours);
        let said = text_of(&ours);
        let expected = matches!(verdict, Works);
        assert_eq!(
            (kubectl.code == 0, works(&ours)),
            (expected, expected),
            "{name}: {said}"
        );
        if let Refused(part) = verdict {
            assert!(said.contains(part), "{name}: no {part:?} in:\n{said}");
        }
        assert!(!said.contains("hunter2"), "{name}: {said}");
        // Once a command, whatever it asks the server; what is said in a log line is what kubectl says.
        assert_eq!(
            told_by_us.matches("ExecCredential").count(),
            *starts,
            "{name}: {told_by_us}"
        );
        if expected {
            // A kubectl that starts another version of itself asks twice.
            assert!(
                !told_by_us.is_empty() && told_by_kubectl.starts_with(&told_by_us),
                "{name}: {told_by_us}{told_by_kubectl}"
            );
        }
        if *starts > 0 {
            assert!(
                ours.stderr.contains("hello from the plugin"),
                "{name}: {said}"
            );
        }
    }
}
