//! A file on its way into a bucket: in parts, none of which is lost, and none of which stays when it fails.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use backup_set::{BegunFile, Encoded, SetError};
use bytes::{Bytes, BytesMut};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Error, MultipartId, ObjectMeta, ObjectStoreExt as _, Result};

use crate::bridge::Pending;
use crate::client::{Client, MOST_PARTS};
use crate::error::{is_transient, to_io};
use crate::etag::{Told, are_same, of_parts, of_whole};
use crate::open::Number;
use crate::proof::{Piece, is_what_was_sent};
use crate::whole::put_whole;

/// How many parts are on their way while the next one is filled.
const PARTS_AT_A_TIME: usize = 3;

/// What has been uploaded as a whole, of a set.
pub(crate) type Finished = Arc<Mutex<Vec<(Path, Uploaded)>>>;

/// What an object must be like.
#[derive(Debug, Clone)]
pub(crate) struct Uploaded {
    pub(crate) bytes: u64,
    /// As the store told it when it was whole.
    pub(crate) e_tag: Option<String>,
}

/// Whether an object that was found is what was uploaded.
pub(crate) fn is_as_uploaded(found: &ObjectMeta, uploaded: &Uploaded) -> bool {
    let is_told = uploaded.e_tag.is_some() && found.e_tag.is_some();
    let is_same = are_same(uploaded.e_tag.as_deref(), found.e_tag.as_deref());
    found.size == uploaded.bytes && (is_same || !is_told)
}

/// A file that is being uploaded. Dropped before it is complete, its upload is aborted.
#[derive(Debug)]
pub struct ObjectFile {
    client: Client,
    location: Path,
    shown: PathBuf,
    finished: Finished,
    part_bytes: usize,
    /// The part that is being filled.
    part: BytesMut,
    bytes: u64,
    upload: Option<Upload>,
}

/// An upload in parts that was begun.
#[derive(Debug)]
struct Upload {
    number: Number,
    id: MultipartId,
    done: Vec<Part>,
    sent: usize,
    on_the_way: VecDeque<Pending<Result<Part>>>,
}

/// A part that was uploaded.
#[derive(Debug, Clone)]
struct Part {
    id: PartId,
    piece: Piece,
}

impl ObjectFile {
    pub(crate) fn new(client: Client, location: Path, shown: PathBuf, finished: Finished) -> Self {
        Self {
            part_bytes: client.part_bytes,
            part: BytesMut::new(),
            bytes: 0,
            upload: None,
            client,
            location,
            shown,
            finished,
        }
    }

    /// Sends the part that was filled.
    fn send_part(&mut self) -> io::Result<()> {
        if self.upload.is_none() {
            self.upload = Some(self.begin_upload()?);
        }
        let (client, location) = (self.client.clone(), self.location.clone());
        let content = self.part.split().freeze();
        let Some(upload) = &mut self.upload else {
            return Err(io::Error::other("no upload; this is a bug"));
        };
        if upload.on_the_way.len() == PARTS_AT_A_TIME {
            upload.take_one()?;
        }
        if upload.sent as u64 == MOST_PARTS {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is larger than was expected, and has more parts than a store takes",
            ));
        }
        let (id, number) = (upload.id.clone(), upload.sent);
        upload.sent += 1;
        upload
            .on_the_way
            .push_back(self.client.bridge.begin(async move {
                let piece = Piece::of(&content);
                let put = || {
                    client
                        .objects
                        .put_part(&location, &id, number, content.clone().into())
                };
                let id = client.patience.run(&client.outage, put).await?;
                Ok(Part { id, piece })
            }));
        Ok(())
    }

    fn begin_upload(&self) -> io::Result<Upload> {
        let (client, location) = (self.client.clone(), self.location.clone());
        let shown = self.shown.display().to_string();
        // Known as open as soon as the store has told its id, whoever waits for that.
        let begun = self.client.bridge.run(async move {
            let create = || client.objects.create_multipart(&location);
            let id = client.patience.run(&client.outage, create).await?;
            Ok((client.open.begun(&id, &location, shown), id))
        })?;
        let (number, id) = begun.map_err(to_io)?;
        Ok(Upload {
            number,
            id,
            done: Vec::new(),
            sent: 0,
            on_the_way: VecDeque::new(),
        })
    }

    fn finish(&mut self) -> io::Result<Uploaded> {
        if self.upload.is_none() {
            let content = self.part.split().freeze();
            return self.put(&content);
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        let (client, location) = (self.client.clone(), self.location.clone());
        let Some(upload) = &mut self.upload else {
            return Err(io::Error::other("no upload; this is a bug"));
        };
        while !upload.on_the_way.is_empty() {
            upload.take_one()?;
        }
        let (id, parts) = (upload.id.clone(), upload.done.clone());
        let completed = self
            .client
            .bridge
            .run(async move { complete(&client, &location, &id, &parts).await })?;
        let uploaded = completed.map_err(to_io)?;
        if let Some(upload) = self.upload.take() {
            self.client.open.completed(upload.number);
        }
        Ok(uploaded)
    }

    /// A file that fits into one request.
    fn put(&self, content: &Bytes) -> io::Result<Uploaded> {
        let piece = Piece::of(content);
        let answer = put_whole(&self.client, &self.location, content)?;
        let found = self.client.head(&self.location)?;
        let told = if self.client.has_md5s() {
            let answered = answer.as_ref().and_then(|answer| answer.e_tag.as_deref());
            of_whole(answered, found.e_tag.as_deref(), piece.md5)
        } else {
            Told::Nothing
        };
        let uploaded = Uploaded {
            bytes: found.size,
            e_tag: found.e_tag.clone(),
        };
        let client = self.client.clone();
        let compared = self.client.bridge.run(async move {
            is_what_was_sent(&client, told, answer.as_ref(), &found, &[piece]).await
        })?;
        if !compared.map_err(to_io)? {
            return Err(io::Error::other(format!(
                "the store has something else, of {} bytes in place of {}: is another command writing there?",
                uploaded.bytes, piece.bytes
            )));
        }
        Ok(uploaded)
    }

    fn abort(&mut self) {
        if let Some(upload) = self.upload.take() {
            // A part that arrives later would stay.
            upload.on_the_way.into_iter().for_each(Pending::cancel);
            self.client.open.abort(upload.number);
        }
    }
}

