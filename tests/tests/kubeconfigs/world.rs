//! The servers, and kubectl and the plugin that meet them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use end_to_end::{Outcome, binary, run};
use tempfile::TempDir;

use super::certificates::make_certificates;
use super::server::Server;

/// The servers, by the name of their certificate, and what lies about in their directory.
pub(crate) struct World {
    home: TempDir,
    pub(crate) servers: BTreeMap<&'static str, Server>,
    plain: Server,
}

/// Certificates that servers present: of a name, or a chain in another file.
const SERVERS: [(&str, &str); 15] = [
    ("self", "self.crt"),
    ("leaf-only", "leaf-only.crt"),
    ("no-san", "no-san.crt"),
    ("other-name", "other-name.crt"),
    ("client-only", "client-only.crt"),
    ("signed", "signed.crt"),
    ("below", "chain.crt"),
    ("signed-ca", "signed-ca.crt"),
    ("below-ca", "chain-ca.crt"),
    ("any-purpose", "any-purpose.crt"),
    ("expired", "expired.crt"),
    ("rsa", "rsa.crt"),
    ("p384", "p384.crt"),
    ("ed25519", "ed25519.crt"),
    ("below-old", "below-old.crt"),
];

/// The one world of all tests.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        make_certificates(home.path());
        let file = |name: &str| home.path().join(name);
        let servers = SERVERS.map(|(name, chain)| {
            (
                name,
                Server::with_tls(&file(chain), &file(&format!("{name}.key"))),
            )
        });
        World {
            servers: servers.into(),
            plain: Server::plain(),
            home,
        }
    })
}

/// What is expected of both programs.
pub(crate) enum Verdict {
    Works,
    /// The plugin's message has this in it.
    Refused(&'static str),
    /// kubectl works, the plugin cannot and says so.
    OnlyKubectl(&'static str),
    /// kubectl refuses what only white space is wrong with.
    OnlyPlugin,
}
pub(crate) use Verdict::{OnlyKubectl, OnlyPlugin, Refused, Works};

impl World {
    /// Where certificates and kubeconfigs are.
    pub(crate) fn directory(&self) -> &Path {
        self.home.path()
    }

    fn base64(&self, file: &str) -> String {
        let encoded = Command::new("base64")
            .arg("-w0")
            .arg(self.directory().join(file))
            .output()
            .unwrap();
        String::from_utf8(encoded.stdout).unwrap()
    }

    /// `{self}` is the address of the server with that certificate, `{plain}` of the one without TLS, `{data:x}` the
    /// base64 of a file.
    pub(crate) fn filled(&self, text: &str) -> String {
        let mut text = text.replace("{plain}", &format!("127.0.0.1:{}", self.plain.port));
        for (name, server) in &self.servers {
            text = text.replace(
                &format!("{{{name}}}"),
                &format!("127.0.0.1:{}", server.port),
            );
            text = text.replace(&format!("{{port:{name}}}"), &server.port.to_string());
        }
        while let Some(at) = text.find("{data:") {
            let end = at + text[at..].find('}').unwrap();
            let data = self.base64(&text[at + 6..end]);
            text.replace_range(at..=end, &data);
        }
        text
    }

    /// Whether kubectl, and whether the plugin, is answered with this kubeconfig; and what the plugin said.
    fn verdicts(&self, kubeconfig: &[u8], flags: &[&str]) -> (bool, bool, Outcome) {
        // Kubeconfigs lie elsewhere than the working directory, which paths in them must not be relative to.
        fs::create_dir_all(self.directory().join("elsewhere")).unwrap();
        let file = tempfile::NamedTempFile::new_in(self.directory()).unwrap();
        fs::write(file.path(), kubeconfig).unwrap();
        let elsewhere = self.directory().join("elsewhere");
        let variables = |command: &mut Command| {
            command.env("KUBECONFIG", file.path()).args(flags);
        };
        let mut kubectl = command("kubectl".into(), &elsewhere);
        variables(kubectl.args(["get", "--raw", "/version"]));
        let kubectl = run(&mut kubectl);
        let mut ours = command(binary("kubectl-wa-backup"), &elsewhere);
        variables(ours.args(["check", "-o", "json"]));
        let ours = run(&mut ours);
        (kubectl.code == 0, works(&ours), ours)
    }

    /// Both programs must come to this verdict.
    #[track_caller]
    pub(crate) fn expect(&self, name: &str, kubeconfig: &[u8], flags: &[&str], verdict: &Verdict) {
        let (kubectl, ours, said) = self.verdicts(kubeconfig, flags);
        let said = text_of(&said);
        let expected = match verdict {
            Works => (true, true),
            Refused(_) => (false, false),
            OnlyKubectl(_) => (true, false),
            OnlyPlugin => (false, true),
        };
        assert_eq!(
            (kubectl, ours),
            expected,
            "{name}: (kubectl, plugin)\n{said}"
        );
        if let Refused(part) | OnlyKubectl(part) = verdict {
            assert!(said.contains(part), "{name}: no {part:?} in:\n{said}");
        }
        assert!(!said.contains("panicked"), "{name}: {said}");
        assert!(!said.contains("hunter2"), "{name}: {said}");
    }

    /// The cases one after the other; `cluster` and `user` are the entries' content.
    #[track_caller]
    pub(crate) fn cases(&self, cases: &[(&str, &str, &str, &[&str], Verdict)]) {
        for (name, cluster, user, flags, verdict) in cases {
            let text = self.filled(&kubeconfig(cluster, user));
            let flags: Vec<String> = flags.iter().map(|flag| self.filled(flag)).collect();
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            self.expect(name, text.as_bytes(), &flags, verdict);
        }
    }
}

/// A program that finds no kubeconfig and no proxy of this machine's.
pub(crate) fn command(program: PathBuf, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(directory)
        .env("HOME", directory)
        .env_remove("KUBECONFIG");
    for variable in [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Whether the plugin was answered.
pub(crate) fn works(ours: &Outcome) -> bool {
    let report: Option<serde_json::Value> = serde_json::from_str(&ours.stdout).ok();
    report.is_some_and(|report| report["checks"][0]["result"] == "ok")
}

/// All that the plugin said, its quotes as they were before they became JSON.
pub(crate) fn text_of(ours: &Outcome) -> String {
    ours.everything().replace("\\\"", "\"")
}

/// A kubeconfig with one cluster and one user of this content.
pub(crate) fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: k\n  cluster: {{{cluster}}}\nusers:\n- name: u\n  user: {{{user}}}\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n"
    )
}

/// A server that works.
pub(crate) const SELF: &str =
    "server: 'https://{self}', certificate-authority-data: {data:self.crt}";
/// A user that works.
pub(crate) const TOKEN: &str = "token: hunter2";
/// No flags.
pub(crate) const NONE: &[&str] = &[];
