//! Which kubeconfig files there are, and what they say together.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::decode::{self, Mistake};
use super::yaml::{self, NoYaml};
use super::{Cluster, Kubeconfig, User};
use crate::report::printable;

/// A kubeconfig of a person is some kilobytes; one of an organisation, some hundred.
const LARGEST_BYTES: u64 = 16 << 20;

/// The files to read.
#[derive(Debug)]
pub(crate) enum Files {
    /// The one that `--kubeconfig` names; it must be there.
    Named(PathBuf),
    /// Those of `KUBECONFIG`, or the usual one; which of them are there does not matter.
    Usual(Vec<PathBuf>),
}

impl Files {
    /// The files kubectl would read, whether or not they exist.
    pub(crate) fn from_flag(flag: Option<&Path>) -> Self {
        if let Some(path) = flag.filter(|path| !path.as_os_str().is_empty()) {
            return Self::Named(path.to_owned());
        }
        if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
            let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
            return Self::Usual(paths.collect());
        }
        let home = std::env::home_dir();
        Self::Usual(
            home.map(|home| home.join(".kube/config"))
                .into_iter()
                .collect(),
        )
    }

    /// Their paths.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Named(path) => std::slice::from_ref(path),
            Self::Usual(paths) => paths,
        }
    }
}

/// Why a kubeconfig file cannot be used. What is in the file is not quoted: it may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the kubeconfig {}: {problem}", file.display())]
pub struct KubeconfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a kubeconfig file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error(transparent)]
    Read(io::Error),
    /// It is no kubeconfig by its size.
    #[error("it is larger than {} MiB", LARGEST_BYTES >> 20)]
    TooLarge,
    /// It is no YAML.
    #[error("it is not YAML{}: {what}", place(*line, *column))]
    Yaml {
        /// Where the parser gave up.
        line: Option<u64>,
        /// Likewise.
        column: Option<u64>,
        /// What may be wrong there.
        what: &'static str,
    },
    /// A field is not what it should be.
    #[error("{}: {}", printable(field), printable(what))]
    Field {
        /// Such as `users[0].user.token`.
        field: String,
        /// What is wrong with it.
        what: String,
    },
}

fn place(line: Option<u64>, column: Option<u64>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
        _ => String::new(),
    }
}

impl From<NoYaml> for Problem {
    fn from(NoYaml { line, column, what }: NoYaml) -> Self {
        Self::Yaml { line, column, what }
    }
}

impl From<Mistake> for Problem {
    fn from(Mistake { field, what }: Mistake) -> Self {
        Self::Field { field, what }
    }
}

/// Reads the files that exist and lays them over each other; `None` where there is none. What the first file says of a
/// name holds, whole.
pub(crate) fn read(files: &Files) -> Result<Option<Kubeconfig>, KubeconfigError> {
    let mut merged: Option<Kubeconfig> = None;
    for path in files.paths() {
        match read_one(path) {
            Ok(next) => match &mut merged {
                Some(first) => first.merge(next),
                None => merged = Some(next),
            },
            Err(Problem::Read(error))
                if error.kind() == io::ErrorKind::NotFound && matches!(files, Files::Usual(_)) => {}
            Err(problem) => {
                return Err(KubeconfigError {
                    file: path.clone(),
                    problem,
                });
            }
        }
    }
    Ok(merged)
}

fn read_one(path: &Path) -> Result<Kubeconfig, Problem> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(Problem::Read)?;
    file.take(LARGEST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(Problem::Read)?;
    if bytes.len() as u64 > LARGEST_BYTES {
        return Err(Problem::TooLarge);
    }
    let mut kubeconfig = parse(&bytes)?;
    if let Some(directory) = path.parent() {
        kubeconfig.resolve_paths(directory);
    }
    Ok(kubeconfig)
}

/// What the bytes of one file say.
fn parse(bytes: &[u8]) -> Result<Kubeconfig, Problem> {
    Ok(decode::kubeconfig(&yaml::parse(bytes)?)?)
}

impl Kubeconfig {
    fn merge(&mut self, next: Self) {
        fn add<T>(entries: &mut BTreeMap<String, T>, next: BTreeMap<String, T>) {
            for (name, entry) in next {
                entries.entry(name).or_insert(entry);
            }
        }
        if self.current_context.is_empty() {
            self.current_context = next.current_context;
        }
        add(&mut self.clusters, next.clusters);
        add(&mut self.users, next.users);
        add(&mut self.contexts, next.contexts);
    }

