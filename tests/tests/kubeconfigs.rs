//! Kubeconfigs and servers of many kinds, each met by kubectl and by the plugin, which must agree on whether they work.
//! Where the plugin refuses, it says what and where.

#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test that cannot set itself up, or is not met, has failed; a corpus is long"
)]

#[path = "kubeconfigs/certificates.rs"]
mod certificates;
#[path = "kubeconfigs/clusters.rs"]
mod clusters;
#[path = "kubeconfigs/plugins.rs"]
mod plugins;
#[path = "kubeconfigs/server.rs"]
mod server;
#[path = "kubeconfigs/users.rs"]
mod users;
#[path = "kubeconfigs/world.rs"]
mod world;

use std::fs;
use std::process::Command;

use certificates::{openssl, text};
use end_to_end::{binary, run};
use world::{
    NONE, OnlyKubectl, Refused, SELF, TOKEN, Verdict, Works, command, kubeconfig, text_of, works,
    world,
};

#[test]
fn servers_are_trusted_as_kubectl_trusts_them() {
    let signed_by =
        |name: &str, ca: &str| format!("server: 'https://{{{name}}}', certificate-authority: {ca}");
    let below = signed_by("signed", "other-ca.crt");
    let entries = [
        ("its own CA", signed_by("self", "self.crt"), Works),
        (
            "itself trusted",
            signed_by("leaf-only", "leaf-only.crt"),
            Works,
        ),
        (
            "itself trusted, not its CA",
            signed_by("signed", "signed.crt"),
            Works,
        ),
        ("signed", signed_by("signed", "ca.crt"), Works),
        (
            "signed by another",
            below,
            Refused("signed by an unknown authority"),
        ),
        (
            "an intermediate presented",
            signed_by("below", "ca.crt"),
            Works,
        ),
        (
            "an intermediate in the bundle",
            signed_by("below", "intermediate.crt"),
            Works,
        ),
        (
            "a CA signed by a CA",
            signed_by("signed-ca", "ca.crt"),
            Works,
        ),
        (
            "a CA below an intermediate",
            signed_by("below-ca", "ca.crt"),
            Works,
        ),
        (
            "a CA signed by another",
            signed_by("signed-ca", "other-ca.crt"),
            Refused("signed by an unknown authority"),
        ),
        ("for any purpose", signed_by("any-purpose", "ca.crt"), Works),
        (
            "for clients only",
            signed_by("client-only", "client-only.crt"),
            Refused("its certificate is not accepted"),
        ),
        (
            "expired",
            signed_by("expired", "ca.crt"),
            Refused("expired"),
        ),
        (
            "below an expired CA",
            signed_by("below-old", "old-ca.crt"),
            Refused("authority to check it by has expired"),
        ),
        (
            "only a common name",
            signed_by("no-san", "no-san.crt"),
            Refused("no subject alternative name"),
        ),
        (
            "another name",
            signed_by("other-name", "other-name.crt"),
            Refused("--tls-server-name"),
        ),
        (
            "its other name asked for",
            format!(
                "{}, tls-server-name: other.example",
                signed_by("other-name", "other-name.crt")
            ),
            Works,
        ),
        (
            "localhost",
            "server: 'https://localhost:{port:self}', certificate-authority: self.crt".to_owned(),
            Works,
        ),
        ("RSA", signed_by("rsa", "ca.crt"), Works),
        ("P-384", signed_by("p384", "ca.crt"), Works),
        ("Ed25519", signed_by("ed25519", "ca.crt"), Works),
        (
            "a bundle with noise",
            signed_by("signed", "bundle.crt"),
            Works,
        ),
        (
            "several in a file",
            signed_by("below", "leaf-and-intermediate.crt"),
            Works,
        ),
        (
            "no certificate",
            signed_by("signed", "garbage"),
            Refused("no certificate in PEM"),
        ),
        (
            "an empty file",
            signed_by("signed", "empty"),
            Refused("signed by an unknown authority"),
        ),
        (
            "a missing file",
            signed_by("signed", "nope.crt"),
            Refused("nope.crt"),
        ),
        (
            "the system's",
            "server: 'https://{signed}'".to_owned(),
            Refused("signed by an unknown authority"),
        ),
    ];
    for (name, cluster, verdict) in &entries {
        let text = world().filled(&kubeconfig(cluster, TOKEN));
        world().expect(name, text.as_bytes(), NONE, verdict);
    }
}

