//! Values that only the cluster or this machine tells, by the name that the help of every plugin gives them.
//!
//! What one plugin alone has values of, it tells itself: [`Plugin::values`].

use std::path::Path;

use backup_set::{
    CatalogEntry, DEFAULT_DIRECTORY, DirectoryStore, Purpose, SetState, catalog, resolve_backup,
};
use futures::future::join;
use jiff::Timestamp;

use super::super::{Asked, Candidate, Plugin};
use crate::assistant::Instance;
use crate::cluster::KubeconfigNames;
use crate::report::{age, bytes};

/// The values that the help calls `name`. What cannot be found out is left out.
pub(super) fn named<P: Plugin>(name: &str, asked: &Asked) -> Vec<Candidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    runtime.block_on(async {
        let mut found = P::values(name, asked).await.unwrap_or_default();
        found.extend(common(name, asked).await.unwrap_or_default());
        found
    })
}

async fn common(name: &str, asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
    Ok(match name {
        "NAMESPACE" => namespaces(asked).await?,
        "INSTANCE" => instances(asked).await?,
        "CONTEXT" => contexts(kubeconfig(asked)?),
        "CLUSTER" => plain(kubeconfig(asked)?.clusters),
        "USER" => plain(kubeconfig(asked)?.users),
        "BACKUP" | "OLD" | "NEW" => backups(asked.current()),
        // `rollback` takes the set that it goes back to; no word stands for that.
        "SET" => sets(directory_in(asked.current())),
        "FORMAT" => formats(),
        _ => Vec::new(),
    })
}

fn plain(values: Vec<String>) -> Vec<Candidate> {
    values.into_iter().map(Candidate::new).collect()
}

fn kubeconfig(asked: &Asked) -> anyhow::Result<KubeconfigNames> {
    let path = asked.connection().kubeconfig;
    Ok(KubeconfigNames::read(path.as_deref())?)
}

fn contexts(names: KubeconfigNames) -> Vec<Candidate> {
    let contexts = names.contexts.into_iter();
    contexts
        .map(|context| {
            let help = match &*context.namespace {
                "" => format!("cluster {}", context.cluster),
                namespace => format!("cluster {}, namespace {namespace}", context.cluster),
            };
            Candidate::new(context.name).help(help)
        })
        .collect()
}

/// Those with an instance first.
async fn namespaces(asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
    let cluster = asked.connect()?;
    let (instances, namespaces) = join(Instance::everywhere(&cluster), cluster.namespaces()).await;
    let instances = instances.ok().flatten().unwrap_or_default();
    let mut found: Vec<Candidate> = Vec::new();
    for instance in &instances {
        if found.iter().all(|one| one.value() != instance.namespace) {
            let help = with_release(&format!("instance {}", instance.name), instance);
            found.push(Candidate::new(&instance.namespace).help(help));
        }
    }
    let others = namespaces.unwrap_or_else(|_| namespaces_of_contexts(asked));
    for namespace in others {
        if found.iter().all(|one| one.value() != namespace) {
            found.push(Candidate::new(namespace));
        }
    }
    Ok(found)
}

/// For a user who may list none.
fn namespaces_of_contexts(asked: &Asked) -> Vec<String> {
    let contexts = kubeconfig(asked).map(|names| names.contexts);
    let namespaces = contexts.unwrap_or_default().into_iter();
    namespaces.map(|context| context.namespace).collect()
}

async fn instances(asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
    let instances = Instance::all_in_namespace(&asked.connect()?).await?;
    let candidate = |one: &Instance| {
        let help = with_release("", one);
        Candidate::new(&one.name).help(help.trim_start_matches(", "))
    };
    Ok(instances.iter().map(candidate).collect())
}

fn with_release(what: &str, instance: &Instance) -> String {
    match &instance.release {
        Some(release) => format!("{what}, release {release}"),
        None => what.to_owned(),
    }
}

/// The words that stand for a set that is there, and the sets themselves.
fn backups(typed: &str) -> Vec<Candidate> {
    let directory = directory_in(typed);
    let mut found = latest(directory);
    found.extend(sets(directory));
    found
}

fn directory_in(typed: &str) -> Option<&str> {
    typed.rsplit_once('/').map(|(directory, _)| directory)
}

fn latest(directory: Option<&str>) -> Vec<Candidate> {
    let prefix = directory.map_or(String::new(), |directory| format!("{directory}/"));
    let words = ["latest", "latest~1"].into_iter();
    words
        .filter_map(|word| {
            let word = format!("{prefix}{word}");
            let set = resolve_backup(Path::new(&word)).ok()?;
            let name = set.file_name()?.to_string_lossy().into_owned();
            Some(Candidate::new(word).help(name))
        })
        .collect()
}

/// The sets in a directory, or in the usual one, newest first.
fn sets(directory: Option<&str>) -> Vec<Candidate> {
    let directory = format!("{}/", directory.unwrap_or(DEFAULT_DIRECTORY));
    let found = catalog(&DirectoryStore::new(&directory)).unwrap_or_default();
    let now = Timestamp::now();
    found
        .iter()
        .filter_map(|entry| {
            let name = Path::new(&entry.path).file_name()?.to_str()?;
            Some(Candidate::new(format!("{directory}{name}")).help(about(entry, now)))
        })
        .collect()
}

fn about(entry: &CatalogEntry, now: Timestamp) -> String {
    let state = match &entry.state {
        SetState::Complete(manifest) if manifest.purpose != Purpose::Backup => "safety backup",
        SetState::Complete(_) => "complete",
        SetState::NotJudged { .. } => "cannot be judged",
        SetState::Incomplete => "incomplete",
        SetState::Corrupt { .. } => "corrupt",
    };
    let size = bytes(entry.bytes);
    match entry.time {
        Some(time) => format!("{} old, {size}, {state}", age(time, now)),
        None => format!("{size}, {state}"),
    }
}

fn formats() -> Vec<Candidate> {
    [
        ("human", "lines and tables for a person"),
        ("wide", "the same with more columns"),
        ("json", "one JSON document"),
        ("yaml", "one YAML document"),
        ("name", "only names, one a line"),
        ("csv", "the rows of a table, of `inspect --rows`"),
        ("jsonpath=", "kubectl's template over the JSON document"),
    ]
    .into_iter()
    .map(|(format, help)| Candidate::new(format).help(help))
    .collect()
}
