//! `postgres.yaml`, `resourceController.yaml` and the environment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// `postgres.yaml`.
#[derive(Deserialize)]
pub(crate) struct PostgresFile {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    /// Asked for, as it is documented; the connection is the super user's.
    #[expect(dead_code, reason = "a file without it is refused")]
    pub(crate) username: String,
    pub(crate) su_username: String,
    pub(crate) su_password: String,
}

impl PostgresFile {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        yaml(path)
    }

    /// `ENABLE_ICP=true` belongs to the clusters called `…-postgres-16`, and to no other.
    pub(crate) fn check_enable_icp(&self, enabled: bool) -> anyhow::Result<()> {
        let service = self.host.split('.').next().unwrap_or_default();
        let wanted = service
            .rsplit_once('-')
            .is_some_and(|(cluster, _)| cluster.ends_with("-postgres-16"));
        let host = &self.host;
        ensure!(
            enabled || !wanted,
            "connection to {host} refused: ENABLE_ICP=true is not set"
        );
        ensure!(
            wanted || !enabled,
            "connection to {host} refused: ENABLE_ICP=true is set, which this server does not want"
        );
        Ok(())
    }
}

/// `resourceController.yaml`, in its old form or, with a type, in its new one.
#[derive(Deserialize)]
pub(crate) struct ResourceControllerFile {
    #[serde(rename = "accessTokens")]
    pub(crate) access_tokens: Vec<String>,
    pub(crate) host: String,
    pub(crate) port: u16,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
}

impl ResourceControllerFile {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let file: Self = yaml(path)?;
        ensure!(
            !file.access_tokens.is_empty(),
            "{} holds no access token",
            path.display()
        );
        Ok(file)
    }

    /// A file for watsonx Orchestrate goes with `--wxo`.
    pub(crate) fn check_wxo(&self, wxo: bool) -> anyhow::Result<()> {
        let orchestrate = self.kind.as_deref() == Some("orchestrate");
        ensure!(
            orchestrate == wxo,
            "--wxo and `type: orchestrate` of the Resource Controller file go together"
        );
        Ok(())
    }
}

/// The file of `PG_CA_FILE`.
pub(crate) fn authority() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PG_CA_FILE").context("PG_CA_FILE is not set")?;
    let path = PathBuf::from(path);
    fs::metadata(&path).with_context(|| format!("PG_CA_FILE: cannot read {}", path.display()))?;
    Ok(path)
}

/// Reads a YAML file. What is wrong with its text is not quoted: it may hold a secret.
pub(crate) fn yaml<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_saphyr::from_str(&text).map_err(|_| {
        anyhow::anyhow!(
            "{} is not the YAML it should be, or lacks an entry",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(host: &str) -> PostgresFile {
        PostgresFile {
            host: host.to_owned(),
            port: 5432,
            database: "d".to_owned(),
            username: "u".to_owned(),
            su_username: "u".to_owned(),
            su_password: "p".to_owned(),
        }
    }

    #[test]
    fn enable_icp_is_wanted_exactly_where_the_cluster_is_called_postgres_16() {
        for (host, wanted) in [
            ("wa-postgres-16-rw", true),
            ("wo-wa-postgres-16-rw.cpd.svc", true),
            ("wa-postgres-rw", false),
            ("wa-postgres-160-rw", false),
            ("10.0.0.1", false),
        ] {
            assert!(postgres(host).check_enable_icp(wanted).is_ok(), "{host}");
            assert!(postgres(host).check_enable_icp(!wanted).is_err(), "{host}");
        }
    }

    #[test]
    fn a_file_that_is_not_understood_is_not_quoted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "host: x\nsu_password: hunter2\nport: [").unwrap();
        let error = PostgresFile::read(file.path()).err().unwrap();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
