//! The connection to a bucket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use object_store::list::PaginatedListOptions;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt as _, Result};

use crate::bridge::Bridge;
use crate::connect::{Objects, connect};
use crate::error::to_io;
use crate::location::{Location, Scheme};
use crate::open::OpenUploads;
use crate::options::{Options, Through};
use crate::retry::{Outage, Patience};

/// The most that S3 and Google Cloud Storage take; Azure takes more.
pub(crate) const MOST_PARTS: u64 = 10_000;
/// How many objects are told at a time.
const MOST_KEYS: usize = 1000;
/// How long an outage may last before anything is written or read.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// The connection to a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) objects: Arc<dyn Objects>,
    scheme: Scheme,
    pub(crate) bridge: Bridge,
    pub(crate) patience: Patience,
    pub(crate) outage: Outage,
    pub(crate) open: OpenUploads,
    /// Of the parts of a file.
    pub(crate) part_bytes: usize,
    _through: Option<Through>,
}

/// The size of a part: twice as much as is expected fits into as many as there may be.
fn part_bytes(options: &Options) -> usize {
    let needed = options.expected_bytes / (MOST_PARTS / 2);
    let needed = needed.next_multiple_of(1 << 20);
    usize::try_from(options.least_part_bytes.max(needed)).unwrap_or(usize::MAX)
}

impl Client {
    pub(crate) fn new(location: &Location, options: &Options) -> io::Result<Self> {
        let (objects, bridge) = (connect(location, options)?, Bridge::new()?);
        let teller = options.teller.clone();
        Ok(Self {
            outage: Outage::new(teller.clone()),
            open: OpenUploads::new(location.scheme, &objects, &bridge, options.patience, teller),
            objects,
            scheme: location.scheme,
            bridge,
            patience: options.patience,
            part_bytes: part_bytes(options),
            _through: options.through.clone(),
        })
    }

    /// Whether ETags that look like MD5s are meant as such.
    pub(crate) fn has_md5s(&self) -> bool {
        match self.scheme {
            Scheme::S3 | Scheme::Obc => true,
            Scheme::Gs | Scheme::Az => false,
        }
    }

    /// Whether a listing, and the answer to the end of an upload, have the ETag of the object itself. Of Google's store nobody
    /// says so.
    pub(crate) fn tells_tags(&self) -> bool {
        self.scheme != Scheme::Gs
    }

    /// The same, for a look after an outage was waited out in vain.
    pub(crate) fn hasty(&self) -> Self {
        Self {
            patience: self.patience.within(FIRST_LOOK),
            ..self.clone()
        }
    }

    /// What the store tells of an object.
    pub(crate) fn head(&self, path: &Path) -> io::Result<ObjectMeta> {
        let (client, path) = (self.clone(), path.clone());
        let found = self.bridge.run(async move {
            let head = || client.objects.head(&path);
            client.patience.run(&client.outage, head).await
        })?;
        found.map_err(to_io)
    }

    /// What is there now. For a first look, nobody waits out a long outage.
    pub(crate) fn list(&self, prefix: &Path) -> io::Result<Vec<ObjectMeta>> {
        self.list_within(prefix, FIRST_LOOK, |_| true)
    }

    /// The same, of what is that many parts below `prefix`: a bucket may be full of other things, which are not kept in memory.
    pub(crate) fn list_at_depth(&self, prefix: &Path, depth: usize) -> io::Result<Vec<ObjectMeta>> {
        let of_prefix = prefix.parts().count();
        self.list_within(prefix, FIRST_LOOK, move |meta| {
            meta.location.parts().count() == of_prefix + depth
        })
    }

    /// The same, for as long as an outage may last.
    pub(crate) fn list_patiently(&self, prefix: &Path) -> io::Result<Vec<ObjectMeta>> {
        self.list_within(prefix, Duration::MAX, |_| true)
    }

    fn list_within(
        &self,
        prefix: &Path,
        longest: Duration,
        is_wanted: impl Fn(&ObjectMeta) -> bool + Send + 'static,
    ) -> io::Result<Vec<ObjectMeta>> {
        let (client, prefix) = (self.clone(), prefix.clone());
        let listed = self.bridge.run(async move {
            let patience = client.patience.within(longest);
            client.list_all(&prefix, patience, is_wanted).await
        })?;
        let mut listed: Vec<ObjectMeta> = listed.map_err(to_io)?;
        if !self.tells_tags() {
            for meta in &mut listed {
                meta.e_tag = None;
            }
        }
        Ok(listed)
    }

    /// Page by page, each of them with patience of its own: a long listing is no long outage.
    async fn list_all(
        &self,
        prefix: &Path,
        patience: Patience,
        is_wanted: impl Fn(&ObjectMeta) -> bool,
    ) -> Result<Vec<ObjectMeta>> {
        let below = format!("{prefix}/");
        let below = Some(below.as_str()).filter(|below| *below != "/");
        let (mut listed, mut from) = (Vec::new(), PaginatedListOptions::default());
        let mut keys = MOST_KEYS;
        loop {
            from.max_keys = Some(keys);
            let page = || self.objects.list_paginated(below, from.clone());
            match patience.run(&self.outage, page).await {
                Ok(page) => {
                    let objects = page.result.objects.into_iter();
                    listed.extend(objects.filter(|meta| is_wanted(meta)));
                    if page.page_token.is_none() {
                        return Ok(listed);
                    }
                    from.page_token = page.page_token;
                    keys = MOST_KEYS.min(keys * 2);
                }
                // One name that is none to object_store costs its whole page: it is looked for, and passed over.
                Err(Error::InvalidPath { .. }) if keys > 1 => keys /= 2,
                Err(Error::InvalidPath { source }) => match behind(&source) {
                    offset if offset.is_some() && offset != from.offset => {
                        from.offset = offset;
                        from.page_token = None;
                    }
                    _ => return Err(Error::InvalidPath { source }),
                },
                Err(error) => return Err(error),
            }
        }
    }
}

/// Behind all objects that are in the same place as the one whose name is none: `a//b`, which is no set's.
fn behind(error: &object_store::path::Error) -> Option<String> {
    use object_store::path::Error::{BadSegment, EmptySegment};
    match error {
        EmptySegment { path } => {
            let place = path.split_inclusive("//").next()?;
            Some(format!("{place}{}", char::MAX))
        }
        BadSegment { path, .. } => Some(path.clone()),
        _ => None,
    }
}
