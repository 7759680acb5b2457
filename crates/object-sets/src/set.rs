//! A set that is read.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};

use backup_set::{FileState, StoredFile, StoredSet};
use bytes::Bytes;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _};

use crate::bridge::Pending;
use crate::client::Client;
use crate::error::to_io;
use crate::etag::are_same;
use crate::whole::put_whole;

/// How much is asked for at a time; the next piece is on its way while one is read.
const PIECE_BYTES: u64 = 8 << 20;

/// A set in a bucket: what was there when it was listed.
#[derive(Debug)]
pub struct ObjectSet {
    location: PathBuf,
    client: Client,
    prefix: Path,
    files: BTreeMap<String, ObjectMeta>,
    /// Small files that were read with the listing.
    read: BTreeMap<String, Bytes>,
}

impl ObjectSet {
    pub(crate) fn new(
        client: Client,
        location: PathBuf,
        prefix: Path,
        files: BTreeMap<String, ObjectMeta>,
    ) -> Self {
        Self {
            location,
            client,
            prefix,
            files,
            read: BTreeMap::new(),
        }
    }

    /// The set as it is now.
    pub(crate) fn look_at(client: Client, location: PathBuf, prefix: Path) -> io::Result<Self> {
        let listed = client.list(&prefix)?;
        Ok(Self::of_listed(client, location, prefix, listed))
    }

    /// The set of which that is there.
    pub(crate) fn of_listed(
        client: Client,
        location: PathBuf,
        prefix: Path,
        listed: Vec<ObjectMeta>,
    ) -> Self {
        let files = listed.into_iter().filter_map(|meta| {
            let mut parts = meta.location.prefix_match(&prefix)?;
            let file = parts.next()?.as_ref().to_owned();
            let is_in_it = parts.next().is_none();
            drop(parts);
            is_in_it.then_some((file, meta))
        });
        let files = files.collect();
        Self::new(client, location, prefix, files)
    }

    /// Whether nothing of it is there.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(crate) fn file(&self, name: &str) -> Option<&ObjectMeta> {
        self.files.get(name)
    }

    pub(crate) fn keep(&mut self, name: &str, content: Bytes) {
        self.read.insert(name.to_owned(), content);
    }

    /// The content of a small file; none where it cannot be read now.
    pub(crate) async fn fetch(&self, meta: &ObjectMeta) -> Option<Bytes> {
        let got = self.client.objects.get(&meta.location).await.ok()?;
        got.bytes().await.ok()
    }

    fn meta(&self, name: &str) -> io::Result<&ObjectMeta> {
        self.files
            .get(name)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn reader(&self, name: &str, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
        let meta = self.meta(name)?;
        let end = range.end.min(meta.size);
        if let Some(content) = self.read.get(name) {
            let at = |offset: u64| usize::try_from(offset.min(end)).unwrap_or(content.len());
            return Ok(Box::new(Cursor::new(
                content.slice(at(range.start)..at(end)),
            )));
        }
        Ok(read_object(&self.client, meta, range.start..end))
    }
}

/// Reads a part of an object.
pub(crate) fn read_object(
    client: &Client,
    meta: &ObjectMeta,
    range: Range<u64>,
) -> Box<dyn Read + Send> {
    let mut reader = Pieces {
        client: client.clone(),
        meta: meta.clone(),
        next: range,
        current: Cursor::new(Bytes::new()),
        coming: None,
    };
    reader.ask();
    Box::new(reader)
}

impl StoredSet for ObjectSet {
    fn location(&self) -> &FilePath {
        &self.location
    }

    fn look(&self, file: &str) -> io::Result<FileState> {
        let bytes = self.meta(file)?.size;
        Ok(FileState::File { bytes })
    }

    fn bytes(&self) -> u64 {
        self.files.values().map(|meta| meta.size).sum()
    }

    fn read(&self, file: &str) -> io::Result<Box<dyn Read + Send>> {
        self.reader(file, 0..u64::MAX)
    }

    fn read_range(&self, file: &str, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
        self.reader(file, range)
    }

    fn again(&self) -> io::Result<Box<dyn StoredSet + Send>> {
        let set = Self::look_at(
            self.client.clone(),
            self.location.clone(),
            self.prefix.clone(),
        );
        Ok(Box::new(set?))
    }

    fn files(&self) -> io::Result<Vec<StoredFile>> {
        let files = self.files.iter().map(|(name, meta)| StoredFile {
            name: name.clone(),
            state: FileState::File { bytes: meta.size },
            changed: Timestamp::from_second(meta.last_modified.timestamp()).ok(),
        });
        Ok(files.collect())
    }

    fn put(&self, file: &str, content: &[u8]) -> io::Result<()> {
        let path = self.prefix.clone().join(file);
        let put = put_whole(&self.client, &path, &Bytes::copy_from_slice(content));
        put.map(drop)
    }

    fn remove_file(&self, file: &str) -> io::Result<()> {
        let (client, path) = (self.client.clone(), self.prefix.clone().join(file));
        let deleted = self.client.bridge.run(async move {
            client
                .patience
                .run(&client.outage, || client.objects.delete(&path))
                .await
        })?;
        match deleted {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(to_io(error)),
        }
    }

    /// There is none.
    fn remove_place(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A piece of an object, and the ETag of that.
struct Piece {
    content: Bytes,
    e_tag: Option<String>,
}

/// A file that is read piece by piece, each of them again where the line broke.
struct Pieces {
    client: Client,
    meta: ObjectMeta,
    /// What has not been asked for yet.
    next: Range<u64>,
    current: Cursor<Bytes>,
    coming: Option<Pending<object_store::Result<Piece>>>,
}

impl Pieces {
    /// Asks for the next piece.
    fn ask(&mut self) {
        if self.next.is_empty() {
            return;
        }
        let end = self.next.end.min(self.next.start + PIECE_BYTES);
        let range = self.next.start..end;
        self.next.start = end;
        let (client, meta) = (self.client.clone(), self.meta.clone());
        self.coming = Some(self.client.bridge.begin(async move {
            let get = || async {
                let options = GetOptions {
                    range: Some(GetRange::Bounded(range.clone())),
                    ..GetOptions::default()
                };
                let got = client.objects.get_opts(&meta.location, options).await?;
                // Where the store tells it, it must be the same object from the first piece to the last.
                let is_same = are_same(got.meta.e_tag.as_deref(), meta.e_tag.as_deref());
                if meta.e_tag.is_some() && !is_same {
                    return Err(object_store::Error::Precondition {
                        path: meta.location.to_string(),
                        source: "the object was replaced while it was read".into(),
                    });
                }
                let e_tag = got.meta.e_tag.clone();
                let content = got.bytes().await?;
                Ok(Piece { content, e_tag })
            };
            client.patience.run(&client.outage, get).await
        }));
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(coming) = self.coming.take() else {
                return Ok(0);
            };
            let piece = coming.wait()?.map_err(to_io)?;
            self.meta.e_tag = self.meta.e_tag.take().or(piece.e_tag);
            self.ask();
            self.current = Cursor::new(piece.content);
        }
    }
}
