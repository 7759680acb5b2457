//! Who is still at work: programs in a pod, and sessions in the store database. By these facts it is settled whether a
//! pgmig whose end nobody saw has ended: it, or a pg_restore that it has left behind.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube_transfer::{PodContainer, RemoteCommand};
use serde::{Deserialize, Serialize};
use store_backup::sql;
use tokio::time::{Instant, sleep};
use wa_common::cluster::{Cluster, Lasting};
use wa_common::report::printable;

use super::server::LOOKING;
use super::{DatabaseServer, ServerError};

/// Prints the number, the parent's number, the name and the working directory of each process that runs a program of
/// these names, and of each that works in the directory given. Zombies have ended.
const PROCESSES: &str = r#"for entry in /proc/[0-9]*; do
    pid=${entry#/proc/}
    { IFS= read -r name <"$entry/comm"; } 2>/dev/null || continue
    directory=$(readlink "$entry/cwd" 2>/dev/null)
    case $name in
        pgmig | pg_restore | psql) ;;
        *)
            [ "$1" ] || continue
            case $directory/ in
                "$1"/*) ;;
                *) continue ;;
            esac
            ;;
    esac
    state= parent=
    while read -r key value; do
        case $key in
            State:) state=${value%% *} ;;
            PPid:) parent=$value ;;
        esac
    done 2>/dev/null <"$entry/status"
    case $state in
        '' | Z | X) continue ;;
    esac
    printf '%s\t%s\t%s\t%s\n' "$pid" "$parent" "$name" "$directory"
done"#;
/// For so long nobody must come who works on the store database.
const STAYS_AWAY_FOR: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a session may take to end that was told to.
const ENDS_WITHIN: Duration = Duration::from_mins(1);
/// More than any pod has at work for a restore.
const MOST_PROCESSES: usize = 1000;

/// A process in a pod that may be at work on the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodProcess {
    /// Its number in the container.
    pub pid: u32,
    /// Its parent's; 0 or 1 where that has ended, or it was begun from outside.
    pub parent: u32,
    /// Its program, such as `pgmig` or `pg_restore`.
    pub program: String,
    /// Where it works, where that can be known: a staged pgmig and its children work where it was staged.
    pub directory: Option<String>,
}

/// The pgmig, pg_restore and psql that run in a container, and whatever else works in `directory` or below. Psql of
/// somebody else is among them; [`PodProcess::directory`] tells them apart.
pub async fn pod_processes(
    cluster: &Cluster,
    pod: &PodContainer,
    directory: Option<&str>,
) -> anyhow::Result<Vec<PodProcess>> {
    let directory = directory.unwrap_or_default().trim_end_matches('/');
    let command = RemoteCommand::sent_script(PROCESSES).arg(directory);
    let printed = cluster
        .run_idempotent(pod, &command)
        .await
        .with_context(|| format!("cannot look at the processes of pod {}", pod.pod))?;
    parse(&String::from_utf8_lossy(&printed.stdout))
        .with_context(|| format!("cannot read the processes of pod {}", pod.pod))
}

fn parse(printed: &str) -> anyhow::Result<Vec<PodProcess>> {
    let lines: Vec<&str> = printed.lines().collect();
    ensure!(lines.len() <= MOST_PROCESSES, "there are too many");
    let processes = lines.into_iter().map(|line| {
        let mut fields = line.splitn(4, '\t');
        let mut next = || fields.next().context("a line has too few fields");
        Ok(PodProcess {
            pid: next()?.parse().context("a number is none")?,
            parent: next()?.parse().context("a number is none")?,
            program: printable(next()?).into_owned(),
            directory: Some(next()?)
                .filter(|directory| !directory.is_empty())
                .map(|directory| printable(directory).into_owned()),
        })
    });
    processes.collect()
}

/// A client's session in the store database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The server's process.
    pub pid: u32,
    /// Its user.
    pub user: String,
    /// What the client calls itself: `pg_restore`, `psql` and so on unless it was told otherwise.
    pub application: String,
    /// The client's address; none on the local socket.
    pub address: Option<String>,
    /// `active`, `idle`, `idle in transaction` and so on.
    pub state: Option<String>,
    /// The first word of what it does or did last, such as `COPY`.
    pub statement: String,
}

impl DatabaseServer {
    /// Every client that is connected to the store database: with the stores stopped, what works on it for a restore, and
    /// whoever looks on.
    pub async fn sessions(&self) -> Result<Vec<Session>, ServerError> {
        let ask = format!(
            "select coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'application', coalesce(left(application_name, 63), ''),
             'address', host(client_addr), 'state', state, 'statement', coalesce(left(split_part(ltrim(query), ' ', 1), 20), ''))), '[]')
             from pg_stat_activity where datname = {} and backend_type = 'client backend'",
            sql::text(&self.store)
        );
        let (pod, answer) = self
            .read_overview("look at the sessions of the database", &ask)
            .await?;
        let sessions: Vec<Session> =
            serde_json::from_slice(&answer.stdout).map_err(|source| ServerError::Unreadable {
                pod: pod.name,
                source,
            })?;
        Ok(sessions.into_iter().map(Session::made_printable).collect())
    }

    /// Ends the sessions of the store's own user, as whom pgmig works and what it has begun, and sees to it that nobody
    /// comes back: a pg_restore that was left behind does not, a pgmig that is at work does.
    pub async fn end_work(&self) -> Result<(), ServerError> {
        let at_work = self.at_work().await?;
        self.disconnect(&at_work).await?;
        self.require_nobody_comes(at_work).await
    }

    /// An error where the store's own user connects to the database, at once or soon; its sessions are ended.
    pub async fn require_nobody_at_work(&self) -> Result<(), ServerError> {
        self.require_nobody_comes(Vec::new()).await
    }

    /// Waits until none of `ending` is there, and nobody else has come for a while.
    async fn require_nobody_comes(&self, ending: Vec<Session>) -> Result<(), ServerError> {
        let began = Instant::now();
        let mut nobody = Lasting::default();
        loop {
            let at_work = self.at_work().await?;
            let came = |session: &&Session| !ending.iter().any(|one| one.pid == session.pid);
            if let Some(session) = at_work.iter().find(came) {
                self.disconnect(&at_work).await?;
                return Err(self.is_at_work(session, "has connected to"));
            }
            match at_work.first() {
                None if nobody.so() >= STAYS_AWAY_FOR => return Ok(()),
                None => {}
                Some(session) if began.elapsed() >= ENDS_WITHIN => {
                    return Err(self.is_at_work(session, "does not let go of"));
                }
                Some(_) => nobody.over(),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn is_at_work(&self, session: &Session, does: &str) -> ServerError {
        let from = session.address.as_deref().unwrap_or("the pod itself");
        ServerError::refused(format!(
            "{:?} from {from} {does} the database {:?} as its own user {:?}: end it where it runs, such as a pgmig on a node that nobody hears of, and try again",
            session.application, self.store, self.user
        ))
    }

    /// The sessions of the store's own user.
    async fn at_work(&self) -> Result<Vec<Session>, ServerError> {
        let mut sessions = self.sessions().await?;
        sessions.retain(|session| session.user == self.user);
        Ok(sessions)
    }

    async fn disconnect(&self, sessions: &[Session]) -> Result<(), ServerError> {
        if sessions.is_empty() {
            return Ok(());
        }
        let end = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = {} and usename = {};\n",
            sql::text(&self.store),
            sql::text(&self.user)
        );
        self.change(LOOKING, "end the sessions in the database", &end)
            .await
    }
}

impl Session {
    fn made_printable(self) -> Self {
        let printable = |text: String| printable(&text).into_owned();
        Self {
            user: printable(self.user),
            application: printable(self.application),
            statement: printable(self.statement),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_whatever_their_directory_is_called() {
        let printed = "12\t1\tpgmig\t/controller/tmp/run 7\n30\t12\tpg_restore\t\n";
        let found = parse(printed).unwrap();
        assert_eq!((found[0].pid, found[0].parent), (12, 1));
        assert_eq!(found[0].directory.as_deref(), Some("/controller/tmp/run 7"));
        assert_eq!(
            (found[1].program.as_str(), &found[1].directory),
            ("pg_restore", &None)
        );
        assert!(parse("x\t1\tpgmig\t/\n").is_err());
        assert!(parse("12\t1\n").is_err());
    }
}
