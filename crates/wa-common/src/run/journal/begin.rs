//! Beginning a run, and going on with one, in such a way that an interruption leaves nothing that is not known.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::super::change::Mark;
use super::super::clock::ServerClock;
use super::super::undoing::Waiting;
use super::super::{ExitHook, ExitHooks, Holder, LeftBehind, RunError, new_run_id};
use super::content::{Content, Holding, LockPlace, RunProgress};
use super::found::unfinished;
use super::lock::{Claim, Lock, LockData};
use super::stored::StoredJournal;
use super::{FoundRun, JournalError, JournaledRun, LockName, Procedure, Shared, StepRecord};
use crate::cluster::Cluster;
use crate::report::Reporter;

/// How often the journal is read anew for one that writes into it while it is taken over.
const ADOPTIONS: u32 = 5;

/// What a run works with.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// What ends the run when the command ends.
    pub exit_hooks: &'a ExitHooks,
    /// Where the steps are reported.
    pub reporter: &'a Arc<dyn Reporter>,
    /// Where; the journal is in its namespace.
    pub cluster: &'a Cluster,
}

/// A run that is to begin.
pub struct NewRun<P: Procedure> {
    /// The instance that it is about.
    pub instance: String,
    /// What the user typed, without secrets, for others who find the run.
    pub command: String,
    /// Locks beside the one of the instance.
    pub locks: Vec<LockName>,
    /// What holds for all steps.
    pub plan: P::Plan,
    /// The steps, in their order.
    pub steps: Vec<P::Step>,
}

impl<P: Procedure> JournaledRun<P> {
    /// Begins a run: takes the locks, and writes the plan into the journal. Refused where a run on the instance is not
    /// over, and where somebody holds a lock.
    pub async fn begin(context: RunContext<'_>, new: NewRun<P>) -> Result<Self, JournalError> {
        Self::begin_as(Holder::this_process(), context, new).await
    }

    pub(super) async fn begin_as(
        holder: Holder,
        context: RunContext<'_>,
        new: NewRun<P>,
    ) -> Result<Self, JournalError> {
        let site = Site::from_context(context, holder, Self::journal_name(&new.instance));
        Self::hold(context, async move { site.begin(new).await }).await
    }

    /// The name of the journal and of the lock of `instance`.
    pub(super) fn journal_name(instance: &str) -> String {
        format!("{}-{instance}", P::PLUGIN)
    }

    /// Has a task of its own do `work`, so that an interrupted command can wait for what comes of it, and end that.
    async fn hold(
        context: RunContext<'_>,
        work: impl Future<Output = Result<Arc<Shared<P>>, JournalError>> + Send + 'static,
    ) -> Result<Self, JournalError> {
        let held = Arc::new(HeldRun::new(tokio::spawn(work)));
        context
            .exit_hooks
            .add(Arc::clone(&held) as Arc<dyn ExitHook>);
        let shared = held.begun().await?;
        Ok(Self { shared })
    }
}

impl<P: Procedure> FoundRun<P> {
    /// Goes on with a run that stopped: takes its locks over, so that whoever held them changes nothing any more.
    pub async fn resume(
        self,
        context: RunContext<'_>,
        command: impl Into<String>,
    ) -> Result<JournaledRun<P>, JournalError> {
        self.resume_as(Holder::this_process(), context, command.into())
            .await
    }

    pub(super) async fn resume_as(
        self,
        holder: Holder,
        context: RunContext<'_>,
        command: String,
    ) -> Result<JournaledRun<P>, JournalError> {
        let site = Site::from_context(context, holder, self.journal.clone());
        JournaledRun::hold(context, async move { site.resume(self, command).await }).await
    }
}

/// Who begins a run, or goes on with it, and where.
struct Site {
    cluster: Cluster,
    reporter: Arc<dyn Reporter>,
    holder: Holder,
    /// Of the journal and of its lock.
    name: String,
}

