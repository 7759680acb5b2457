//! The uploads that are under way: each is completed or aborted, however the command ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::aws::AmazonS3;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};

use crate::bridge::Bridge;
use crate::error::to_io;
use crate::retry::{Outage, Patience};
use crate::teller::Teller;

/// How long is tried to tidy up: whoever has pressed Ctrl-C waits for it.
const TIDY_WITHIN: Duration = Duration::from_secs(5);

/// The uploads of one connection; a clone is the same list.
#[derive(Debug, Clone)]
pub(crate) struct OpenUploads {
    objects: Arc<AmazonS3>,
    bridge: Bridge,
    patience: Patience,
    teller: Teller,
    /// By their ids: what they make, and how that is shown.
    open: Arc<Mutex<BTreeMap<String, (Path, String)>>>,
}

impl OpenUploads {
    pub(crate) fn new(
        objects: &Arc<AmazonS3>,
        bridge: &Bridge,
        patience: Patience,
        teller: Teller,
    ) -> Self {
        Self {
            objects: Arc::clone(objects),
            bridge: bridge.clone(),
            patience: patience.within(TIDY_WITHIN),
            teller,
            open: Arc::default(),
        }
    }

    pub(crate) fn begun(&self, id: &str, location: &Path, shown: String) {
        self.lock().insert(id.to_owned(), (location.clone(), shown));
    }

    pub(crate) fn completed(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Aborts one, where it is still open.
    pub(crate) fn abort(&self, id: &str) {
        let Some((location, shown)) = self.lock().remove(id) else {
            return;
        };
        let (objects, patience, upload) = (Arc::clone(&self.objects), self.patience, id.to_owned());
        let outage = Outage::default();
        let aborted = self.bridge.run_at_the_end(async move {
            let abort = patience.run(&outage, || objects.abort_multipart(&location, &upload));
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
        let ids: Vec<String> = self.lock().keys().cloned().collect();
        for id in ids {
            self.abort(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Path, String)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
