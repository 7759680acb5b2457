//! Journaled runs against an API server in this process.

mod ends;
mod foreign;
mod holders;
mod killed;

use std::sync::Mutex;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::{ExitHooks, Holder, swap};
use super::*;
use crate::cluster::fake_api::FakeApi;
use crate::report::EventLog;
use crate::report::{Event, Exit, HasExit as _};

const INSTANCE: &str = "wa";
const JOURNAL: &str = "wa-test-wa";
const OPERATOR_LOCK: &str = "kubectl-wa-operator";
const FINISHED: [&str; 0] = [];

/// Scales things, which are ConfigMaps, and makes one.
struct Scaling;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Step {
    Scale { name: String, from: u32 },
    Make { name: String },
}

impl Procedure for Scaling {
    const PLUGIN: &'static str = "wa-test";
    const FORMAT_VERSION: u32 = 3;
    type Plan = String;
    type Step = Step;
    type Outcome = String;

    fn validate(plan: &String, _: &[StepRecord<Self>]) -> Result<(), String> {
        if plan.contains("forged") {
            return Err("the plan is forged".to_owned());
        }
        Ok(())
    }

    fn describe(step: &Step) -> String {
        match step {
            Step::Scale { name, .. } => format!("scale {name}"),
            Step::Make { name } => format!("make {name}"),
        }
    }

    async fn undo(undo: UndoStep<'_, Self>) -> anyhow::Result<()> {
        let cluster = undo.undoing.cluster;
        match undo.step {
            Step::Scale { name, from } => {
                ensure!(!name.ends_with("stubborn"), "it does not want to");
                ensure!(undo.undoing.remaining() <= Duration::from_secs(7));
                undo.undoing.reporter.report(&Event::Step {
                    step: "scaled",
                    detail: format!("{name} to {from}"),
                });
                scale(cluster, name, *from).await
            }
            Step::Make { name } => {
                let limit = undo.undoing.remaining();
                Ok(undo.undoing.delete::<ConfigMap>(name, limit).await?)
            }
        }
    }

    fn undo_limit(_: &Step) -> Duration {
        Duration::from_secs(7)
    }

    fn may_stay(step: &Step) -> bool {
        matches!(step, Step::Scale { name, .. } if name == "may-stay-stubborn")
    }

    fn manual_commands(_: &String, step: &Step, namespace: &str, run: &str) -> String {
        format!("kubectl {} -n {namespace} # {run}", Self::describe(step))
    }

    fn when_stopped(steps: &[StepRecord<Self>]) -> WhenStopped {
        let made =
            |one: &StepRecord<Self>| matches!(one.step, Step::Make { .. }) && one.state.stands();
        if steps.iter().any(made) {
            WhenStopped::KeepAll
        } else {
            WhenStopped::UndoAll
        }
    }

    fn advice(plan: &String, namespace: &str) -> String {
        format!("go on with `kubectl wa-test resume {plan} -n {namespace}`")
    }
}

fn steps() -> Vec<Step> {
    let scale = |name: &str, from| Step::Scale {
        name: name.to_owned(),
        from,
    };
    vec![
        scale("operator", 2),
        scale("store", 3),
        Step::Make {
            name: "staged".to_owned(),
        },
    ]
}

async fn scale(cluster: &Cluster, name: &str, replicas: u32) -> anyhow::Result<()> {
    let mut found: ConfigMap = cluster.find(name).await?.context("it is gone")?;
    found.data = Some([("replicas".to_owned(), replicas.to_string())].into());
    swap::replace(cluster, &found)
        .await?
        .context("a conflict")?;
    Ok(())
}

async fn make(permit: Permit, cluster: Cluster, step: Step) -> anyhow::Result<String> {
    match step {
        Step::Scale { name, .. } => scale(&cluster, &name, 0).await?,
        Step::Make { name } => {
            let metadata = ObjectMeta {
                name: Some(name),
                ..ObjectMeta::default()
            };
            let object = ConfigMap {
                metadata,
                ..ConfigMap::default()
            };
            permit.create(&cluster, object).await?;
        }
    }
    Ok("as it should be".to_owned())
}

/// A process, as far as a run sees it: who it is, and what happens at its end.
struct Process {
    cluster: Cluster,
    holder: Holder,
    exit_hooks: ExitHooks,
    log: Arc<EventLog>,
    reporter: Arc<dyn Reporter>,
    /// The steps that it made.
    made: Mutex<Vec<String>>,
}

impl Process {
    fn new(api: &FakeApi, holder: Holder) -> Self {
        let log = Arc::<EventLog>::default();
        Self {
            cluster: api.cluster(),
            holder,
            exit_hooks: ExitHooks::default(),
            reporter: Arc::clone(&log) as Arc<dyn Reporter>,
            log,
            made: Mutex::default(),
        }
    }

    fn here(api: &FakeApi) -> Self {
        Self::new(api, Holder::this_process())
    }

    fn elsewhere(api: &FakeApi) -> Self {
        Self::new(api, Holder::elsewhere())
    }

