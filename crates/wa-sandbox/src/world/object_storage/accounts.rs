//! Who may do what in the object storage: each claim has keys of its own, which see its bucket alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Result, s3_error};

/// The accounts; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts(Arc<Mutex<HashMap<String, Account>>>);

#[derive(Debug)]
struct Account {
    secret_key: SecretKey,
    bucket: String,
}

/// The keys of an account.
pub(super) struct Keys {
    pub(super) access_key: String,
    pub(super) secret_key: String,
}

/// That many characters that every shell and URL leaves alone.
fn random(length: usize) -> String {
    const CHARACTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let one = |_| char::from(CHARACTERS[rand::random_range(0..CHARACTERS.len())]);
    (0..length).map(one).collect()
}

impl Accounts {
    /// Makes keys for a bucket.
    pub(super) fn open(&self, bucket: &str) -> Keys {
        let keys = Keys {
            access_key: random(20),
            secret_key: random(40),
        };
        let account = Account {
            secret_key: keys.secret_key.clone().into(),
            bucket: bucket.to_owned(),
        };
        self.all().insert(keys.access_key.clone(), account);
        keys
    }

    /// Lets nobody in by the keys for a bucket any more.
    pub(super) fn close(&self, bucket: &str) {
        self.all().retain(|_, account| account.bucket != bucket);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl S3Auth for Accounts {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let all = self.all();
        let account = all.get(access_key);
        let account = account.ok_or_else(|| s3_error!(InvalidAccessKeyId))?;
        Ok(account.secret_key.clone())
    }
}

#[async_trait::async_trait]
impl S3Access for Accounts {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let bucket = match context.s3_path() {
            S3Path::Root => None,
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => Some(bucket),
        };
        let key = context.credentials().map(|one| &one.access_key);
        let all = self.all();
        let account = key.and_then(|key| all.get(key));
        match account {
            Some(account) if bucket.is_some_and(|bucket| **bucket == *account.bucket) => Ok(()),
            _ => Err(s3_error!(AccessDenied, "Access Denied")),
        }
    }
}
