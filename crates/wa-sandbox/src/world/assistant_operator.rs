//! The operator of Watson Assistant, as far as a restore meets it: while a pod of it runs, also one that is told to end,
//! it scales the store's Deployments to the counts in the `WatsonAssistantStore`, raises the other Deployments of the
//! instance from 0, and states in the `WatsonAssistant` how far everything is. While none runs, nothing of that happens,
//! and the status stays as it was. It writes a status only when something in it but its time changes, as oper8 does.
//!
//! It serves every instance of the namespace, and leaves one alone whose store carries `oper8.org/pause-execution`.
//!
//! Left out: temporary patches, Deployments that were deleted or edited otherwise, and the status of the other kinds.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use kube_sandbox::meta::{Object, Status, object, resources};
use kube_sandbox::store::Store;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{kinds, manifests::assistant};

const PAUSE: &str = "oper8.org/pause-execution";

/// The running operator; dropping this stops it.
pub(super) struct AssistantOperator {
    _task: JoinSet<()>,
}

/// Where an operator is, what it serves, and how fast.
pub(super) struct Duty {
    /// The namespace of its Deployment.
    pub(super) operators: String,
    /// The namespace of the instances.
    pub(super) operands: String,
    /// From a change until it acts on it.
    pub(super) delay: Duration,
}

impl AssistantOperator {
    pub(super) fn start(store: &Store, duty: Duty) -> Self {
        let mut task = JoinSet::new();
        task.spawn(operate(store.clone(), duty));
        Self { _task: task }
    }
}

async fn operate(store: Store, duty: Duty) {
    let watched = [
        (&resources::PODS, &duty.operators),
        (&resources::DEPLOYMENTS, &duty.operands),
        (&kinds::ASSISTANT_STORES, &duty.operands),
    ];
    let changes = watched.map(|(resource, namespace)| {
        let (store, namespace) = (store.clone(), namespace.clone());
        // A watch that fell behind ends; the next one begins with everything there is.
        stream::repeat_with(move || store.watch(resource, Some(&namespace), None))
            .flatten()
            .boxed()
    });
    let mut changes = stream::select_all(changes);
    let mut due = None;
    loop {
        let wake = async {
            match due {
                Some(time) => tokio::time::sleep_until(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            change = changes.next() => match change {
                Some(_) => due = due.or(Some(Instant::now() + duty.delay)),
                None => return,
            },
            () = wake => {
                due = None;
                if is_up(&store, &duty.operators) {
                    reconcile_all(&store, &duty.operands);
                }
            }
        }
    }
}

/// A process that was told to end may act until it has ended.
fn is_up(store: &Store, operators: &str) -> bool {
    let pods = store.list(&resources::PODS, Some(operators)).items;
    pods.iter().any(|pod| {
        pod["metadata"]["labels"][assistant::OPERATOR_LABEL] == assistant::OPERATOR
            && pod["status"]["phase"] == "Running"
    })
}

fn reconcile_all(store: &Store, operands: &str) {
    for part in store.list(&kinds::ASSISTANT_STORES, Some(operands)).items {
        if part["metadata"]["annotations"][PAUSE] == "true" {
            continue;
        }
        if let Err(error) = reconcile(store, &part) {
            // Whatever was in the way comes with a change of its own.
            tracing::debug!(instance = object::name(&part), %error, "the operator was refused");
        }
    }
}

fn reconcile(store: &Store, part: &Value) -> Result<(), Status> {
    let (namespace, instance) = (object::namespace(part), object::name(part));
    let mut deployments = store.list(&resources::DEPLOYMENTS, Some(namespace)).items;
    deployments.retain(|one| one["metadata"]["labels"]["app.kubernetes.io/instance"] == instance);
    for deployment in &mut deployments {
        *deployment = scale(store, part, deployment)?;
    }
    let ready = deployments.iter().filter(|one| is_ready(one)).count();
    report(store, namespace, instance, ready, deployments.len())
}

fn scale(store: &Store, part: &Value, deployment: &Object) -> Result<Object, Status> {
    let (namespace, name) = (object::namespace(deployment), object::name(deployment));
    let found = &deployment["spec"]["replicas"];
    let wanted = match &part["spec"]["deployments"][name]["replicas"] {
        Value::Null if *found == 0 => json!(1),
        Value::Null => return Ok(deployment.clone()),
        count => count.clone(),
    };
    if *found == wanted {
        return Ok(deployment.clone());
    }
    store.modify(&resources::DEPLOYMENTS, namespace, name, |deployment| {
        deployment["spec"]["replicas"] = wanted;
    })
}

fn is_ready(deployment: &Value) -> bool {
    let wanted = &deployment["spec"]["replicas"];
    let status = &deployment["status"];
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && (*wanted == 0 || status["readyReplicas"] == *wanted)
}

/// States how many of the parts are ready.
fn report(
    store: &Store,
    namespace: &str,
    instance: &str,
    ready: usize,
    all: usize,
) -> Result<(), Status> {
    let done = ready == all;
    let progress = format!("{}%", ready * 100 / all.max(1));
    let current = store.get(&kinds::ASSISTANTS, namespace, instance)?;
    let state = if done { "Completed" } else { "InProgress" };
    if current["status"]["progress"] == progress
        && current["status"]["watsonAssistantStatus"] == state
    {
        return Ok(());
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f");
    let now = now.to_string();
    let condition = |kind: &str, holds: bool, reason: &str| {
        let status = if holds { "True" } else { "False" };
        json!({ "type": kind, "status": status, "reason": reason, "message": "", "lastTransactionTime": now })
    };
    let conditions = if done {
        [
            condition("Ready", true, "Stable"),
            condition("Updating", false, "Stable"),
        ]
    } else {
        [
            condition("Ready", false, "InProgress"),
            condition("Updating", true, "VerifyWait"),
        ]
    };
    let written = store.modify(&kinds::ASSISTANTS, namespace, instance, |assistant| {
        let status = &mut assistant["status"];
        status["progress"] = progress.into();
        status["watsonAssistantStatus"] = state.into();
        status["conditions"] = json!(conditions);
        status["componentStatus"] = json!({
            "deployed": format!("{all}/{all}"), "verified": format!("{ready}/{all}"),
        });
    });
    written.map(drop)
}
