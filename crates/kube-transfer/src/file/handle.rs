//! A file in a container as what it is looked at, fetched and put in place through.

use super::{
    Entry, FetchError, FetchEvent, FetchOptions, Fetched, FileError, Partial, UploadError,
    UploadEvent, UploadOptions, UploadSource, Uploaded, fetch::fetch, query, upload,
};
use crate::{download::Sink, pod::PodHandle};

/// A file in a container, there or not.
#[derive(Debug, Clone)]
pub struct FileHandle {
    pub(super) pod: PodHandle,
    pub(super) path: String,
}

impl FileHandle {
    pub(crate) fn new(pod: PodHandle, path: String) -> Self {
        Self { pod, path }
    }

    /// The container.
    pub fn pod(&self) -> &PodHandle {
        &self.pod
    }

    /// Its path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it is at this moment. A symbolic link is not followed.
    pub async fn stat(&self) -> Result<Entry, FileError> {
        query::stat(self).await
    }

    /// Fetches it into `partial`, and through `sink`.
    ///
    /// The version is the one `partial` was made for. The sink gets the whole file in order, also what was here before,
    /// and is finished after everything was verified. `observe` must be quick. Dropping the future ends all streams; what
    /// is good of the data stays for [`Partial::resume`], up to the last seconds.
    pub async fn fetch<S: Sink>(
        &self,
        partial: Partial,
        sink: S,
        options: &FetchOptions,
        observe: impl FnMut(FetchEvent<'_>),
    ) -> Result<Fetched<S::Finished>, FetchError> {
        fetch(self, partial, sink, options, observe).await
    }

    /// Puts `source` in its place, which its owner alone can read: whole or not at all.
    ///
    /// A connection that breaks is opened again, and what has arrived is not sent again, nor is it by a later call, also
    /// of another process: it stays in `<path>.partial/` until an upload is done, or
    /// [`discard_upload`](Self::discard_upload) removes it. A file with this very content that is there already counts as
    /// put in place. `observe` must be quick. Dropping the future ends the connection.
    pub async fn upload(
        &self,
        source: &UploadSource,
        options: &UploadOptions,
        observe: impl FnMut(UploadEvent<'_>),
    ) -> Result<Uploaded, UploadError> {
        upload::upload(self, source, options, observe).await
    }

    /// Removes what an upload that was not finished has left in `<path>.partial/`. Does nothing when there is nothing;
    /// an upload that is still going on in the pod is not disturbed, and an error.
    pub async fn discard_upload(&self) -> Result<(), UploadError> {
        upload::discard(self).await
    }
}