impl Upload {
    /// Waits for the part that was sent first.
    fn take_one(&mut self) -> io::Result<()> {
        if let Some(pending) = self.on_the_way.pop_front() {
            self.done.push(pending.wait()?.map_err(to_io)?);
        }
        Ok(())
    }
}

/// Completes an upload. Whatever the answer, only a look at the object tells what came of it: an error may follow a complete
/// that worked, also one that says that there is no such upload, and an answer of 200 may not.
async fn complete(
    client: &Client,
    location: &Path,
    id: &MultipartId,
    parts: &[Part],
) -> Result<Uploaded> {
    let ids: Vec<PartId> = parts.iter().map(|part| part.id.clone()).collect();
    let pieces: Vec<Piece> = parts.iter().map(|part| part.piece).collect();
    let mut pauses = client.patience.pauses(&client.outage);
    loop {
        let answer = client
            .objects
            .complete_multipart(location, id, ids.clone())
            .await;
        let head = || client.objects.head(location);
        let found = client.patience.run(&client.outage, head).await;
        if let Ok(found) = &found {
            let told = told_of(client, found, parts);
            let answer = answer.as_ref().ok();
            if is_what_was_sent(client, told, answer, found, &pieces).await? {
                return Ok(Uploaded {
                    bytes: found.size,
                    e_tag: found.e_tag.clone(),
                });
            }
        }
        match (answer, found) {
            (Err(error), _) if is_transient(&error) && pauses.pause(&error).await => {}
            (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
            (Ok(_), Ok(found)) => {
                let bytes: u64 = pieces.iter().map(|piece| piece.bytes).sum();
                return Err(Error::Generic {
                    store: "object store",
                    source: format!(
                        "the upload was said to be complete, and the object has {} bytes of {bytes}, or other parts",
                        found.size
                    )
                    .into(),
                });
            }
        }
    }
}

/// What the ETag of the object tells of the parts that were sent.
fn told_of(client: &Client, found: &ObjectMeta, parts: &[Part]) -> Told {
    if !client.has_md5s() {
        return Told::Nothing;
    }
    let parts = parts
        .iter()
        .map(|part| (&*part.id.content_id, part.piece.md5));
    of_parts(parts, found.e_tag.as_deref())
}

/// Notes that a file of a set is there as a whole.
pub(crate) fn finished(files: &Finished, location: Path, uploaded: Uploaded) {
    let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
    files.retain(|(other, _)| *other != location);
    files.push((location, uploaded));
}

impl Write for ObjectFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.part_bytes - self.part.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.part.extend_from_slice(taken);
        self.bytes += taken.len() as u64;
        if self.part.len() == self.part_bytes {
            self.send_part()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BegunFile for ObjectFile {
    fn complete(mut self, bytes: u64) -> std::result::Result<Option<Encoded>, SetError> {
        let path = self.shown.clone();
        if self.bytes != bytes {
            return Err(SetError::Changed { path, bytes });
        }
        let uploaded = self
            .finish()
            .map_err(|source| SetError::writing(&path, source))?;
        finished(&self.finished, self.location.clone(), uploaded);
        Ok(None)
    }
}

impl Drop for ObjectFile {
    fn drop(&mut self) {
        self.abort();
    }
}