impl Site {
    fn from_context(context: RunContext<'_>, holder: Holder, name: String) -> Self {
        Self {
            cluster: context.cluster.clone(),
            reporter: Arc::clone(context.reporter),
            holder,
            name,
        }
    }

    async fn begin<P: Procedure>(self, new: NewRun<P>) -> Result<Arc<Shared<P>>, JournalError> {
        let namespace = self.cluster.namespace();
        if let Some(found) = FoundRun::<P>::read(&self.cluster, &self.name).await? {
            found.require_over(namespace)?;
        }
        let clock = self.clock().await?;
        let content = Content::<P> {
            run: new_run_id(P::PLUGIN),
            progress: RunProgress::Open,
            holding: Holding {
                epoch: 0,
                writer: self.holder.to_string(),
                command: new.command,
                started: clock.now(),
                locks: new.locks.iter().map(LockName::place).collect(),
            },
            plan: new.plan,
            steps: new.steps.into_iter().map(StepRecord::planned).collect(),
        };
        content.require_fits()?;
        let claim = self.claim(&content, clock);
        let mut locks = vec![Lock::acquire(&self.lock(), &claim).await?];
        let begun = async {
            for lock in &new.locks {
                locks.push(Lock::acquire(lock, &claim).await?);
            }
            // Who held the lock just before may have written into it.
            let before = StoredJournal::<P>::read(&self.cluster, &self.name).await?;
            if let Some(before) = &before
                && before.content.progress == RunProgress::Open
            {
                return Err(unfinished(&self.name, namespace, &before.content));
            }
            locks[0].lease.confirm().await?;
            StoredJournal::begin(&self.cluster, &self.name, before, content, &*self.reporter).await
        };
        match begun.await {
            Ok(journal) => Ok(self.shared(clock, locks, journal)),
            Err(error) => {
                for lock in locks.iter().rev() {
                    lock.delete(&*self.reporter).await;
                }
                Err(error)
            }
        }
    }

    async fn resume<P: Procedure>(
        self,
        found: FoundRun<P>,
        command: String,
    ) -> Result<Arc<Shared<P>>, JournalError> {
        require_open(&found.content)?;
        let places = &found.content.holding.locks;
        if let Some(place) = places.iter().find(|place| !place.is_valid()) {
            return Err(JournalError::Unreadable {
                journal: self.name.clone(),
                why: format!("there can be no lease {}", place.name),
            });
        }
        let clock = self.clock().await?;
        let mut claim = self.claim(&found.content, clock);
        claim.command.clone_from(&command);
        let mut locks = vec![Lock::acquire(&self.lock(), &claim).await?];
        let resumed = async {
            for place in places {
                let lock = LockName {
                    cluster: self.cluster.in_namespace(&*place.namespace),
                    name: place.name.clone(),
                };
                locks.push(Lock::acquire(&lock, &claim).await?);
            }
            self.adopt::<P>(&found.content.run, command).await
        };
        match resumed.await {
            Ok(journal) => Ok(self.shared(clock, locks, journal)),
            Err(error) => {
                for lock in locks.iter().rev() {
                    lock.release(&*self.reporter).await;
                }
                Err(error)
            }
        }
    }

