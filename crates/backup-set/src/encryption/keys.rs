//! Who a set is encrypted to, and with which keys it is read.

use std::fmt;
use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::plugin;
use age::stream::StreamReader;
use age::{DecryptError, Decryptor, EncryptError, Encryptor, NoCallbacks};
use human_text::printable;
use thiserror::Error;

/// How the secret half of a key begins.
const SECRETS: [&str; 3] = ["AGE-SECRET-KEY-", "AGE-PLUGIN-", "-----BEGIN"];
/// More than any file of keys takes.
const LIMIT_BYTES: u64 = 1 << 20;

/// Why a key cannot be used. Never tells what is secret of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is no recipient.
    #[error("{given} is no recipient: {why}")]
    Recipient {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is the secret half.
    #[error(
        "a recipient was expected, and this is the secret half of a key, which belongs on no command line: give what `age-keygen -y` prints"
    )]
    Secret,
    /// A file cannot be used.
    #[error("cannot use the keys in {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

type Recipient = Box<dyn age::Recipient + Send + Sync>;
type Identity = Box<dyn age::Identity + Send + Sync>;

/// Who a set is encrypted to: each of them can read it.
#[derive(Clone)]
pub struct Recipients(Arc<Vec<Recipient>>);

/// The keys to read encrypted sets with.
#[derive(Clone)]
pub struct Identities {
    keys: Arc<Vec<Identity>>,
    files: Vec<PathBuf>,
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipients({})", self.0.len())
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.keys.len())
    }
}

impl Recipients {
    /// Those given, and those in files, one a line; lines that begin with `#` are comments. None where nothing was given.
    pub fn read(given: &[String], files: &[PathBuf]) -> Result<Option<Self>, KeyError> {
        let mut found: Vec<Recipient> = Vec::new();
        for text in given {
            found.push(recipient(text.trim())?);
        }
        for path in files {
            let before = found.len();
            let text = read_keys(path)?;
            let lines = text.lines().map(str::trim);
            for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
                found.push(recipient(line).map_err(|error| in_file(path, &error.to_string()))?);
            }
            if found.len() == before {
                return Err(in_file(path, "no recipient is in it"));
            }
        }
        Ok((!found.is_empty()).then(|| Self(Arc::new(found))))
    }

    /// For one file.
    pub(super) fn encryptor(&self) -> Result<Encryptor, EncryptError> {
        let recipients = self.0.iter().map(|one| &**one as &dyn age::Recipient);
        Encryptor::with_recipients(recipients)
    }
}

impl Identities {
    /// Those in files as age and ssh-keygen write them. None where no file was given.
    pub fn read(files: &[PathBuf]) -> Result<Option<Self>, KeyError> {
        let mut found = Vec::new();
        for path in files {
            found.extend(identities(path)?);
        }
        Ok((!found.is_empty()).then(|| Self {
            keys: Arc::new(found),
            files: files.to_owned(),
        }))
    }

    /// The files that they were read from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What comes out of `encrypted`.
    pub(super) fn decrypt<R: BufRead>(
        &self,
        encrypted: R,
    ) -> Result<StreamReader<R>, DecryptError> {
        let identities = self.keys.iter().map(|one| &**one as &dyn age::Identity);
        Decryptor::new_buffered(encrypted)?.decrypt(identities)
    }
}

fn recipient(text: &str) -> Result<Recipient, KeyError> {
    let beginning = text.to_ascii_uppercase();
    if SECRETS.iter().any(|secret| beginning.starts_with(secret)) {
        return Err(KeyError::Secret);
    }
    let refused = |why: &str| KeyError::Recipient {
        given: printable(text).into_owned(),
        why: why.to_owned(),
    };
    if text.starts_with("ssh-") {
        let key = text.parse::<age::ssh::Recipient>();
        return key.map(|key| Box::new(key) as Recipient).map_err(|_| {
            refused("of SSH keys, ssh-ed25519 and ssh-rsa of 2048 bits or more are taken")
        });
    }
    if let Ok(key) = text.parse::<age::x25519::Recipient>() {
        return Ok(Box::new(key));
    }
    let key: plugin::Recipient = text.parse().map_err(|_| {
        refused("it should begin with age1 or ssh-ed25519, and have no typing error")
    })?;
    let name = key.plugin().to_owned();
    // Nobody is asked: a plugin that needs an answer says so itself.
    plugin::RecipientPluginV1::new(&name, &[key], &[], NoCallbacks)
        .map(|plugin| Box::new(plugin) as Recipient)
        .map_err(|_| {
            refused(&format!(
                "the program age-plugin-{name} is needed for it, and is not in PATH"
            ))
        })
}

