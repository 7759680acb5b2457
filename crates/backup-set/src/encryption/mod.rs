//! Sets whose files only the holder of a key can read, with age.
//!
//! A store is wrapped: what is written to a file goes through age into a file of the same name that ends in `.age`, and only
//! that is ever on a disk or a line. Each file has a key of its own, which age draws. Of the manifest, what `list` and `prune`
//! need stays readable; all of it is in `backup.json.age`.

mod decrypted;
mod keys;
mod store;

pub(crate) use decrypted::{Broken, Decrypted};
pub use keys::{Identities, KeyError, Recipients};
pub use store::{EncryptedFile, EncryptedSet, EncryptedStore};

/// What the name of an encrypted file ends in.
pub(crate) const SUFFIX: &str = ".age";
