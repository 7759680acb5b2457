//! The garbage collector: what happens to objects whose owner goes away.
//!
//! Left out: owners in other namespaces, and owners that never existed.

use futures::StreamExt;
use futures::stream;
use serde_json::Value;

use super::finalizers;
use crate::meta::{Object, Resource, Status, object};
use crate::store::{DeleteOptions, EventType, Propagation, Store};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Collects until the store is gone.
pub(super) async fn collect(store: Store) {
    let watches = store.kinds().all().map(|resource| {
        let store = store.clone();
        stream::repeat_with(move || store.watch(resource, None, None))
            .flatten()
            .map(move |event| (resource, event))
            .boxed()
    });
    let mut changes = stream::select_all(watches.collect::<Vec<_>>());
    while let Some((resource, event)) = changes.next().await {
        let Ok(event) = event else { continue };
        let done = match event.event {
            EventType::Deleted => owner_gone(&store, &event.object),
            _ if object::is_terminating(&event.object) => {
                owner_waits(&store, resource, &event.object)
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            // Somebody else deleted it first; whatever is left comes with a change of its own.
            tracing::debug!(%error, "the garbage collector was refused");
        }
    }
}

/// Deletes the dependents of an owner that is gone, and lets owners go that waited for this object.
fn owner_gone(store: &Store, owner: &Object) -> Result<(), Status> {
    for (resource, dependent) in dependents(store, object::uid(owner)) {
        if references(&dependent).len() > 1 {
            remove_reference(store, resource, &dependent, object::uid(owner))?;
        } else {
            delete(store, resource, &dependent, Propagation::Background)?;
        }
    }
    for reference in references(owner) {
        let resource = store
            .kinds()
            .find_kind(text(reference, "apiVersion"), text(reference, "kind"));
        let waiting = resource.and_then(|one| {
            let owner = store
                .get(one, object::namespace(owner), text(reference, "name"))
                .ok()?;
            (object::is_terminating(&owner)).then_some((one, owner))
        });
        if let Some((resource, waiting)) = waiting {
            owner_waits(store, resource, &waiting)?;
        }
    }
    Ok(())
}

/// Deletes or orphans the dependents of an owner that a finalizer holds until then.
fn owner_waits(store: &Store, resource: &Resource, owner: &Object) -> Result<(), Status> {
    let finalizers = owner["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten();
    let Some(finalizer) = finalizers
        .filter_map(Value::as_str)
        .find(|one| [FOREGROUND, ORPHAN].contains(one))
    else {
        return Ok(());
    };
    for (resource, dependent) in dependents(store, object::uid(owner)) {
        if finalizer == ORPHAN {
            remove_reference(store, resource, &dependent, object::uid(owner))?;
        } else if !object::is_terminating(&dependent) {
            delete(store, resource, &dependent, Propagation::Foreground)?;
        }
    }
    let blocked = finalizer == FOREGROUND
        && dependents(store, object::uid(owner))
            .iter()
            .flat_map(|(_, dependent)| references(dependent))
            .any(|one| one["uid"] == object::uid(owner) && one["blockOwnerDeletion"] == true);
    if !blocked {
        store.modify(
            resource,
            object::namespace(owner),
            object::name(owner),
            |owner| {
                finalizers::drop(owner, finalizer);
            },
        )?;
    }
    Ok(())
}

fn dependents(store: &Store, owner: &str) -> Vec<(&'static Resource, Object)> {
    store
        .kinds()
        .all()
        .flat_map(|resource| {
            store
                .list(resource, None)
                .items
                .into_iter()
                .map(move |item| (resource, item))
        })
        .filter(|(_, item)| {
            references(item)
                .iter()
                .any(|reference| reference["uid"] == owner)
        })
        .collect()
}

fn references(item: &Value) -> &[Value] {
    item["metadata"]["ownerReferences"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

fn remove_reference(
    store: &Store,
    resource: &Resource,
    dependent: &Value,
    owner: &str,
) -> Result<(), Status> {
    store
        .modify(
            resource,
            object::namespace(dependent),
            object::name(dependent),
            |dependent| {
                let metadata = object::metadata_mut(dependent);
                if let Some(list) = metadata
                    .get_mut("ownerReferences")
                    .and_then(Value::as_array_mut)
                {
                    list.retain(|reference| reference["uid"] != owner);
                    if list.is_empty() {
                        metadata.remove("ownerReferences");
                    }
                }
            },
        )
        .map(drop)
}

fn delete(
    store: &Store,
    resource: &Resource,
    dependent: &Value,
    how: Propagation,
) -> Result<(), Status> {
    let options = DeleteOptions {
        uid: Some(object::uid(dependent).to_owned()),
        propagation: Some(how),
        ..DeleteOptions::default()
    };
    store
        .delete(
            resource,
            object::namespace(dependent),
            object::name(dependent),
            &options,
        )
        .map(drop)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
