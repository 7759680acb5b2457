//! The uploads that are under way: each is completed or aborted, however the command ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::path::Path;
use object_store::{Error, MultipartId, ObjectStoreExt as _};

use crate::bridge::Bridge;
use crate::connect::Objects;
use crate::error::to_io;
use crate::location::Scheme;
use crate::retry::{Outage, Patience};
use crate::teller::Teller;

/// How long is tried to tidy up: whoever has pressed Ctrl-C waits for it.
const TIDY_WITHIN: Duration = Duration::from_secs(5);

/// The uploads of one connection; a clone is the same list.
#[derive(Debug, Clone)]
pub(crate) struct OpenUploads {
    scheme: Scheme,
    objects: Arc<dyn Objects>,
    bridge: Bridge,
    patience: Patience,
    teller: Teller,
    open: Arc<Mutex<Open>>,
}

/// Which upload of the list it is. The store's own id does not tell: Azure gives none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(u64);

#[derive(Debug, Default)]
struct Open {
    begun: u64,
    uploads: BTreeMap<Number, OpenUpload>,
}

#[derive(Debug)]
struct OpenUpload {
    id: MultipartId,
    /// What it makes.
    location: Path,
    /// How that is shown.
    shown: String,
}

impl OpenUploads {
    pub(crate) fn new(
        scheme: Scheme,
        objects: &Arc<dyn Objects>,
        bridge: &Bridge,
        patience: Patience,
        teller: Teller,
    ) -> Self {
        Self {
            scheme,
            objects: Arc::clone(objects),
            bridge: bridge.clone(),
            patience: patience.within(TIDY_WITHIN),
            teller,
            open: Arc::default(),
        }
    }

    pub(crate) fn begun(&self, id: &MultipartId, location: &Path, shown: String) -> Number {
        let mut open = self.lock();
        open.begun += 1;
        let number = Number(open.begun);
        let upload = OpenUpload {
            id: id.clone(),
            location: location.clone(),
            shown,
        };
        open.uploads.insert(number, upload);
        number
    }

    pub(crate) fn completed(&self, number: Number) {
        self.lock().uploads.remove(&number);
    }

    /// Aborts one, where it is still open.
    pub(crate) fn abort(&self, number: Number) {
        let Some(upload) = self.lock().uploads.remove(&number) else {
            return;
        };
        match self.scheme {
            Scheme::S3 | Scheme::Gs | Scheme::Obc => self.abort_there(upload),
            // There is no request for it.
            Scheme::Az => self.teller.tell(format!(
                "{} is not there, but the blocks of it that had arrived take room until Azure removes them by itself, a week after the last one",
                upload.shown
            )),
        }
    }

    fn abort_there(&self, upload: OpenUpload) {
        let OpenUpload {
            id,
            location,
            shown,
        } = upload;
        let (objects, patience, asked) = (Arc::clone(&self.objects), self.patience, id.clone());
        let outage = Outage::default();
        let aborted = self.bridge.run_at_the_end(async move {
            let abort = patience.run(&outage, || objects.abort_multipart(&location, &asked));
            // A server that says nothing is not waited for.
            tokio::time::timeout(TIDY_WITHIN, abort).await
        });
        let why = match aborted {
            Ok(Ok(Ok(()) | Err(Error::NotFound { .. }))) => return,
            Ok(Ok(Err(error))) => to_io(error).to_string(),
            Ok(Err(_)) => "the store does not answer".to_owned(),
            Err(error) => error.to_string(),
        };
        self.teller.tell(format!(
            "the upload {id} of {shown} was not aborted ({why}): its parts take room until a lifecycle rule, or abort-multipart-upload with this id, removes them"
        ));
    }

    /// Deletes what belongs to no whole set, as far as these keys may.
    pub(crate) fn delete(&self, locations: Vec<Path>) {
        let (objects, patience) = (Arc::clone(&self.objects), self.patience);
        let outage = Outage::default();
        let left = self.bridge.run_at_the_end(async move {
            let mut left = Vec::new();
            for location in locations {
                let delete = patience.run(&outage, || objects.delete(&location));
                match tokio::time::timeout(TIDY_WITHIN, delete).await {
                    Ok(Ok(()) | Err(Error::NotFound { .. })) => {}
                    _ => left.push(location),
                }
            }
            left
        });
        for location in left.unwrap_or_default() {
            self.teller.tell(format!(
                "{location} of the unfinished set stays in the bucket: it was not deleted"
            ));
        }
    }

    /// Gives up everything that is under way.
    pub(crate) fn stop(&self) {
        self.bridge.stop();
        let numbers: Vec<Number> = self.lock().uploads.keys().copied().collect();
        for number in numbers {
            self.abort(number);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
