//! Where the backups are that a user names: in a directory, or in a bucket.
//!
//! Each plugin takes a URL wherever it takes the path of a backup, or of a directory of them. [`BucketArgs`] are the options
//! for that, [`Bucket`] what came of them and of the environment, [`EncryptArgs`] who can read what is written. A URL becomes a store in one place, `Bucket::at`.

mod bucket;
mod encrypt;
mod environment;

pub use bucket::{Bucket, BucketArgs};
pub use bucket_claims::Way;
pub use encrypt::EncryptArgs;
