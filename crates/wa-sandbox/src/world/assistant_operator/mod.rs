//! The operator of Watson Assistant, as far as restoring and retraining meet it: while a pod of it runs, also one that is
//! told to end,
//!
//! - it scales the store's Deployments to the counts in the `WatsonAssistantStore`, raises the other Deployments of the
//!   instance from 0 ([`scaling`]), and states in the `WatsonAssistant` how far everything is ([`status`]), shortly after
//!   anything changes;
//! - it puts the key of each `TemporaryPatch` into the annotations of the custom resource that the patch is for, and takes
//!   it away, and nothing else, when the patch is deleted ([`patches`]), shortly after the patch changes;
//! - it renders the Deployments anew with the patches that are active ([`active`]) once a period, and when it starts. So
//!   a key is not the effect, and a change of a patch is not seen before;
//! - where it is asked to, it sets the backup CronJobs back to its own settings with every period.
//!
//! A custom resource with the key of a patch that is not there, or an entry that cannot be read, is not reconciled at all,
//! and says so in its conditions. Replicas are set only where a patch says them: when it is gone they stay.
//!
//! While no pod runs, nothing of that happens: a status stays as it was, and a patch that is deleted waits for its
//! finalizer. A status is written only when something in it but its time changes, as oper8 does. It serves every instance
//! of the namespace, and leaves alone a custom resource that carries `oper8.org/pause-execution`.
//!
//! The life of a patch is that of oper8, IBM's open library that the operator is built on. What the operator itself does is
//! not public: that it keeps replicas, which kinds may be patched, which of two annotations it reads (here, both: a key
//! that is forgotten in one shows), and whether a Deployment that changes has it look before the period is over. A real
//! period is ten minutes; IBM speaks of 15 to 20 minutes until a patch takes effect.
//!
//! Left out: Deployments that were deleted, and the progress of the parts.

mod active;
mod patches;
mod scaling;
mod status;

use std::collections::{HashMap, HashSet};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube_sandbox::meta::{Object, Resource, object, resources};
use kube_sandbox::store::Store;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use active::Annotations;
use active::Failure;
use patches::Handler;

use super::rendering::{self, Rendered, Rendering};
use super::{OperatorPace, kinds, manifests::assistant};

const PAUSE: &str = "oper8.org/pause-execution";

/// The kinds that it reconciles, which are those that may be patched.
const PARTS: [&Resource; 5] = [
    &kinds::ASSISTANTS,
    &kinds::ASSISTANT_STORES,
    &kinds::ASSISTANT_CLUS,
    &kinds::ASSISTANT_CLU_RUNTIMES,
    &kinds::ASSISTANT_CLU_TRAININGS,
];

/// The running operator; dropping this stops it.
pub(super) struct AssistantOperator {
    pace: watch::Sender<OperatorPace>,
    _task: JoinSet<()>,
}

/// Where an operator is, and what it serves.
pub(super) struct Duty {
    /// The namespace of its Deployment.
    pub(super) operators: String,
    /// The namespace of the instances.
    pub(super) operands: String,
    /// What it renders.
    pub(super) renderings: Vec<Rendering>,
    /// Where its release keeps what patches are active.
    pub(super) annotations: Annotations,
    /// The CronJobs that it sets back when somebody has changed them.
    pub(super) cron_jobs: Vec<Value>,
}

impl AssistantOperator {
    pub(super) fn start(store: &Store, duty: Duty, pace: OperatorPace) -> Self {
        let (sender, receiver) = watch::channel(pace);
        let mut task = JoinSet::new();
        task.spawn(Operator::new(store.clone(), duty, receiver).run());
        Self {
            pace: sender,
            _task: task,
        }
    }

    /// Makes it faster or slower from now on.
    pub(super) fn set_pace(&self, pace: OperatorPace) {
        self.pace.send_replace(pace);
    }
}