#[test]
fn flags_are_laid_over_the_kubeconfig_as_kubectl_does() {
    let empty = [
        "--context=",
        "--cluster=",
        "--server=",
        "--kubeconfig=",
        "--namespace=",
        "--token=",
        "--as=",
        "--user=",
        "--certificate-authority=",
        "--client-certificate=",
        "--client-key=",
        "--tls-server-name=",
        "--request-timeout=",
    ];
    let here = world().directory().display();
    let ca = format!("--certificate-authority={here}/self.crt");
    world().cases(&[
        ("empty flags", SELF, TOKEN, &empty, Works),
        ("a user that is not there", SELF, TOKEN, &["--user=x"], Refused("\"x\"")),
        ("a cluster that is not there", SELF, TOKEN, &["--cluster=x"], Refused("\"x\"")),
        ("a context that is not there", SELF, TOKEN, &["--context=x"], Refused("\"x\"")),
        ("a token", SELF, "exec: {apiVersion: client.authentication.k8s.io/v1, command: nope, interactiveMode: Never}", &["--token=hunter2"], Works),
        ("another server", "server: 'https://127.0.0.1:1'", TOKEN, &["--server=https://{self}", &ca], Works),
        ("a server without scheme", SELF, TOKEN, &["--server={plain}"], Works),
        ("insecure over a CA", SELF, TOKEN, &["--insecure-skip-tls-verify"], Works),
        ("a CA over insecure", "server: 'https://{self}', insecure-skip-tls-verify: true", TOKEN, &[&ca], Works),
        ("insecure and a CA", SELF, TOKEN, &["--insecure-skip-tls-verify", &ca], Refused("contradict each other")),
        ("a server name", "server: 'https://{other-name}', certificate-authority: other-name.crt", TOKEN, &["--tls-server-name=other.example"], Works),
    ]);
}

