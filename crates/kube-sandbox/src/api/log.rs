//! What was asked of the API server, as an audit log would hold it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;

use crate::meta::request::RequestInfo;

/// Requests kept; older ones are forgotten.
const REQUESTS_KEPT: usize = 20_000;

/// One request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// HTTP method.
    pub method: String,
    /// Path and query, such as exec's `command=`.
    pub uri: String,
    /// Which program sent it, in its own words.
    pub agent: String,
    /// Who sent it; empty when the token was not accepted.
    pub user: String,
    /// Status code of the answer; 0 while there is none yet.
    pub status: u16,
}

impl LoggedRequest {
    /// What it asked for, in the API server's terms.
    pub fn info(&self) -> RequestInfo {
        let (path, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let method = Method::from_bytes(self.method.as_bytes()).unwrap_or_default();
        RequestInfo::parse(&method, path, query)
    }
}

/// The requests in order of arrival; clones share them.
#[derive(Debug, Clone, Default)]
pub struct RequestLog {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    forgotten: usize,
    kept: VecDeque<LoggedRequest>,
}

impl RequestLog {
    /// All requests kept, oldest first.
    pub fn all(&self) -> Vec<LoggedRequest> {
        self.entries().kept.iter().cloned().collect()
    }

    /// Notes an arrival and returns its number.
    pub(super) fn arrived(&self, method: &str, uri: &str, agent: &str) -> usize {
        let mut entries = self.entries();
        if entries.kept.len() == REQUESTS_KEPT {
            entries.kept.pop_front();
            entries.forgotten += 1;
        }
        entries.kept.push_back(LoggedRequest {
            method: method.to_owned(),
            uri: uri.to_owned(),
            agent: agent.to_owned(),
            user: String::new(),
            status: 0,
        });
        entries.forgotten + entries.kept.len() - 1
    }

    /// Adds what became known of a request.
    pub(super) fn amend(&self, number: usize, change: impl FnOnce(&mut LoggedRequest)) {
        let mut entries = self.entries();
        if let Some(entry) = number
            .checked_sub(entries.forgotten)
            .and_then(|index| entries.kept.get_mut(index))
        {
            change(entry);
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