fn identities(path: &Path) -> Result<Vec<Identity>, KeyError> {
    let text = read_keys(path)?;
    if text.starts_with("age-encryption.org/") || text.starts_with("-----BEGIN AGE") {
        return Err(in_file(
            path,
            "it is itself encrypted; decrypt it with `age -d` first",
        ));
    }
    if text.starts_with("-----BEGIN") {
        return ssh_identity(path, &text);
    }
    let file = age::IdentityFile::from_buffer(text.as_bytes());
    // age's own words may quote the line.
    let file = file.map_err(|_| {
        in_file(
            path,
            "a line in it is no identity; they begin with AGE-SECRET-KEY-1 or AGE-PLUGIN-",
        )
    })?;
    let found = file
        .into_identities()
        .map_err(|error| in_file(path, &error.to_string()))?;
    if found.is_empty() {
        return Err(in_file(path, "no identity is in it"));
    }
    Ok(found)
}

fn ssh_identity(path: &Path, text: &str) -> Result<Vec<Identity>, KeyError> {
    use age::ssh::Identity as Key;
    let key = Key::from_buffer(text.as_bytes(), None)
        .map_err(|_| in_file(path, "it is no private key that can be read"))?;
    match key {
        Key::Unencrypted(_) => Ok(vec![Box::new(key)]),
        Key::Encrypted(_) => Err(in_file(
            path,
            "it is protected by a passphrase; use a copy without one, which `ssh-keygen -p` makes",
        )),
        Key::Unsupported(_) => Err(in_file(path, "of SSH keys, ed25519 and RSA are taken")),
    }
}

fn read_keys(path: &Path) -> Result<String, KeyError> {
    let length = fs::metadata(path).map(|found| found.len());
    let text = length.and_then(|length| {
        if length > LIMIT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read_to_string(path)
    });
    text.map_err(|error| in_file(path, &error.to_string()))
}

fn in_file(path: &Path, why: &str) -> KeyError {
    KeyError::File {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";
    const SSH: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB/V3pDOh8xrvB9LiVaQVXfz/MsMneU3BJQ2SIO7kyO3 me@here";

    fn said(given: &[&str], files: &[PathBuf]) -> String {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        Recipients::read(&given, files).unwrap_err().to_string()
    }

    #[test]
    fn recipients_are_age_keys_ssh_keys_and_lines_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("recipients");
        fs::write(&file, format!("# ours\n\n{RECIPIENT}\r\n{SSH}\n")).unwrap();
        let given = [RECIPIENT.to_owned(), SSH.to_owned()];
        let found = Recipients::read(&given, std::slice::from_ref(&file))
            .unwrap()
            .unwrap();
        assert_eq!(found.0.len(), 4);
        assert!(Recipients::read(&[], &[]).unwrap().is_none());
        fs::write(&file, "# nobody\n").unwrap();
        assert!(said(&[], &[file]).ends_with("no recipient is in it"));
    }

    #[test]
    fn what_is_no_recipient_is_reported_and_a_secret_never_shown() {
        for secret in [
            "AGE-SECRET-KEY-1QQQ",
            "age-secret-key-1qqq",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            let said = said(&[secret], &[]);
            assert!(
                said.contains("secret half") && !said.contains("QQQ") && !said.contains("qqq"),
                "{said}"
            );
        }
        assert!(said(&["age1nobody"], &[]).contains("age1nobody is no recipient"));
        assert!(said(&["ssh-dss AAAA"], &[]).contains("ssh-ed25519"));
    }

    #[test]
    fn identities_are_files_of_age_and_of_ssh_and_their_text_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            Identities::read(std::slice::from_ref(&file)).map_err(|error| error.to_string())
        };
        let key = "AGE-SECRET-KEY-1Q0KA87M57FEG5TFJSE8GDDP7K6YKHHFS9WLN543MZ0XFUGEGE36S5Z4RME";
        let found = read(&format!("# created\n{key}\n")).unwrap().unwrap();
        assert_eq!(found.keys.len(), 1);
        for (text, why) in [
            ("AGE-SECRET-KEY-1HUSH\n", "a line in it is no identity"),
            ("", "no identity is in it"),
            ("age-encryption.org/v1\n-> scrypt", "itself encrypted"),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
                "no private key",
            ),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(why) && !said.contains("HUSH"), "{said}");
        }
        assert!(Identities::read(&[]).unwrap().is_none());
        assert!(Identities::read(&[directory.path().join("none")]).is_err());
    }
}