#[test]
fn files_are_read_as_kubectl_reads_them() {
    let world = world();
    let text = world.filled(&kubeconfig(SELF, TOKEN));
    let wide: Vec<u8> = std::iter::once(0xFEFF)
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let json = world.filled(r#"{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"k","cluster":{"server":"https://{self}","certificate-authority-data":"{data:self.crt}"}}],"users":[{"name":"u","user":{"token":"hunter2"}}],"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}]}"#);
    let cases: Vec<(&str, Vec<u8>, &[&str], Verdict)> = vec![
        (
            "a byte order mark",
            [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
            NONE,
            Works,
        ),
        ("CRLF", text.replace('\n', "\r\n").into(), NONE, Works),
        ("UTF-16", wide, NONE, Works),
        ("JSON", json.into(), NONE, Works),
        (
            "an anchor",
            text.replace("cluster: {server", "cluster: &a {server")
                .into(),
            NONE,
            Works,
        ),
        (
            "a merge key",
            text.replace("  cluster: {", "  cluster:\n    <<: {").into(),
            NONE,
            Works,
        ),
        (
            "an unknown alias",
            format!("{text}x: *nope\n").into(),
            NONE,
            Refused("it is not YAML (line"),
        ),
        (
            "a tab",
            text.replace("  user: {", "\tuser: {").into(),
            NONE,
            Refused("a tab stands where"),
        ),
        (
            "a tab after",
            text.replace("kind: Config", "kind: Config\t").into(),
            NONE,
            Works,
        ),
        (
            "a bracket missing",
            text.replace("hunter2}", "hunter2").into(),
            NONE,
            Refused("it is not YAML (line"),
        ),
        (
            "not UTF-8",
            [text.as_bytes(), b"# \xE9\n"].concat(),
            NONE,
            Refused("not text in UTF-8"),
        ),
        (
            "NUL",
            [text.as_bytes(), b"\0"].concat(),
            NONE,
            Refused("control characters"),
        ),
        (
            "a doubled top key",
            format!("{text}current-context: c\n").into(),
            NONE,
            Works,
        ),
        (
            "two documents",
            format!("{text}---\na: b\n").into(),
            NONE,
            Works,
        ),
        (
            "a marker in front",
            format!("---\n{text}").into(),
            NONE,
            Works,
        ),
        (
            "no kind",
            text.replace("kind: Config\n", "").into(),
            NONE,
            Works,
        ),
        (
            "another kind",
            text.replace("kind: Config", "kind: Pod").into(),
            NONE,
            Refused("kind: \"Pod\""),
        ),
        (
            "another version",
            text.replace("apiVersion: v1", "apiVersion: v2").into(),
            NONE,
            Refused("apiVersion"),
        ),
        (
            "preferences",
            format!("{text}preferences: {{}}\n").into(),
            NONE,
            Works,
        ),
        (
            "a list",
            b"- a\n".to_vec(),
            NONE,
            Refused("should be an object"),
        ),
        (
            "an empty file",
            Vec::new(),
            NONE,
            Refused("names no cluster"),
        ),
        (
            "a cluster twice",
            text.replace("users:", "- name: k\nusers:").into(),
            NONE,
            Refused("clusters[1].name"),
        ),
        (
            "a namespace that is a number",
            text.replace("user: u}", "user: u, namespace: 12}").into(),
            NONE,
            Refused("contexts[0].context.namespace"),
        ),
        (
            "no current context",
            text.replace("current-context: c\n", "").into(),
            NONE,
            Refused("no current context"),
        ),
        (
            "no current context, but flags",
            text.replace("current-context: c\n", "").into(),
            &["--cluster=k", "--user=u"],
            Works,
        ),
        (
            "a wrong current context",
            text.replace("current-context: c", "current-context: d")
                .into(),
            NONE,
            Refused("\"d\""),
        ),
        (
            "a wrong one and --context",
            text.replace("current-context: c", "current-context: d")
                .into(),
            &["--context=c"],
            Works,
        ),
        (
            "the user is not there",
            text.replace("user: u}", "user: v}").into(),
            NONE,
            Refused("\"v\""),
        ),
        (
            "the cluster is not there",
            text.replace("cluster: k,", "cluster: z,").into(),
            NONE,
            Refused("\"z\""),
        ),
    ];
    for (name, kubeconfig, flags, verdict) in &cases {
        world.expect(name, kubeconfig, flags, verdict);
    }
}

#[test]
fn several_files_are_laid_over_each_other_as_kubectl_does() {
    let world = world();
    let write = |name: &str, text: &str| {
        fs::write(world.directory().join(name), world.filled(text)).unwrap();
    };
    write(
        "one",
        "clusters: [{name: k, cluster: {server: 'http://{plain}'}}]\nusers: [{name: u, user: {token: hunter2}}]\n",
    );
    write(
        "two",
        "clusters: [{name: k, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: k, user: u}}]\ncurrent-context: c\n",
    );
    write("broken", "- : [\n");
    for (list, expected) in [
        ("one:two", true),
        ("two:one", false),
        (":nope::one:two", true),
        ("nope", false),
        ("one:two:broken", false),
        ("one:two:.", false),
    ] {
        let with_list = |mut command: Command| run(command.env("KUBECONFIG", list));
        let mut kubectl = command("kubectl".into(), world.directory());
        kubectl.args(["get", "--raw", "/version"]);
        let mut ours = command(binary("kubectl-wa-backup"), world.directory());
        ours.args(["check", "-o", "json"]);
        let (kubectl, ours) = (with_list(kubectl), with_list(ours));
        let said = text_of(&ours);
        assert_eq!(
            (kubectl.code == 0, works(&ours)),
            (expected, expected),
            "{list}: {said}"
        );
    }
}

/// A curve that rustls with ring does not have: kubectl works, the plugin names it.
#[test]
fn a_serving_certificate_that_cannot_be_verified_is_named() {
    use std::io::{BufRead as _, BufReader};
    let directory = tempfile::tempdir().unwrap();
    openssl(
        directory.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -keyout k -out c -subj /CN=a -addext subjectAltName=IP:127.0.0.1 -days 30",
    );
    let mut serving = Command::new("openssl")
        .args([
            "s_server",
            "-www",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            "c",
            "-key",
            "k",
        ])
        .current_dir(directory.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let told = BufReader::new(serving.stdout.take().unwrap());
    let address = told
        .lines()
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned))
        .unwrap();
    let ca = text(&directory.path().join("c"));
    let text = kubeconfig(
        &format!("server: 'https://{address}', certificate-authority: {ca}"),
        TOKEN,
    );
    world().expect(
        "P-521",
        text.as_bytes(),
        NONE,
        &OnlyKubectl("an elliptic-curve key on P-521"),
    );
    serving.kill().unwrap();
    serving.wait().unwrap();
}

#[test]
fn every_request_says_which_program_sends_it() {
    let world = world();
    let file = world.directory().join("agent");
    fs::write(
        &file,
        world.filled(&kubeconfig(
            "server: 'https://{p384}', certificate-authority: ca.crt",
            TOKEN,
        )),
    )
    .unwrap();
    for (program, name) in [("kubectl-wa-backup", "check"), ("kubectl-wa-pvc", "info")] {
        let before = world.servers["p384"].requests().len();
        run(command(binary(program), world.directory())
            .arg(name)
            .env("KUBECONFIG", &file));
        let requests = world.servers["p384"].requests().split_off(before);
        assert!(!requests.is_empty());
        for request in requests {
            let agent = request
                .lines()
                .find_map(|line| line.strip_prefix("user-agent: "))
                .unwrap_or_default();
            assert!(
                agent.starts_with(&format!("{program}/"))
                    && agent.ends_with(')')
                    && agent.contains(" (linux/"),
                "{request}"
            );
        }
    }
}
