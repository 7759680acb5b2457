//! Waiting for pods, and running commands in them.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use kube_sandbox::meta::{Object, Resource, object, resources};
use kube_sandbox::node::{ExecRequest, Node, Target};
use kube_sandbox::store::Store;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::WorldError;

/// How long anything may take to get ready, on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_mins(1);
/// What is kept of a failed command's standard error.
const STDERR_BYTES: u64 = 4096;

/// Waits until the object is as wanted.
pub(super) async fn until(
    store: &Store,
    resource: &'static Resource,
    namespace: &str,
    name: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Object, WorldError> {
    let mut last = Value::Null;
    let waiting = async {
        let mut changes = store.watch(resource, Some(namespace), None).boxed();
        while let Some(change) = changes.next().await {
            let Ok(change) = change else { continue };
            if object::name(&change.object) != name {
                continue;
            }
            if wanted(&change.object) {
                return Some(change.object);
            }
            last = change.object["status"].clone();
        }
        None
    };
    let found = tokio::time::timeout(DEADLINE, waiting).await.ok().flatten();
    found.ok_or_else(|| WorldError::NotReady {
        kind: resource.kind,
        name: name.to_owned(),
        seconds: DEADLINE.as_secs(),
        last: last.to_string(),
    })
}

/// Waits until a pod is ready.
pub(super) async fn ready(store: &Store, namespace: &str, name: &str) -> Result<(), WorldError> {
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    until(store, &resources::PODS, namespace, name, is_ready)
        .await
        .map(drop)
}

/// A container to run commands in.
pub(super) struct Shell<'a> {
    pub(super) node: &'a Node,
    pub(super) target: Target,
}

impl Shell<'_> {
    /// Runs a program with that standard input; its exit code must be 0.
    pub(super) async fn run(
        &self,
        argv: &[&str],
        stdin: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), WorldError> {
        let program = || argv.first().copied().unwrap_or_default().to_owned();
        let request = ExecRequest {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            stdin: true,
            stdout: false,
            stderr: true,
            tty: false,
        };
        let failed = |source| WorldError::Exec {
            program: program(),
            pod: self.target.pod.clone(),
            source,
        };
        let mut process = self
            .node
            .exec(&self.target, &request)
            .await
            .map_err(failed)?;
        let (input, errors) = (process.stdin.take(), process.stderr.take());
        let write = async {
            let Some(mut input) = input else {
                return Ok(());
            };
            for piece in stdin {
                input.write_all(&piece).await?;
            }
            input.shutdown().await
        };
        let read = async {
            let mut text = Vec::new();
            if let Some(mut errors) = errors {
                (&mut errors)
                    .take(STDERR_BYTES)
                    .read_to_end(&mut text)
                    .await?;
                tokio::io::copy(&mut errors, &mut tokio::io::sink()).await?;
            }
            io::Result::Ok(text)
        };
        let (written, text) = tokio::join!(write, read);
        let pipe = |source| WorldError::Io {
            what: "talk to a process in a pod",
            source,
        };
        let code = process.wait().await.map_err(pipe)?;
        if code != 0 {
            let stderr = String::from_utf8_lossy(&text.unwrap_or_default())
                .trim_end()
                .to_owned();
            return Err(WorldError::Command {
                program: program(),
                pod: self.target.pod.clone(),
                code,
                stderr,
            });
        }
        written.map_err(pipe)
    }
}
