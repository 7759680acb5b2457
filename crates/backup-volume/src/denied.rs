//! Files that the pod may not read: who wrote them, and who reads.
//!
//! Clusters give pods users of their own, and on OpenShift another one to a pod of another account or constraint.

use kube_transfer::{PodContainer, RemoteCommand};
use wa_common::cluster::Cluster;
use wa_common::report::{error_text, printable};

/// What the C library says in the locale that every command runs in, and some shells in lower case.
const DENIED: &str = "ermission denied";
/// No user has a longer list of groups that is worth showing.
const SHOWN: usize = 200;

/// Adds to an error of reading `path` whose it is and who reads, where that is what kept it from being read.
pub(crate) async fn explain(
    error: anyhow::Error,
    cluster: &Cluster,
    target: &PodContainer,
    path: &str,
) -> anyhow::Error {
    if !error_text(&error).contains(DENIED) {
        return error;
    }
    let ask = async |command| answer(cluster, target, command).await;
    let of_path = |path: &str| {
        RemoteCommand::new("stat")
            .arg("-c")
            .arg("user %u, group %g, mode %a")
            .arg("--")
            .arg(path)
    };
    // A file in a directory that cannot be entered cannot be looked at either.
    let (at, owner) = match (ask(of_path(path)).await, path.rsplit_once('/')) {
        (None, Some((directory, _))) => (directory, ask(of_path(directory)).await),
        (owner, _) => (path, owner),
    };
    let user = ask(RemoteCommand::new("id").arg("-u")).await;
    let groups = ask(RemoteCommand::new("id").arg("-G")).await;
    let (Some(owner), Some(user)) = (owner, user) else {
        return error;
    };
    let groups = groups.map(|groups| format!(" and groups {groups}"));
    error.context(format!(
        "{at:?} belongs to {owner}, and pod {} reads as user {user}{}; give the file's user or group to the helper pod's account (on OpenShift, by the SCC that the backups' pods have), or the file another mode",
        target.pod,
        groups.unwrap_or_default()
    ))
}

/// What a command prints; nothing where it fails.
async fn answer(
    cluster: &Cluster,
    target: &PodContainer,
    command: RemoteCommand,
) -> Option<String> {
    let captured = cluster.run_idempotent(target, &command).await.ok()?;
    let text = String::from_utf8_lossy(&captured.stdout);
    let text: String = text.trim().chars().take(SHOWN).collect();
    (!text.is_empty()).then(|| printable(&text).into_owned())
}