    /// Writes into the journal who goes on: whoever wrote it before, and has not noticed yet, cannot any more.
    async fn adopt<P: Procedure>(
        &self,
        run: &str,
        command: String,
    ) -> Result<StoredJournal<P>, JournalError> {
        let mut attempt = 1;
        loop {
            let journal = StoredJournal::<P>::read(&self.cluster, &self.name).await?;
            let mut journal = journal.ok_or_else(|| JournalError::Gone {
                journal: self.name.clone(),
            })?;
            let mut next = journal.content.clone();
            if next.run != run {
                return Err(unfinished(&self.name, self.cluster.namespace(), &next));
            }
            require_open(&next)?;
            next.holding.epoch += 1;
            next.holding.writer = self.holder.to_string();
            next.holding.command.clone_from(&command);
            match journal.write(next, &*self.reporter).await {
                Ok(()) => return Ok(journal),
                // The one who held the run was just writing for the last time.
                Err(JournalError::Changed { .. }) if attempt < ADOPTIONS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn clock(&self) -> Result<ServerClock, JournalError> {
        let clock = ServerClock::read(&self.cluster).await;
        Ok(clock.map_err(RunError::cluster("ask for the API server's time"))?)
    }

    /// The lock of the journal.
    fn lock(&self) -> LockName {
        LockName {
            cluster: self.cluster.clone(),
            name: self.name.clone(),
        }
    }

    fn claim<P: Procedure>(&self, content: &Content<P>, clock: ServerClock) -> Claim {
        Claim {
            plugin: P::PLUGIN,
            holder: self.holder.clone(),
            command: content.holding.command.clone(),
            clock,
            data: LockData {
                run: content.run.clone(),
                journal: LockPlace {
                    namespace: self.cluster.namespace().to_owned(),
                    name: self.name.clone(),
                },
            },
        }
    }

    fn shared<P: Procedure>(
        &self,
        clock: ServerClock,
        locks: Vec<Lock>,
        journal: StoredJournal<P>,
    ) -> Arc<Shared<P>> {
        Arc::new(Shared {
            cluster: self.cluster.clone(),
            reporter: Arc::clone(&self.reporter),
            clock,
            mark: Mark {
                plugin: P::PLUGIN,
                run: journal.content.run.clone(),
                owner: None,
            },
            locks,
            content: std::sync::Mutex::new(journal.content.clone()),
            journal: Mutex::new(journal),
            making: Arc::default(),
            waiting: Waiting::default(),
            undo_limit: std::sync::Mutex::default(),
            ended: Mutex::new(None),
        })
    }
}

fn require_open<P: Procedure>(content: &Content<P>) -> Result<(), JournalError> {
    let how = match content.progress {
        RunProgress::Open => return Ok(()),
        RunProgress::Done => "every step is done",
        RunProgress::Undone => "every step is undone",
    };
    Err(JournalError::Over {
        run: content.run.clone(),
        how,
    })
}

/// A run as an exit hook, from before it begins: a command that is interrupted meanwhile waits for it, and then ends it.
struct HeldRun<P: Procedure> {
    /// `None` once what came of it was taken.
    beginning: Mutex<Option<Beginning<P>>>,
    shared: OnceLock<Arc<Shared<P>>>,
}

type Beginning<P> = JoinHandle<Result<Arc<Shared<P>>, JournalError>>;

impl<P: Procedure> HeldRun<P> {
    fn new(beginning: Beginning<P>) -> Self {
        Self {
            beginning: Mutex::new(Some(beginning)),
            shared: OnceLock::new(),
        }
    }

    /// Waits until the run has begun. Safe to drop: the task goes on, and can be waited for again.
    async fn begun(&self) -> Result<Arc<Shared<P>>, JournalError> {
        let mut beginning = self.beginning.lock().await;
        let broken = |why: String| {
            let run = P::PLUGIN.to_owned();
            Err(JournalError::Run(RunError::Broken { run, why }))
        };
        let answer = match beginning.as_mut() {
            Some(task) => task.await.unwrap_or_else(|error| broken(error.to_string())),
            None => broken("it was begun before".to_owned()),
        };
        *beginning = None;
        if let Ok(shared) = &answer {
            self.shared.get_or_init(|| Arc::clone(shared));
        }
        answer
    }
}

impl<P: Procedure> ExitHook for HeldRun<P> {
    fn end(&self) -> BoxFuture<'_, Result<(), LeftBehind>> {
        Box::pin(async {
            let beginning = self.beginning.lock().await.is_some();
            if beginning && self.begun().await.is_err() {
                // Nobody waits for the run any more, and its task has let go of what it took.
                return Ok(());
            }
            match self.shared.get() {
                Some(shared) => shared.stop().await,
                None => Ok(()),
            }
        })
    }

    fn left(&self) -> Option<LeftBehind> {
        self.shared.get().and_then(|shared| shared.given_up())
    }
}
