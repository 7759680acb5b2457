//! Backup sets in object storage.
//!
//! [`ObjectStore`] keeps sets as `backup-set`'s stores do, under a prefix of a bucket: `s3://bucket/prefix/SET/store.dump`, and
//! likewise in Google Cloud Storage (`gs://`) and in a container of Azure Blob Storage (`az://`), which is called a bucket here too. A
//! set is streamed there as it arrives, in parts, with bounded memory, and nothing of it is seen as an object before it is
//! whole; `backup.json` comes last.
//!
//! What object stores do when something goes wrong decides the rest. A part is sent again for as long as an outage may last.
//! An error of the request that completes an upload says nothing: the object may be whole. So the object is looked at, and
//! its size and ETag compared, after every such request, whatever its answer: with the MD5s of what was sent, where ETags are such. An upload that fails is aborted on every path.
//! No conditional write is relied on, nor any right to delete: NooBaa has none, and a backup should not need it.

mod bridge;
mod client;
mod codes;
mod connect;
mod error;
mod etag;
mod http;
mod location;
mod open;
mod options;
mod proof;
mod retry;
mod set;
mod store;
mod teller;
mod upload;
mod whole;

pub use http::answers;
pub use location::{Location, LocationError, Scheme, is_location};
pub use options::{Options, Settings, Through};
pub use retry::Patience;
pub use set::ObjectSet;
pub use store::{BegunObjects, ObjectStore};
pub use teller::Teller;
pub use upload::ObjectFile;
