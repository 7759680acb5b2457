//! The files that pgmig is configured with: `postgres.yaml`, `resourceController.yaml` and `ca.crt`.

use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube_transfer::Secret;
use serde::{Deserialize, Serialize};
use wa_common::assistant::Datastore;
use wa_common::cluster::Cluster;

use crate::release::Release;
use crate::target::Address;
use crate::yaml;

/// The file about the target's database.
pub const POSTGRES_FILE: &str = "postgres.yaml";
/// The file about the target's service instances.
pub const RESOURCE_CONTROLLER_FILE: &str = "resourceController.yaml";
/// The CA certificate of the target's database.
pub const CA_FILE: &str = "ca.crt";

/// The secret with the service broker's token.
pub const BROKER_SECRET: &str = "zen-service-broker-secret";
const BROKER_KEY: &str = "token";
const BROKER_SERVICE: &str = "zen-core-api-svc";
const BROKER_PORT: u16 = 4444;

/// The form of `resourceController.yaml`, which changed with 5.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RcForm {
    /// Bearer tokens of the users who own service instances, for the gateway that the UI uses.
    UserTokens,
    /// The token of the service broker, for the platform's own API.
    ServiceToken,
}

impl RcForm {
    /// The form that a release wants.
    pub fn from_release(release: Release) -> Self {
        if release.is_at_least((5, 2), 1) {
            Self::ServiceToken
        } else {
            Self::UserTokens
        }
    }
}

impl fmt::Display for RcForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserTokens => "user-tokens",
            Self::ServiceToken => "service-token",
        })
    }
}

/// What `resourceController.yaml` says.
#[derive(Debug, Clone)]
pub struct ResourceController {
    /// Its form.
    pub form: RcForm,
    /// The tokens that service instances are found with.
    pub tokens: Vec<Secret>,
    /// Where they are asked for.
    pub address: Address,
    /// Whether the target is a watsonx Orchestrate's.
    pub orchestrate: bool,
}

impl ResourceController {
    /// The content of the file.
    pub fn to_yaml(&self) -> String {
        let mut text = "accessTokens:\n".to_owned();
        for token in &self.tokens {
            text.push_str("  - ");
            text.push_str(&yaml::string(token.expose()));
            text.push('\n');
        }
        let host = yaml::string(&self.address.host);
        // Writing to a String does not fail.
        let _ = writeln!(text, "host: {host}\nport: {}", self.address.port);
        match (self.orchestrate, self.form) {
            (true, _) => text.push_str("type: orchestrate\n"),
            (false, RcForm::ServiceToken) => text.push_str("type: assistant\n"),
            (false, RcForm::UserTokens) => {}
        }
        text
    }
}

/// The address of the platform's own API in this namespace.
pub fn broker_address(namespace: &str) -> Address {
    Address {
        host: format!("{BROKER_SERVICE}.{namespace}"),
        port: BROKER_PORT,
    }
}

/// The service broker's token.
pub async fn broker_token(cluster: &Cluster) -> anyhow::Result<Secret> {
    let found: Option<SecretObject> = cluster.find(BROKER_SECRET).await?;
    let secret = found.with_context(|| {
        format!(
            "there is no secret {BROKER_SECRET} in namespace {:?}, whose token finds the service instances from 5.2.1 on; for a release before that say --rc-form user-tokens",
            cluster.namespace()
        )
    })?;
    let token = secret.data.unwrap_or_default().remove(BROKER_KEY);
    let token =
        token.with_context(|| format!("the secret {BROKER_SECRET} has no key {BROKER_KEY}"))?;
    // The error would quote the token.
    let text = String::from_utf8(token.0)
        .map_err(|_| anyhow::anyhow!("the token of the secret {BROKER_SECRET} is not text"))?;
    require_token(&text).with_context(|| format!("the token of the secret {BROKER_SECRET}"))
}

/// A token as a header of HTTP can carry it, without what stands around it.
pub fn require_token(text: &str) -> anyhow::Result<Secret> {
    let token = text.trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
    ensure!(!token.is_empty(), "it is empty");
    ensure!(
        token.bytes().all(|byte| byte.is_ascii_graphic()),
        "it holds blanks, line breaks or other characters that no token has: give one token a file"
    );
    Ok(Secret::new(token)?)
}

/// The content of `postgres.yaml`. The user's own name and password suffice for the superuser's, as IBM says.
pub fn postgres_yaml(datastore: &Datastore) -> String {
    let user = yaml::string(&datastore.user);
    format!(
        "host: {}\nport: {}\ndatabase: {}\nusername: {user}\nsu_username: {user}\nsu_password: {}\n",
        yaml::string(&datastore.host),
        datastore.port,
        yaml::string(&datastore.database),
        yaml::string(datastore.password.expose())
    )
}

