//! Objects that are put in one request: there as a whole or not at all.

use std::io;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutResult};

use crate::client::Client;
use crate::error::to_io;
use crate::etag::Told;
use crate::proof::{Piece, is_what_was_sent};

/// Puts a small object. Returns what was answered; nothing where that was an error, and the object is there: an attempt of which
/// nobody heard has put it, and whoever may not delete may not put it once more in Google's store.
pub(crate) fn put_whole(
    client: &Client,
    path: &Path,
    content: &Bytes,
) -> io::Result<Option<PutResult>> {
    let (putting, location, sent) = (client.clone(), path.clone(), content.clone());
    let put = client.bridge.run(async move {
        let put = || async { putting.objects.put(&location, sent.clone().into()).await };
        putting.patience.run(&putting.outage, put).await
    })?;
    match put {
        Ok(answer) => Ok(Some(answer)),
        Err(_) if matches!(holds(&client.hasty(), path, content), Ok(true)) => Ok(None),
        Err(error) => Err(to_io(error)),
    }
}

/// Whether an object is this content.
fn holds(client: &Client, path: &Path, content: &[u8]) -> io::Result<bool> {
    let found = client.head(path)?;
    let (comparing, piece) = (client.clone(), Piece::of(content));
    let compared = client.bridge.run(async move {
        is_what_was_sent(&comparing, Told::Nothing, None, &found, &[piece]).await
    })?;
    compared.map_err(to_io)
}
