//! A change as data, and the proof that it is recorded, without which it is not made.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{NAME_LIMIT, Undoing, run_labels};

/// One kind of change that a plugin makes in the cluster; data, so that a later run can undo it.
pub trait Change: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// What is changed, for a person: `pod wa-pvc-3f9a1c07-helper`.
    fn describe(&self) -> String;

    /// Undoes the change and waits until it is undone. Succeeds where there is nothing left to undo, or never was.
    fn undo(&self, undoing: Undoing<'_>) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// How long one attempt of [`Change::undo`] may take: a node needs most of it to unmount and detach a volume.
    fn undone_within(&self) -> Duration {
        Duration::from_mins(2)
    }

    /// The commands with which a person undoes it for the run called `run` in `namespace`, should [`Change::undo`] fail.
    /// They are copied into a shell: nothing that others could have put into the record may come with them unchecked.
    fn manual_commands(&self, namespace: &str, run: &str) -> String;

    /// The command that undoes what a dead run of `plugin` has left.
    fn clean_up(plugin: &str) -> String {
        format!("kubectl {plugin} cleanup")
    }
}

/// A change that the API server knows of before it is made.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub(super) mark: Mark,
    pub(super) making: Making,
}

/// Held for reading while a change is made; who undoes waits for that.
pub(super) type Making = Arc<tokio::sync::RwLock<()>>;

/// What ties an object to its run.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) plugin: &'static str,
    pub(super) run: String,
    /// The run's Lease, where objects of the run are to go with it.
    pub(super) owner: Option<OwnerReference>,
}

impl Mark {
    /// Labels an object as the run's, and gives it its owner.
    pub(super) fn put_on(&self, metadata: &mut ObjectMeta) {
        self.label(metadata);
        metadata.owner_references = self.owner.clone().map(|owner| vec![owner]);
    }

    /// Labels an object as the run's.
    pub(super) fn label(&self, metadata: &mut ObjectMeta) {
        let labels = metadata.labels.get_or_insert_default();
        labels.extend(run_labels(self.plugin, &self.run));
    }

    /// A name for an object of the run: unique, an RFC 1123 label. The same `suffix` gives the same name.
    pub(super) fn name(&self, suffix: &str) -> String {
        let mut name = format!("{}-{suffix}", self.run).to_ascii_lowercase();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        name = name.replace(|c: char| !allowed(c), "-");
        name.truncate(NAME_LIMIT);
        name.truncate(name.trim_end_matches('-').len());
        name
    }
}

impl Recorded {
    /// Makes the change: does `work` to its end though the command is interrupted in the middle of it. Only then is the
    /// change undone, which otherwise might find nothing to undo yet.
    pub async fn make<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        make(&self.making, work).await
    }
}

/// Does `work` to its end though whoever waits for it is dropped.
pub(super) async fn make<T: Send + 'static>(
    making: &Making,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let making = Arc::clone(making).read_owned().await;
    to_the_end(async move {
        let _making = making;
        work.await
    })
    .await
}

/// Has a task of its own do `work`, which therefore goes on when the one that waits for it is dropped.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(broken) => match broken.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process is ending.
            Err(_) => std::future::pending().await,
        },
    }
}