/// Writes files into `directory`, which is made for the user alone where it is not there: all of them or none, each
/// readable by the user alone. Files that are there already are kept, and an error, unless they are to be replaced.
pub fn write_files(
    directory: &Path,
    files: &[(&str, &[u8])],
    replace: bool,
) -> anyhow::Result<Vec<PathBuf>> {
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| directory.join(name)).collect();
    require_free(directory, files.iter().map(|(name, _)| *name), replace)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let mut written = Vec::new();
    for ((_, content), path) in files.iter().zip(&paths) {
        let cannot = || format!("cannot write {}", path.display());
        // Made with mode 0600, and removed again unless it gets its name.
        let mut file = tempfile::NamedTempFile::new_in(directory).with_context(cannot)?;
        file.write_all(content).with_context(cannot)?;
        file.as_file().sync_all().with_context(cannot)?;
        written.push((file, path));
    }
    let mut named: Vec<&PathBuf> = Vec::new();
    for (file, path) in written {
        let persisted = if replace {
            file.persist(path)
        } else {
            file.persist_noclobber(path)
        };
        if let Err(error) = persisted {
            if !replace {
                for path in named {
                    // What was made just now; the error that is reported is the first one.
                    let _ = fs::remove_file(path);
                }
            }
            return Err(anyhow::Error::new(error.error))
                .with_context(|| format!("cannot write {}", path.display()));
        }
        named.push(path);
    }
    Ok(paths)
}

/// An error where one of the files is there, and not to be replaced.
pub fn require_free<'a>(
    directory: &Path,
    names: impl Iterator<Item = &'a str>,
    replace: bool,
) -> anyhow::Result<()> {
    let there: Vec<String> = names
        .map(|name| directory.join(name))
        .filter(|path| !replace && path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    ensure!(
        there.is_empty(),
        "{} is there already: give another directory, or --overwrite",
        there.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::{Value, json};

    use super::*;

    fn controller(form: RcForm, orchestrate: bool, tokens: &[&str]) -> Value {
        let controller = ResourceController {
            form,
            tokens: tokens
                .iter()
                .map(|one| Secret::new(*one).unwrap())
                .collect(),
            address: broker_address("cpd"),
            orchestrate,
        };
        serde_saphyr::from_str(&controller.to_yaml()).unwrap()
    }

    #[test]
    fn both_forms_are_as_ibm_documents_them() {
        assert_eq!(
            controller(RcForm::UserTokens, false, &["a", "b"]),
            json!({"accessTokens": ["a", "b"], "host": "zen-core-api-svc.cpd", "port": 4444})
        );
        let typed = |form, orchestrate| controller(form, orchestrate, &["a"])["type"].clone();
        assert_eq!(typed(RcForm::ServiceToken, false), "assistant");
        assert_eq!(typed(RcForm::ServiceToken, true), "orchestrate");
        assert_eq!(typed(RcForm::UserTokens, true), "orchestrate");
        for (release, form) in [
            ("4.8.8", RcForm::UserTokens),
            ("5.2.0", RcForm::UserTokens),
            ("5.2.1", RcForm::ServiceToken),
            ("5.3.0", RcForm::ServiceToken),
        ] {
            assert_eq!(
                RcForm::from_release(release.parse().unwrap()),
                form,
                "{release}"
            );
        }
    }

    #[test]
    fn the_password_is_read_back_to_the_letter() {
        let password = r#"a'b"c$d\e #: {f}"#;
        let datastore = Datastore {
            secret: String::new(),
            host: "wa-postgres-16-rw".to_owned(),
            port: 5432,
            database: "conversation_pprd_wo-wa".to_owned(),
            user: "dbadmin".to_owned(),
            password: Secret::new(password).unwrap(),
        };
        let read: Value = serde_saphyr::from_str(&postgres_yaml(&datastore)).unwrap();
        assert_eq!(
            read,
            json!({"host": "wa-postgres-16-rw", "port": 5432, "database": "conversation_pprd_wo-wa",
                   "username": "dbadmin", "su_username": "dbadmin", "su_password": password})
        );
    }

    #[test]
    fn a_token_is_one_word_and_not_quoted_in_errors() {
        assert_eq!(
            require_token(" Bearer ey.J-x\n").unwrap().expose(),
            "ey.J-x"
        );
        for text in ["", "\n", "one\ntwo", "one two", "t\u{f6}ken"] {
            let error = format!("{:#}", require_token(text).unwrap_err());
            assert!(
                !error.contains("one") || error.contains("give one"),
                "{error}"
            );
            assert!(!error.contains("two"), "{error}");
        }
    }

    #[test]
    fn files_are_the_users_alone_and_all_there_or_none() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("a/b");
        let files = [("one", &b"1"[..]), ("two", b"2")];
        write_files(&directory, &files, false).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("one")), 0o600);

        fs::remove_file(directory.join("one")).unwrap();
        let error = write_files(&directory, &files, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("two is there already"), "{error}");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        write_files(&directory, &[("two", b"new")], true).unwrap();
        assert_eq!(fs::read(directory.join("two")).unwrap(), b"new");
        assert_eq!(mode(&directory.join("two")), 0o600);
    }
}
