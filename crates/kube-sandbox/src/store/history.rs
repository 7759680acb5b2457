//! The changes of late, for watches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use futures::stream::{self, StreamExt};
use tokio::sync::watch;

use super::{ResourceKey, Store, key};
use crate::meta::{Object, Resource, Status, object};

/// Changes kept; a watch that asks for older ones gets 410.
const CHANGES_KEPT: usize = 4_000;

/// How an object changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// It is new, at least to this watch.
    Added,
    /// It changed.
    Modified,
    /// It is gone; the event holds its last state.
    Deleted,
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct WatchEvent {
    /// How it changed.
    pub event: EventType,
    /// Its state after the change.
    pub object: Object,
    /// Its state before, when it had one and this is no initial event.
    pub previous: Option<Object>,
}

#[derive(Debug)]
pub(super) struct History {
    changes: Mutex<Changes>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Changes {
    /// Revision of the last change that is no longer held.
    forgotten: u64,
    held: VecDeque<Change>,
}

#[derive(Debug, Clone)]
struct Change {
    revision: u64,
    resource: ResourceKey,
    event: WatchEvent,
}

impl Default for History {
    fn default() -> Self {
        Self {
            changes: Mutex::default(),
            newest: watch::Sender::new(0),
        }
    }
}

impl History {
    /// Records a change. Called under the store's lock, so that revisions arrive in order.
    pub(super) fn record(&self, resource: &Resource, event: WatchEvent) {
        let revision = object::revision(&event.object);
        let mut changes = self.lock();
        if changes.held.len() == CHANGES_KEPT
            && let Some(oldest) = changes.held.pop_front()
        {
            changes.forgotten = oldest.revision;
        }
        changes.held.push_back(Change {
            revision,
            resource: key(resource),
            event,
        });
        drop(changes);
        self.newest.send_replace(revision);
    }

    /// The first change after `revision` that concerns the resource, and where to go on from.
    fn next(&self, resource: ResourceKey, namespace: Option<&str>, after: u64) -> Next {
        let changes = self.lock();
        if after < changes.forgotten {
            return Next::Forgotten {
                oldest: changes.forgotten,
            };
        }
        let start = changes
            .held
            .partition_point(|change| change.revision <= after);
        let found = changes.held.range(start..).find(|change| {
            change.resource == resource
                && namespace.is_none_or(|wanted| wanted == object::namespace(&change.event.object))
        });
        match found {
            Some(change) => Next::Change(change.clone()),
            None => Next::Nothing {
                seen: changes
                    .held
                    .back()
                    .map_or(after, |newest| newest.revision.max(after)),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Change(Change),
    Nothing { seen: u64 },
    Forgotten { oldest: u64 },
}

impl Store {
    /// The changes of a kind after revision `from`, without end; with `None`, first every object there is as
    /// [`EventType::Added`], then the changes. 410 ends it when it falls behind what is kept.
    pub fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        from: Option<u64>,
    ) -> impl Stream<Item = Result<WatchEvent, Status>> + Send + use<> {
        let (initial, from) = if let Some(revision) = from {
            (Vec::new(), revision)
        } else {
            let list = self.list(resource, namespace);
            (list.items, list.revision)
        };
        let initial = initial.into_iter().map(|object| {
            Ok(WatchEvent {
                event: EventType::Added,
                object,
                previous: None,
            })
        });
        let cursor = Cursor {
            history: Arc::clone(&self.history),
            news: self.history.newest.subscribe(),
            resource: key(resource),
            namespace: namespace.map(str::to_owned),
            after: Some(from),
        };
        stream::iter(initial).chain(stream::unfold(cursor, Cursor::advance))
    }
}

struct Cursor {
    history: Arc<History>,
    news: watch::Receiver<u64>,
    resource: ResourceKey,
    namespace: Option<String>,
    /// Revision of the last change seen; `None` after the end.
    after: Option<u64>,
}

impl Cursor {
    async fn advance(mut self) -> Option<(Result<WatchEvent, Status>, Self)> {
        loop {
            let after = self.after?;
            // Marked seen before looking, so that a change in between wakes the wait below.
            self.news.borrow_and_update();
            match self
                .history
                .next(self.resource, self.namespace.as_deref(), after)
            {
                Next::Change(change) => {
                    self.after = Some(change.revision);
                    return Some((Ok(change.event), self));
                }
                Next::Nothing { seen } => self.after = Some(seen),
                Next::Forgotten { oldest } => {
                    self.after = None;
                    return Some((
                        Err(Status::expired(format!(
                            "too old resource version: {after} ({oldest})"
                        ))),
                        self,
                    ));
                }
            }
            self.news.changed().await.ok()?;
        }
    }
}