struct Operator {
    store: Store,
    duty: Duty,
    pace: watch::Receiver<OperatorPace>,
    /// Whether it was up when it last looked.
    up: bool,
    /// The period that runs began then.
    period_began: Instant,
    /// What it last wanted of each Deployment, by its name.
    applied: HashMap<String, Rendered>,
    /// The generation of each patch, by its uid, that it has acted on.
    seen: HashMap<String, Value>,
    /// The patches, by their uids, that it acts on at the moment.
    handled: HashSet<String>,
    handlers: JoinSet<String>,
}

impl Operator {
    fn new(store: Store, duty: Duty, pace: watch::Receiver<OperatorPace>) -> Self {
        // The Deployments were created with the patches that are active.
        let applied = duty.renderings.iter().filter_map(|rendering| {
            let part = store
                .get(rendering.part, &duty.operands, &rendering.instance)
                .ok()?;
            let patches = duty.annotations.patches(&store, &part).ok()?;
            let rendered = rendering.patched(&patches).ok()?;
            Some((rendering.name().to_owned(), rendered))
        });
        Self {
            applied: applied.collect(),
            store,
            pace,
            up: false,
            period_began: Instant::now(),
            seen: HashMap::new(),
            handled: HashSet::new(),
            handlers: JoinSet::new(),
            duty,
        }
    }

    async fn run(mut self) {
        let mut changes = self.changes();
        let mut due = None;
        loop {
            let pace = *self.pace.borrow_and_update();
            let look_at = due.map(|changed: Instant| changed + pace.delay);
            tokio::select! {
                change = changes.next() => match change {
                    Some(()) => due = due.or(Some(Instant::now())),
                    None => return,
                },
                Some(done) = self.handlers.join_next() => {
                    if let Ok(uid) = done {
                        self.handled.remove(&uid);
                    }
                    // The patch may have changed meanwhile.
                    due = due.or(Some(Instant::now()));
                },
                paced = self.pace.changed() => if paced.is_err() {
                    return;
                },
                () = sleep_until(look_at) => {
                    due = None;
                    self.look();
                }
                () = tokio::time::sleep_until(self.period_began + pace.period) => {
                    self.begin_period();
                    self.look();
                }
            }
        }
    }

