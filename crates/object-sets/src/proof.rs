//! Whether what a store has is what was sent to it.

use object_store::{Error, ObjectMeta, ObjectStoreExt as _, PutResult, Result};

use crate::client::Client;
use crate::etag::{Hash, Told, are_same, md5};

/// A piece of what was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub(crate) bytes: u64,
    pub(crate) md5: Hash,
}

impl Piece {
    pub(crate) fn of(content: &[u8]) -> Self {
        Self {
            bytes: content.len() as u64,
            md5: md5(content),
        }
    }
}

/// Whether the object that was found is what was sent, in these pieces.
///
/// ETags that are MD5s tell it. Any other tells it where it is the one in the answer to the request that made the object:
/// then nobody has replaced it since. Where that answer was lost, another command may have written an object of the same
/// size; in Azure, its list of blocks throws away those of this upload. So the object is read, and compared.
pub(crate) async fn is_what_was_sent(
    client: &Client,
    told: Told,
    answer: Option<&PutResult>,
    found: &ObjectMeta,
    pieces: &[Piece],
) -> Result<bool> {
    if found.size != pieces.iter().map(|piece| piece.bytes).sum::<u64>() {
        return Ok(false);
    }
    match told {
        Told::Same => Ok(true),
        Told::Other => Ok(false),
        Told::Nothing if answer.is_some_and(|answer| made(client, answer, found)) => Ok(true),
        Told::Nothing => reads_as(client, found, pieces).await,
    }
}

/// Whether the request that was answered so made the object that was found.
fn made(client: &Client, answer: &PutResult, found: &ObjectMeta) -> bool {
    match (&answer.version, &found.version) {
        (Some(made), Some(found)) => made == found,
        _ if !client.tells_tags() => true,
        _ => answer.e_tag.is_some() && are_same(answer.e_tag.as_deref(), found.e_tag.as_deref()),
    }
}

async fn reads_as(client: &Client, found: &ObjectMeta, pieces: &[Piece]) -> Result<bool> {
    let mut start = 0;
    for piece in pieces.iter().filter(|piece| piece.bytes > 0) {
        let range = start..start + piece.bytes;
        start = range.end;
        let get = || client.objects.get_range(&found.location, range.clone());
        match client.patience.run(&client.outage, get).await {
            Ok(read) if md5(&read) == piece.md5 => {}
            Ok(_) | Err(Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
