//! Handles of the one pod that the server knows, and what is done through them, in short.

use std::path::Path;

use kube::Client;
use kube_transfer::{
    Captured, Delivered, DownloadError, PodHandle, RemoteCommand, Sink, TransferOptions,
    file::{
        Entry, FetchError, FetchEvent, FetchOptions, Fetched, FileError, FileHandle, Partial,
        UploadError, UploadEvent, UploadOptions, UploadSource, Uploaded,
    },
};

use super::target;

/// The path of a file in the pod.
pub(crate) struct RemoteFile(String);

pub(crate) fn remote(path: &Path) -> RemoteFile {
    RemoteFile(path.to_str().expect("UTF-8").to_owned())
}

impl RemoteFile {
    pub(crate) fn through(&self, client: &Client, limits: &TransferOptions) -> FileHandle {
        handle(client, limits).file(&self.0)
    }
}

pub(crate) fn handle(client: &Client, limits: &TransferOptions) -> PodHandle {
    PodHandle::new(client, target()).with_options(limits.clone())
}

pub(crate) async fn run(
    client: &Client,
    command: &RemoteCommand,
    limits: &TransferOptions,
) -> Result<Captured, DownloadError> {
    handle(client, limits).run(command).await
}

pub(crate) async fn download<S: Sink>(
    client: &Client,
    command: &RemoteCommand,
    sink: S,
    limits: &TransferOptions,
    progress: impl FnMut(u64),
) -> Result<Delivered<S::Finished>, DownloadError> {
    handle(client, limits)
        .download(command, sink, progress)
        .await
}

pub(crate) async fn stat(client: &Client, file: &RemoteFile) -> Result<Entry, FileError> {
    file.through(client, &TransferOptions::default())
        .stat()
        .await
}

pub(crate) async fn fetch_file<S: Sink>(
    client: &Client,
    file: &RemoteFile,
    partial: Partial,
    sink: S,
    options: &FetchOptions,
    observe: impl FnMut(FetchEvent<'_>),
) -> Result<Fetched<S::Finished>, FetchError> {
    file.through(client, &TransferOptions::default())
        .fetch(partial, sink, options, observe)
        .await
}

pub(crate) async fn upload(
    client: &Client,
    source: &UploadSource,
    file: &RemoteFile,
    options: &UploadOptions,
    observe: impl FnMut(UploadEvent<'_>),
) -> Result<Uploaded, UploadError> {
    file.through(client, &TransferOptions::default())
        .upload(source, options, observe)
        .await
}
