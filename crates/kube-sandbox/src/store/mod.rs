//! Every object of the cluster, of whatever kind, with the rules a real API server keeps over its database: one
//! counter of revisions, optimistic concurrency, watches that miss nothing, deletion in two steps.
//!
//! Left out: persistence (the cluster ends with the process) and compaction by time (the history is bounded by count).

mod deletion;
mod history;
mod strategy;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt;
use serde_json::Value;

pub use deletion::{DeleteOptions, Deletion, Propagation};
use history::History;
pub use history::{EventType, WatchEvent};
pub(crate) use write::Part;

use crate::meta::{Kinds, Object, Resource, Status, object, resources};

/// The cluster's objects; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Store {
    state: Arc<Mutex<State>>,
    history: Arc<History>,
    kinds: Kinds,
}

/// Objects of one kind at one moment.
#[derive(Debug, Clone)]
pub struct List {
    /// The store's revision at that moment; a watch from here misses nothing.
    pub revision: u64,
    /// Ordered by namespace and name.
    pub items: Vec<Object>,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    objects: HashMap<ResourceKey, BTreeMap<ObjectKey, Object>>,
}

type ResourceKey = (&'static str, &'static str);
/// Namespace and name.
type ObjectKey = (String, String);

impl Store {
    /// An empty cluster that knows the kinds every cluster has.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty cluster that knows these kinds.
    pub fn with_kinds(kinds: Kinds) -> Self {
        Self {
            kinds,
            ..Self::default()
        }
    }

    /// The kinds that the cluster knows.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// One object; 404 when there is none. `namespace` is ignored for cluster-scoped kinds.
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<Object, Status> {
        self.lock().get(resource, namespace, name).cloned()
    }

    /// All objects of a kind, or those of one namespace.
    pub fn list(&self, resource: &Resource, namespace: Option<&str>) -> List {
        let state = self.lock();
        let items = state
            .objects
            .get(&key(resource))
            .into_iter()
            .flatten()
            .filter(|((in_namespace, _), _)| namespace.is_none_or(|wanted| wanted == in_namespace))
            .map(|(_, object)| Arc::clone(object))
            .collect();
        List {
            revision: state.revision,
            items,
        }
    }

    /// Whether a kind is served: custom ones are while their definition exists.
    pub fn serves(&self, resource: &Resource) -> bool {
        !resource.custom
            || self
                .get(&resources::DEFINITIONS, "", &resource.qualified())
                .is_ok()
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Result<&Object, Status> {
        let namespace = if resource.namespaced { namespace } else { "" };
        self.objects
            .get(&key(resource))
            .and_then(|objects| objects.get(&(namespace.to_owned(), name.to_owned())))
            .ok_or_else(|| Status::not_found(resource, name))
    }

    /// Names of a kind's objects in a namespace.
    fn names(&self, resource: &Resource, namespace: &str) -> Vec<String> {
        let objects = self.objects.get(&key(resource)).into_iter().flatten();
        objects
            .filter(|((place, _), _)| place == namespace)
            .map(|((_, name), _)| name.clone())
            .collect()
    }

    fn put(&mut self, resource: &Resource, mut object: Value) -> Object {
        self.revision += 1;
        object::metadata_mut(&mut object)
            .insert("resourceVersion".into(), self.revision.to_string().into());
        let at = (
            object::namespace(&object).to_owned(),
            object::name(&object).to_owned(),
        );
        let object = Arc::new(object);
        self.objects
            .entry(key(resource))
            .or_default()
            .insert(at, Arc::clone(&object));
        object
    }

    /// Takes the object out and returns its last state, which has a revision of its own.
    fn take(&mut self, resource: &Resource, object: &Value) -> Object {
        self.revision += 1;
        let at = (
            object::namespace(object).to_owned(),
            object::name(object).to_owned(),
        );
        self.objects.entry(key(resource)).or_default().remove(&at);
        let mut last = object.clone();
        object::metadata_mut(&mut last)
            .insert("resourceVersion".into(), self.revision.to_string().into());
        Arc::new(last)
    }
}

fn key(resource: &Resource) -> ResourceKey {
    (resource.group, resource.plural)
}

/// Five characters as real generated names have: no vowels and nothing that looks like another character.
fn random_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    (0..5)
        .map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())]))
        .collect()
}