    fn changes(&self) -> BoxStream<'static, ()> {
        let Duty {
            operators,
            operands,
            ..
        } = &self.duty;
        let watched = [
            (&resources::PODS, operators),
            (&resources::DEPLOYMENTS, operands),
            (&kinds::ASSISTANT_STORES, operands),
            (&kinds::TEMPORARY_PATCHES, operands),
        ];
        let changes = watched.map(|(resource, namespace)| {
            let (store, namespace) = (self.store.clone(), namespace.clone());
            // A watch that fell behind ends; the next one begins with everything there is.
            stream::repeat_with(move || store.watch(resource, Some(&namespace), None))
                .flatten()
                .map(drop)
                .boxed()
        });
        stream::select_all(changes).boxed()
    }

    /// Acts on what has changed.
    fn look(&mut self) {
        let was_up = std::mem::replace(&mut self.up, is_up(&self.store, &self.duty.operators));
        if !self.up {
            return;
        }
        if !was_up {
            self.begin_period();
        }
        self.reconcile_all();
        self.handle_patches();
    }

    /// Renders everything anew, and has every patch looked at again.
    fn begin_period(&mut self) {
        self.period_began = Instant::now();
        self.seen.clear();
        if !is_up(&self.store, &self.duty.operators) {
            return;
        }
        self.revert_cron_jobs();
        for (kind, part) in self.parts() {
            let Some(patches) = self.active_patches(kind, &part) else {
                continue;
            };
            let stated = match self.render(kind, &part, &patches) {
                Ok(()) => status::recover(&self.store, kind, &part),
                Err(failure) => status::fail(&self.store, kind, &part, &failure),
            };
            note(&part, stated);
        }
    }

    fn revert_cron_jobs(&self) {
        for cron_job in &self.duty.cron_jobs {
            let (namespace, name) = (object::namespace(cron_job), object::name(cron_job));
            let kind = &resources::CRON_JOBS;
            let written = self.store.modify(kind, namespace, name, |found| {
                found["spec"] = cron_job["spec"].clone();
            });
            note(cron_job, written);
        }
    }

    /// The custom resources that are to be reconciled.
    fn parts(&self) -> Vec<(&'static Resource, Object)> {
        let of_kind = |kind: &'static Resource| {
            let parts = self.store.list(kind, Some(&self.duty.operands)).items;
            let active = parts
                .into_iter()
                .filter(|part| part["metadata"]["annotations"][PAUSE] != "true");
            active.map(move |part| (kind, part))
        };
        PARTS.into_iter().flat_map(of_kind).collect()
    }

    /// The patches to apply to a part; `None`, which the part states, where they cannot be known.
    fn active_patches(&self, kind: &'static Resource, part: &Object) -> Option<Vec<Object>> {
        let found = self.duty.annotations.patches(&self.store, part);
        if let Err(failure) = &found {
            note(part, status::fail(&self.store, kind, part, failure));
        }
        found.ok()
    }

    /// Brings the Deployments of a part to what its patches make of them.
    fn render(
        &mut self,
        kind: &'static Resource,
        part: &Object,
        patches: &[Object],
    ) -> Result<(), Failure> {
        let own = |rendering: &&Rendering| {
            rendering.part.kind == kind.kind && rendering.instance == object::name(part)
        };
        for rendering in self.duty.renderings.iter().filter(own) {
            let rendered = rendering.patched(patches).map_err(|message| Failure {
                reason: "Errored",
                message,
            })?;
            let name = rendering.name().to_owned();
            let last = self.applied.get(&name).map(|last| &last.manifest);
            let written = self.store.modify(
                &resources::DEPLOYMENTS,
                &self.duty.operands,
                &name,
                |deployment| {
                    rendering::apply(deployment, last.unwrap_or(&Value::Null), &rendered.manifest);
                    if let Some(replicas) = rendered.replicas {
                        deployment["spec"]["replicas"] = json!(replicas);
                    }
                },
            );
            note(part, written);
            self.applied.insert(name, rendered);
        }
        Ok(())
    }

    /// Keeps replicas and status as they are to be.
    fn reconcile_all(&self) {
        let parts = self.parts();
        let mut sound = parts.clone();
        sound.retain(|(kind, part)| self.active_patches(kind, part).is_some());
        for rendering in &self.duty.renderings {
            let is_own = |(kind, part): &&(&'static Resource, Object)| {
                kind.kind == rendering.part.kind && object::name(part) == rendering.instance
            };
            if let Some((_, part)) = sound.iter().find(is_own) {
                let patched = self.applied.get(rendering.name());
                let patched = patched.is_some_and(|rendered| rendered.replicas.is_some());
                note(
                    part,
                    scaling::scale(&self.store, part, rendering.name(), patched),
                );
            }
        }
        for (_, whole) in parts
            .iter()
            .filter(|(kind, _)| kind.kind == kinds::ASSISTANTS.kind)
        {
            note(whole, scaling::report(&self.store, whole));
        }
    }

    /// Has every patch handled that is new to it, or has changed.
    fn handle_patches(&mut self) {
        let patches = self
            .store
            .list(&kinds::TEMPORARY_PATCHES, Some(&self.duty.operands));
        for patch in patches.items {
            let uid = object::uid(&patch).to_owned();
            let generation = &patch["metadata"]["generation"];
            if self.seen.get(&uid) == Some(generation) || !self.handled.insert(uid.clone()) {
                continue;
            }
            self.seen.insert(uid.clone(), generation.clone());
            let handler = Handler {
                store: self.store.clone(),
                operators: self.duty.operators.clone(),
                annotations: self.duty.annotations,
                write_delay: self.pace.borrow().write_delay,
            };
            self.handlers.spawn(async move {
                handler.handle(patch).await;
                uid
            });
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

/// Whatever was in the way comes with a change of its own, or is there no more when the next period begins.
fn note<T>(part: &Value, done: Result<T, kube_sandbox::meta::Status>) {
    if let Err(error) = done {
        tracing::debug!(instance = object::name(part), %error, "the operator was refused");
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