    /// Paths are relative to the file they stand in.
    fn resolve_paths(&mut self, directory: &Path) {
        let resolve = |path: &mut String| {
            if !path.is_empty() {
                *path = directory.join(&*path).to_string_lossy().into_owned();
            }
        };
        for Cluster {
            certificate_authority,
            ..
        } in self.clusters.values_mut()
        {
            resolve(certificate_authority);
        }
        for User {
            client_certificate,
            client_key,
            token_file,
            exec,
            ..
        } in self.users.values_mut()
        {
            resolve(client_certificate);
            resolve(client_key);
            resolve(token_file);
            // A bare name is looked for in PATH.
            if let Some(exec) = exec
                && exec.command.contains('/')
            {
                resolve(&mut exec.command);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;

    fn merged(files: &[&str]) -> Kubeconfig {
        let directory = tempfile::tempdir().unwrap();
        let mut paths = vec![directory.path().join("missing")];
        for (at, text) in files.iter().enumerate() {
            let path = directory.path().join(at.to_string());
            std::fs::write(&path, text).unwrap();
            paths.push(path);
        }
        read(&Files::Usual(paths)).unwrap().unwrap()
    }

    #[test]
    fn the_first_file_that_has_a_name_says_all_of_it() {
        let first = "clusters: [{name: k, cluster: {server: 'https://one'}}]\ncurrent-context: ''";
        let second = "clusters: [{name: k, cluster: {server: 'https://two', proxy-url: 'http://p'}}, {name: l}]\ncurrent-context: c";
        let read = merged(&[first, second]);
        assert_eq!(read.clusters["k"].server, "https://one");
        assert_eq!(read.clusters["k"].proxy_url, "");
        assert!(read.clusters.contains_key("l"));
        assert_eq!(read.current_context, "c");
    }

    #[test]
    fn paths_are_relative_to_their_file_and_bare_commands_are_not_paths() {
        let user = |command| {
            format!(
                "users: [{{name: u, user: {{tokenFile: t, client-key: '', exec: {{command: {command}}}}}}}]"
            )
        };
        for (command, inside) in [("./login", true), ("login", false)] {
            let read = merged(&[&user(command)]);
            let user = &read.users["u"];
            assert!(user.token_file.starts_with('/') && user.client_key.is_empty());
            assert_eq!(user.exec.as_ref().unwrap().command.starts_with('/'), inside);
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there_and_every_other_one_be_readable() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        assert!(
            read(&Files::Usual(vec![missing.clone()]))
                .unwrap()
                .is_none()
        );
        assert!(read(&Files::Named(missing.clone())).is_err());
        let error = read(&Files::Usual(vec![missing, directory.path().to_owned()])).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&directory.path().display().to_string()),
            "{error}"
        );
    }

    /// Whatever a file holds, it is read or refused, and nothing of it is quoted.
    #[test]
    fn no_file_makes_the_reader_panic_or_quote_it() {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        let mut runner = TestRunner::new_with_rng(Config::with_cases(500), rng);
        let whole = "current-context: c\nclusters:\n- name: k\n  cluster: {server: 'https://a', extensions: [{name: x}]}\nusers:\n- name: u\n  user: &u\n    token: hunter2\n    exec: {command: ./a, env: [{name: A, value: b}], args: [c]}\ncontexts:\n- {name: c, context: {cluster: k, user: u}}\n";
        let damage =
            prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6);
        runner
            .run(&damage, |changes| {
                let mut bytes = whole.as_bytes().to_vec();
                for (at, byte, how) in changes {
                    let at = at.index(bytes.len());
                    match how {
                        0 => bytes[at] = byte,
                        1 => bytes.insert(at, byte),
                        _ => bytes.truncate(at.max(1)),
                    }
                }
                if let Err(problem) = parse(&bytes) {
                    prop_assert!(!problem.to_string().contains("hunter2"));
                }
                Ok(())
            })
            .unwrap();
        let anything = prop::collection::vec(any::<u8>(), 0..200);
        runner
            .run(&anything, |bytes| {
                let _ = parse(&bytes);
                Ok(())
            })
            .unwrap();
    }
}
