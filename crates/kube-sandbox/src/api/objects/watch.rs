//! `watch`: changes as they happen, one JSON document a line.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, interval_at, sleep_until};

use super::ObjectRequest;
use super::representation::Representation;
use super::selectors::{FieldSelector, LabelSelector};
use crate::api::respond;
use crate::meta::{Object, Resource, Status, object};
use crate::store::{EventType, WatchEvent};

/// How often a client that wants bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// A watch whose client sets no end lasts between one and two of these, as on a real server.
const SHORTEST_WATCH_SECONDS: u64 = 30 * 60;

impl ObjectRequest<'_> {
    pub(super) fn watch(&self) -> Result<Response, Status> {
        let filter = Filter {
            labels: self.params.labels()?,
            fields: self.params.fields(self.resource)?,
        };
        let wants_bookmarks = self.params.flag("allowWatchBookmarks");
        let wants_initial = self.wants_initial_events(wants_bookmarks)?;
        let list = self.api.store.list(self.resource, self.namespaces());
        let from = self
            .check_revision_wanted(list.revision)?
            .filter(|revision| *revision > 0);

        let (initial, from) = match from {
            Some(from) if !wants_initial => (Vec::new(), from),
            _ => (list.items, list.revision),
        };
        let initial: Vec<_> = initial
            .into_iter()
            .filter_map(|object| filter.added(object))
            .map(Message::Change)
            .collect();
        let end_of_initial = wants_initial.then_some(Message::InitialEventsEnd);
        let changes = self
            .api
            .store
            .watch(self.resource, self.namespaces(), Some(from))
            .filter_map(move |event| std::future::ready(filter.apply(event)));
        let messages = stream::iter(initial.into_iter().chain(end_of_initial))
            .chain(stream::select(changes, bookmarks(wants_bookmarks)));
        let mut lines = Lines {
            resource: self.resource,
            form: self.representation,
            with_headers: true,
            seen: from,
        };
        let end = Instant::now() + self.duration()?;
        let body = messages
            .scan(false, |ended, message| {
                let is_end = matches!(message, Message::Error(_));
                std::future::ready((!std::mem::replace(ended, is_end)).then_some(message))
            })
            .take_until(sleep_until(end))
            .map(move |message| Ok::<_, Infallible>(lines.write(message)));
        Ok(respond::with_type(
            200,
            "application/json",
            Body::from_stream(body),
        ))
    }

    /// `sendInitialEvents`: the list comes as events, ended by a bookmark.
    fn wants_initial_events(&self, bookmarks: bool) -> Result<bool, Status> {
        if !self.params.flag("sendInitialEvents") {
            return Ok(false);
        }
        if !bookmarks || self.params.get("resourceVersionMatch") != Some("NotOlderThan") {
            return Err(Status::plain(
                422,
                "Invalid",
                "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents requires setting \
                 resourceVersionMatch to NotOlderThan and allowWatchBookmarks to true",
            ));
        }
        Ok(true)
    }

    fn duration(&self) -> Result<Duration, Status> {
        let seconds = self
            .params
            .number::<u32>("timeoutSeconds")?
            .filter(|seconds| *seconds > 0);
        Ok(Duration::from_secs(match seconds {
            Some(seconds) => seconds.into(),
            None => rand::rng().random_range(SHORTEST_WATCH_SECONDS..2 * SHORTEST_WATCH_SECONDS),
        }))
    }
}

fn bookmarks(wanted: bool) -> impl Stream<Item = Message> + Send {
    let ticks = wanted.then(|| interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL));
    stream::iter(ticks).flat_map(|ticks| {
        stream::unfold(ticks, |mut ticks| async move {
            ticks.tick().await;
            Some((Message::Bookmark, ticks))
        })
    })
}

enum Message {
    Change(WatchEvent),
    Bookmark,
    InitialEventsEnd,
    Error(Status),
}

/// Which objects a watch is about. One that no longer matches is deleted as far as the watch is concerned.
struct Filter {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    fn added(&self, object: Object) -> Option<WatchEvent> {
        self.matches(&object).then_some(WatchEvent {
            event: EventType::Added,
            object,
            previous: None,
        })
    }

    fn apply(&self, event: Result<WatchEvent, Status>) -> Option<Message> {
        let mut event = match event {
            Ok(event) => event,
            Err(status) => return Some(Message::Error(status)),
        };
        let before = event
            .previous
            .as_ref()
            .is_some_and(|previous| self.matches(previous));
        let after = event.event != EventType::Deleted && self.matches(&event.object);
        event.event = match (before, after) {
            (false, false) => return None,
            (false, true) => EventType::Added,
            (true, true) => EventType::Modified,
            (true, false) => EventType::Deleted,
        };
        Some(Message::Change(event))
    }
}

/// Writes messages in the form the client accepts.
struct Lines {
    resource: &'static Resource,
    form: Representation,
    with_headers: bool,
    /// Revision of the last event written: what a bookmark may promise.
    seen: u64,
}

impl Lines {
    fn write(&mut self, message: Message) -> Bytes {
        let (kind, object) = match message {
            Message::Change(change) => {
                self.seen = object::revision(&change.object).max(self.seen);
                let kind = match change.event {
                    EventType::Added => "ADDED",
                    EventType::Modified => "MODIFIED",
                    EventType::Deleted => "DELETED",
                };
                (
                    kind,
                    self.form
                        .one(self.resource, &change.object, self.with_headers)
                        .into_owned(),
                )
            }
            Message::Bookmark => ("BOOKMARK", self.bookmark(json!({}))),
            Message::InitialEventsEnd => {
                let annotations = json!({ "k8s.io/initial-events-end": "true" });
                (
                    "BOOKMARK",
                    self.bookmark(json!({ "annotations": annotations })),
                )
            }
            Message::Error(status) => ("ERROR", status.to_json()),
        };
        self.with_headers = false;
        let mut line = json!({ "type": kind, "object": object }).to_string();
        line.push('\n');
        line.into()
    }

    fn bookmark(&self, mut metadata: Value) -> Value {
        metadata["resourceVersion"] = self.seen.to_string().into();
        json!({ "kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata })
    }
}
