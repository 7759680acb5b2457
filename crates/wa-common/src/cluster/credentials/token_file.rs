//! A token in a file that something else renews, such as a service account's.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::CredentialError;

/// client-go's: it keeps a token for a minute, and takes it for expired ten seconds before.
const PERIOD: Duration = Duration::from_secs(50);

/// The file, and the token that was read last.
pub(in super::super) struct TokenFile {
    path: PathBuf,
    period: Duration,
    last: Mutex<(SecretString, Instant)>,
}

impl TokenFile {
    /// Reads the file; a `token` given beside it stands in when that is not possible.
    pub(in super::super) fn open(
        path: PathBuf,
        token: Option<SecretString>,
    ) -> Result<Self, CredentialError> {
        Self::with_period(path, token, PERIOD)
    }

    pub(super) fn with_period(
        path: PathBuf,
        token: Option<SecretString>,
        period: Duration,
    ) -> Result<Self, CredentialError> {
        let first = read(&path).or_else(|error| token.ok_or(error))?;
        Ok(Self {
            path,
            period,
            last: Mutex::new((first, Instant::now())),
        })
    }

    /// The token, read again when the last one has been kept for long enough. Where that is not possible, the last one:
    /// some remove the file to limit who can see it.
    pub(super) fn token(&self) -> SecretString {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.1.elapsed() >= self.period {
            if let Ok(token) = read(&self.path) {
                last.0 = token;
            }
            last.1 = Instant::now();
        }
        last.0.clone()
    }
}

fn read(path: &Path) -> Result<SecretString, CredentialError> {
    let content = std::fs::read_to_string(path).map_err(|why| CredentialError::TokenFile {
        path: path.to_owned(),
        why,
    })?;
    match content.trim() {
        "" => Err(CredentialError::EmptyTokenFile(path.to_owned())),
        token => Ok(token.to_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn token(file: &TokenFile) -> String {
        file.token().expose_secret().to_owned()
    }

    #[test]
    fn a_renewed_token_is_read_again_after_a_while_whether_or_not_a_line_break_follows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let kept = TokenFile::open(path.clone(), None).unwrap();
        let renewed = TokenFile::with_period(path.clone(), None, Duration::ZERO).unwrap();
        for (content, expected) in [("two\n", "two"), ("three", "three"), ("", "three")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(token(&renewed), expected);
            assert_eq!(token(&kept), "one");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(token(&renewed), "three", "the last one is kept");
    }

    #[test]
    fn the_file_counts_before_a_token_beside_it_as_long_as_it_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let beside = || Some("beside".to_owned().into());
        assert_eq!(
            token(&TokenFile::open(path.clone(), beside()).unwrap()),
            "beside"
        );
        let error = TokenFile::open(path.clone(), None)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        std::fs::write(&path, "file").unwrap();
        assert_eq!(
            token(&TokenFile::open(path.clone(), beside()).unwrap()),
            "file"
        );
        std::fs::write(&path, " \n").unwrap();
        assert!(
            TokenFile::open(path, None)
                .err()
                .unwrap()
                .to_string()
                .contains("is empty")
        );
    }
}