    fn context(&self) -> RunContext<'_> {
        RunContext {
            exit_hooks: &self.exit_hooks,
            reporter: &self.reporter,
            cluster: &self.cluster,
        }
    }

    fn new_run(&self, steps: Vec<Step>) -> NewRun<Scaling> {
        NewRun {
            instance: INSTANCE.to_owned(),
            command: "kubectl wa-test run".to_owned(),
            locks: vec![LockName::for_deployment(&self.cluster, "operator")],
            plan: "plan".to_owned(),
            steps,
        }
    }

    async fn begin_with(&self, steps: Vec<Step>) -> Result<JournaledRun<Scaling>, JournalError> {
        let new = self.new_run(steps);
        JournaledRun::begin_as(self.holder.clone(), self.context(), new).await
    }

    async fn begin(&self) -> Result<JournaledRun<Scaling>, JournalError> {
        self.begin_with(steps()).await
    }

    async fn find(&self) -> Option<FoundRun<Scaling>> {
        JournaledRun::find(&self.cluster, INSTANCE).await.unwrap()
    }

    async fn resume(&self) -> Result<JournaledRun<Scaling>, JournalError> {
        let command = "kubectl wa-test resume".to_owned();
        let found = self.find().await.unwrap();
        found
            .resume_as(self.holder.clone(), self.context(), command)
            .await
    }

    /// Makes the first step that is not done; says whether there was one.
    async fn make_next(&self, run: &mut JournaledRun<Scaling>) -> Result<bool, JournalError> {
        let Next::Step(step) = run.next_step() else {
            return Ok(false);
        };
        let started = step.start().await?;
        let (cluster, step) = (self.cluster.clone(), started.step().clone());
        self.made.lock().unwrap().push(Scaling::describe(&step));
        let outcome = started
            .change(|permit| make(permit, cluster, step))
            .await?
            .unwrap();
        started.done(outcome).await?;
        Ok(true)
    }

    async fn make_all(&self, run: &mut JournaledRun<Scaling>) -> Result<(), JournalError> {
        while self.make_next(run).await? {}
        Ok(())
    }
}

/// Commits a run of which every step is done.
async fn commit(run: &mut JournaledRun<Scaling>) -> Result<(), JournalError> {
    match run.next_step() {
        Next::Complete(complete) => complete.commit().await,
        Next::Step(step) => panic!("{:?} is not done", step.step()),
    }
}

/// An API server with what is to be scaled.
fn world() -> FakeApi {
    let api = FakeApi::default();
    for (name, replicas) in [("operator", "2"), ("store", "3")] {
        put_replicas(&api, name, replicas);
    }
    api
}

fn put_replicas(api: &FakeApi, name: &str, replicas: &str) {
    let object = json!({"metadata": {"name": name}, "data": {"replicas": replicas}});
    api.put("configmaps", object);
}

fn replicas(api: &FakeApi, name: &str) -> String {
    let object = api.state().objects[&format!("configmaps/{name}")].clone();
    object["data"]["replicas"].as_str().unwrap().to_owned()
}

fn journal(api: &FakeApi) -> Value {
    api.state().objects[&format!("configmaps/{JOURNAL}")].clone()
}

/// Stores a change of the journal that is not the run's own.
fn change_journal(api: &FakeApi, change: impl FnOnce(&mut Value)) {
    let mut object = journal(api);
    change(&mut object);
    api.put("configmaps", object);
}

fn states(api: &FakeApi) -> Vec<String> {
    let steps: Value =
        serde_json::from_str(journal(api)["data"]["steps"].as_str().unwrap()).unwrap();
    let states = steps.as_array().unwrap().iter();
    states
        .map(|step| step["state"].as_str().unwrap().to_owned())
        .collect()
}

/// Everything is as after all steps, and nobody holds anything.
fn assert_done(api: &FakeApi, when: &str) {
    let found = ["operator", "store"].map(|name| replicas(api, name));
    assert_eq!(found, ["0", "0"], "{when}");
    assert!(
        api.names("configmaps").contains(&"staged".to_owned()),
        "{when}"
    );
    assert_eq!(journal(api)["data"]["state"], "done", "{when}");
    assert_eq!(api.names("leases"), FINISHED, "{when}");
}

/// Everything is as before the run, and nobody holds anything.
fn assert_undone(api: &FakeApi, when: &str) {
    let found = ["operator", "store"].map(|name| replicas(api, name));
    assert_eq!(found, ["2", "3"], "{when}");
    assert!(
        !api.names("configmaps").contains(&"staged".to_owned()),
        "{when}"
    );
    assert_eq!(journal(api)["data"]["state"], "undone", "{when}");
    assert_eq!(api.names("leases"), FINISHED, "{when}");
}

/// So much later, by the API server's clock, that a process elsewhere that showed no sign of life is dead.
fn later(api: &FakeApi) {
    api.state().ahead += SignedDuration::from_mins(2);
}
