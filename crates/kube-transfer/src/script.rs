//! The shell scripts that run in pods: how they get there, and what they have in common.
//!
//! A script is sent over standard input, after a nonce that also marks what the script says. `supervise.sh` tells how it
//! sees to it that no process of ours is ever left to the container's process 1.

use std::fmt::Write as _;

use uuid::Uuid;
use zeroize::Zeroizing;

const BOOTSTRAP: &str = include_str!("bootstrap.sh");
const SUPERVISE: &str = concat!(include_str!("supervise.sh"), include_str!("find_sum.sh"));

/// A script that serves a client until that is content, or gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    /// What it shows as in the process list of the node and in the audit log.
    name: &'static str,
    /// What it does, after what all of them do.
    text: &'static str,
}

/// A random word, which whoever does not know it cannot say.
pub(crate) fn nonce() -> String {
    Uuid::new_v4().simple().to_string()
}

impl Script {
    pub(crate) const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }

    /// The arguments of the exec request. They become part of its URL: nothing secret in them.
    pub(crate) fn argv(&self, arguments: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut argv = vec![
            "sh".to_owned(),
            "-c".to_owned(),
            without_comments(BOOTSTRAP),
            self.name.to_owned(),
        ];
        argv.extend(arguments);
        argv
    }

    /// What is sent first: the nonce, the script, the nonce, and `lines` for the script to read.
    pub(crate) fn preface(&self, nonce: &str, lines: &[&str]) -> Zeroizing<Vec<u8>> {
        let script = without_comments(SUPERVISE) + &without_comments(self.text);
        let parts: Vec<&str> = [nonce, script.trim_end(), nonce]
            .into_iter()
            .chain(lines.iter().copied())
            .collect();
        // Allocated once: a growing buffer would leave copies of the secrets behind in freed memory.
        let mut preface = Zeroizing::new(Vec::with_capacity(
            parts.iter().map(|part| part.len() + 1).sum(),
        ));
        for part in parts {
            preface.extend_from_slice(part.as_bytes());
            preface.push(b'\n');
        }
        preface
    }
}

/// The script as it is sent, without what is only for its readers here.
pub(crate) fn without_comments(script: &str) -> String {
    let mut code = String::with_capacity(script.len());
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let _ = writeln!(code, "{line}");
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_stays_short_enough_for_a_proxy() {
        let argv = Script::new("kube-transfer", "").argv(Vec::new());
        let encoded: usize = argv
            .concat()
            .bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 })
            .sum();
        assert!(encoded < 1024, "{encoded} bytes in a URL");
    }

    #[test]
    fn what_is_sent_first_has_no_comments_and_ends_with_the_lines_to_read() {
        let script = Script::new("kube-transfer", "# why\nmain() { :; }\nsupervise\n");
        let preface = script.preface("n0", &["first", "second"]);
        let text = String::from_utf8(preface.to_vec()).expect("text");
        assert!(text.starts_with("n0\nexec "), "{text}");
        assert!(
            text.ends_with("\nmain() { :; }\nsupervise\nn0\nfirst\nsecond\n"),
            "{text}"
        );
        assert!(!text.contains('#'), "{text}");
    }
}
