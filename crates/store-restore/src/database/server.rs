//! The server, and statements that are run in it.

use std::time::Duration;

use kube_transfer::{Captured, DownloadError, PodHandle, RemoteCommand, Secret, Sink};
use wa_common::assistant::{Datastore, Instance, PostgresPod};
use wa_common::cluster::{Cluster, RetryPolicy};
use wa_common::report::{Reporter, causes_text};

use super::ServerError;

/// The superuser of PostgreSQL's pods, who needs no password on the local socket.
const SUPERUSER: &str = "postgres";
/// The database to be in while others are copied, renamed and dropped.
const MAINTENANCE: &str = "postgres";
/// How long a change bears a server or an API server that is away: as long as one that is being updated.
pub(crate) const PATIENCE: Duration = Duration::from_mins(12);
/// How often an answer that may be long is asked for again.
const RETRIES: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Settings that hold for our sessions whatever the database, its roles or the server say. Messages are in English: some of
/// them are looked for, and users search the web for the others. A copy takes longer than a time limit for queries, and a
/// database that is read-only for the time being is copied all the same.
const SETTINGS: &str = "-c lc_messages=C -c statement_timeout=0 \
-c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off";
/// What sessions are called that make no database.
pub(super) const LOOKING: &str = "kubectl-wa-restore";

/// The server that holds the store database of an instance.
#[derive(Clone)]
pub struct DatabaseServer {
    pub(super) cluster: Cluster,
    pub(super) instance: Instance,
    pub(super) store: String,
    pub(super) user: String,
    datastore: Datastore,
}

impl DatabaseServer {
    /// The server of the store database; nothing is asked yet. Which pod is the primary is looked up each time, as it may
    /// become another one.
    pub fn new(cluster: &Cluster, instance: &Instance, datastore: &Datastore) -> Self {
        Self {
            cluster: cluster.in_namespace(&instance.namespace),
            instance: instance.clone(),
            store: datastore.database.clone(),
            user: datastore.user.clone(),
            datastore: datastore.clone(),
        }
    }

    /// The name of the store database.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The primary, which alone can be written to.
    pub async fn primary(&self) -> Result<PostgresPod, ServerError> {
        let pods =
            PostgresPod::find_all(&self.cluster, &self.instance, Some(&self.datastore)).await?;
        let primary = pods.into_iter().find(|pod| pod.primary);
        primary.ok_or_else(|| ServerError::NoPrimary {
            instance: self.instance.name.clone(),
        })
    }

    /// A pod, to run commands in and to send files to.
    pub(crate) fn pod(&self, pod: &PostgresPod) -> PodHandle {
        self.cluster.pod(&pod.container())
    }

    /// Runs statements that only read, in `database`; tried again where the connection breaks.
    pub(super) async fn read(
        &self,
        database: &str,
        action: &str,
        sql: &str,
    ) -> Result<(PostgresPod, Captured), ServerError> {
        let pod = self.primary().await?;
        let command = psql(database, LOOKING, sql)?;
        match self
            .cluster
            .run_idempotent(&pod.container(), &command)
            .await
        {
            Ok(captured) => Ok((pod, captured)),
            Err(source) => Err(failed(&pod, action, source)),
        }
    }

    /// Runs statements that change something, once. `session` is what theirs is called, by which it is found when the
    /// connection has broken and it goes on.
    pub(super) async fn change(
        &self,
        session: &str,
        action: &str,
        sql: &str,
    ) -> Result<(), ServerError> {
        let pod = self.primary().await?;
        let command = psql(MAINTENANCE, session, sql)?;
        let run = self.cluster.pod(&pod.container()).run(&command).await;
        run.map(drop).map_err(|source| failed(&pod, action, source))
    }

    /// The rows that statements print which only read, in `database`.
    pub(crate) async fn ask(
        &self,
        database: &str,
        action: &str,
        sql: &str,
    ) -> Result<String, ServerError> {
        let (_, answer) = self.read(database, action, sql).await?;
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// The same for what may be long: each attempt's goes into a sink of its own.
    pub(crate) async fn stream<S: Sink>(
        &self,
        database: &str,
        action: &str,
        sql: &str,
        sink: impl Fn() -> S,
    ) -> Result<S::Finished, ServerError> {
        let pod = self.primary().await?;
        let command = psql(database, LOOKING, sql)?;
        let handle = self.cluster.pod(&pod.container());
        let mut retries = RETRIES;
        loop {
            match handle.download(&command, sink(), |_| ()).await {
                Ok(delivered) => return Ok(delivered.into_output()),
                Err(error) if retries > 0 && error.is_transient() => {
                    retries -= 1;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(source) => return Err(failed(&pod, action, source)),
            }
        }
    }

    /// What the server tells of its databases is read in the one where nothing is done to.
    pub(super) async fn read_overview(
        &self,
        action: &str,
        sql: &str,
    ) -> Result<(PostgresPod, Captured), ServerError> {
        self.read(MAINTENANCE, action, sql).await
    }

    /// Makes attempts at a change until one succeeds, or fails for a reason that does not pass.
    pub(super) async fn patiently<T, F>(
        &self,
        step: &'static str,
        reporter: &dyn Reporter,
        attempt: impl Fn() -> F,
    ) -> Result<T, ServerError>
    where
        F: Future<Output = Result<T, ServerError>>,
    {
        let passing = |error: &ServerError| error.is_transient().then(|| causes_text(error));
        RetryPolicy::phases(PATIENCE)
            .run(step, reporter, passing, attempt)
            .await
    }
}

pub(super) fn failed(pod: &PostgresPod, action: &str, source: DownloadError) -> ServerError {
    ServerError::Psql {
        pod: pod.name.clone(),
        action: action.to_owned(),
        source: Box::new(source),
    }
}

/// psql as the superuser on the local socket: rows on lines, and an end at the first statement that fails.
pub(crate) fn psql(database: &str, session: &str, sql: &str) -> Result<RemoteCommand, ServerError> {
    let mut command = RemoteCommand::new("psql").args([
        "--no-psqlrc",
        "--no-password",
        "--quiet",
        "--no-align",
        "--tuples-only",
        "--set=ON_ERROR_STOP=1",
    ]);
    command = command
        .arg(format!("--username={SUPERUSER}"))
        .arg(format!("--dbname={database}"))
        .arg("--file=-");
    for (name, value) in [
        ("LC_ALL", "C"),
        ("PGCLIENTENCODING", "UTF8"),
        ("PGOPTIONS", SETTINGS),
        ("PGAPPNAME", session),
        ("PGCONNECT_TIMEOUT", "30"),
    ] {
        command = command.env(name, Secret::new(value)?)?;
    }
    sql.lines().try_fold(command, |command, line| {
        Ok(command.input_line(Secret::new(line)?))
    })
}
