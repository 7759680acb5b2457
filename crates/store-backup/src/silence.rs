//! What pg_dump waits for when it sends nothing: most often for a lock that another session holds.

use std::cell::Cell;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context as _;
use kube_transfer::PodContainer;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wa_common::assistant::Datastore;
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Reporter, elapsed, error_text};

use crate::pg_dump::psql_command;

/// How long pg_dump may send nothing before what it waits for is looked up.
pub const DEFAULT_SILENT_AFTER: Duration = Duration::from_secs(20);
/// How long the question may take: it only explains, and the dump goes on beside it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// It is asked again less and less often, down to this.
const ASK_AGAIN_WITHIN: Duration = Duration::from_mins(5);

/// The sessions that the dump's own, known by its application name, waits for. Never what they execute: a query may hold
/// what the assistants' users said.
const QUESTION: &str = r#"
select coalesce(json_agg(blocking), '[]') from (
  select distinct on (holder.pid) holder.pid, session.usename as "user", session.application_name as application,
    session.state,
    to_char(coalesce(session.xact_start, session.backend_start) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since
  from pg_stat_activity as dump
  cross join lateral unnest(pg_blocking_pids(dump.pid)) as holder(pid)
  left join pg_stat_activity as session on session.pid = holder.pid
  where dump.application_name = current_setting('application_name') and dump.pid <> pg_backend_pid()
  order by holder.pid limit 5
) as blocking"#;

/// A session that holds a lock. What this user may not see is absent.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Session {
    pid: i64,
    user: Option<String>,
    application: Option<String>,
    state: Option<String>,
    since: Option<String>,
}

impl Session {
    fn describe(&self) -> String {
        if self.pid == 0 {
            // What PostgreSQL calls the holder that has no session any more.
            return "a prepared transaction (see pg_prepared_xacts)".to_owned();
        }
        let known = |name: &str, value: &Option<String>| {
            let value = value.as_deref().filter(|value| !value.is_empty())?;
            Some(format!("{name} {value}"))
        };
        let parts = [
            known("user", &self.user),
            known("application", &self.application),
            known("state", &self.state),
            known("since", &self.since),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("session {} ({})", self.pid, parts.join(", "))
    }
}

/// Watches over a dump.
pub(crate) struct SilenceWatch<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) target: PodContainer,
    pub(crate) datastore: &'a Datastore,
    pub(crate) reporter: &'a dyn Reporter,
    /// When the dump last sent something.
    pub(crate) heard: &'a Cell<Instant>,
    /// How long it may send nothing before that is explained; `None` for ever.
    pub(crate) limit: Option<Duration>,
}

impl SilenceWatch<'_> {
    /// Says in each silence what the dump waits for, and again when that changes. Ends with the dump, which drops it.
    pub(crate) async fn watch(&self) -> Infallible {
        let Some(limit) = self.limit else {
            return std::future::pending().await;
        };
        loop {
            let heard = self.heard.get();
            if heard.elapsed() < limit {
                sleep_until(heard + limit).await;
                continue;
            }
            let mut reported = String::new();
            let mut pause = limit;
            while self.heard.get() == heard {
                let what = self.explanation().await;
                if what != reported {
                    let silent = elapsed(heard.elapsed());
                    self.reporter.report(&Event::Warning {
                        message: format!("pg_dump has sent nothing for {silent}: {what}"),
                    });
                    reported = what;
                }
                sleep(pause).await;
                pause = pause.saturating_mul(2).min(ASK_AGAIN_WITHIN);
            }
        }
    }

    async fn explanation(&self) -> String {
        let asked = timeout(ANSWERED_WITHIN, self.ask()).await;
        let asked = asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
        match asked {
            Ok(sessions) => explanation(&sessions),
            Err(error) => format!(
                "it may wait for a lock, or read a large table (PostgreSQL cannot be asked: {})",
                error_text(&error)
            ),
        }
    }

    async fn ask(&self) -> anyhow::Result<Vec<Session>> {
        let statements = [
            // Read-only, and ended by the server where nobody waits any more.
            "set default_transaction_read_only = on",
            "set statement_timeout = '5s'",
            QUESTION,
        ];
        let command = psql_command(self.datastore, &statements)?;
        let answer = self.cluster.pod(&self.target).run(&command).await?;
        serde_json::from_slice(&answer.stdout).context("psql's answer is not what was asked for")
    }
}

fn explanation(sessions: &[Session]) -> String {
    if sessions.is_empty() {
        return "it waits for no lock; the server is busy, or the table is large".to_owned();
    }
    let holders: Vec<String> = sessions.iter().map(Session::describe).collect();
    format!(
        "it waits for a lock that is held by {}; it goes on when that transaction ends",
        holders.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_named_as_far_as_it_is_known() {
        let answer = r#"[
            {"pid": 7, "user": "wa", "application": "psql", "state": "idle in transaction", "since": "2026-11-22T20:55:00Z"},
            {"pid": 8, "user": "postgres", "application": "", "state": null, "since": null},
            {"pid": 0, "user": null, "application": null, "state": null, "since": null}]"#;
        let sessions: Vec<Session> = serde_json::from_str(answer).unwrap();
        assert_eq!(
            explanation(&sessions),
            "it waits for a lock that is held by session 7 (user wa, application psql, state idle in transaction, since \
             2026-11-22T20:55:00Z) and session 8 (user postgres) and a prepared transaction (see pg_prepared_xacts); it \
             goes on when that transaction ends"
        );
        assert!(explanation(&[]).contains("no lock"));
    }
}
