//! Who is at work on the store database.

use std::process::{Command, Stdio};

use end_to_end::{World, wait_for, wait_until};
use store_restore::database::pod_processes;
use wa_common::assistant::{Instance, PostgresPod};

use super::{end, server, sitting_on, store};

#[test]
fn who_is_still_at_work_is_seen_in_the_pod_and_in_the_server() {
    let world = World::shared();
    let (server, name) = (server(&world), store(&world));
    let look = || {
        wait_for(async {
            let cluster = world.cluster();
            let instance = Instance::find(&cluster, None).await.unwrap();
            let pods = PostgresPod::find_all(&cluster, &instance, None)
                .await
                .unwrap();
            let primary = pods.into_iter().find(|pod| pod.primary).unwrap();
            let pod = primary.container();
            let processes = pod_processes(&cluster, &pod, Some("/controller/tmp"));
            (processes.await.unwrap(), server.sessions().await.unwrap())
        })
    };
    let (processes, sessions) = look();
    assert!(
        processes.is_empty() && sessions.is_empty(),
        "{processes:?} {sessions:?}"
    );
    let child = sitting_on(&world, &name, "select 1;");
    wait_until("psql is seen", || !look().1.is_empty());
    let (processes, sessions) = look();
    assert_eq!(processes[0].program, "psql");
    assert_eq!(
        (sessions[0].application.as_str(), sessions[0].user.as_str()),
        ("psql", "postgres")
    );
    assert_eq!(sessions[0].statement, "select");
    end(child);
    wait_until("psql is gone", || look() == (Vec::new(), Vec::new()));
    // What works as the store's own user is ended. What comes back, as a pgmig does, is reported.
    let own = |script: &str| {
        let mut shell = Command::new("sh");
        let psql = world.psql_command();
        let variables = psql
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        let child = shell.envs(variables).args(["-c", script]).spawn().unwrap();
        wait_until("it is connected", || !look().1.is_empty());
        child
    };
    let mut left_behind = own("exec psql -XAtqc 'select pg_sleep(60)'");
    wait_for(server.end_work()).unwrap();
    assert!(!left_behind.wait().unwrap().success());
    let mut at_work = own("while :; do psql -XAtqc 'select pg_sleep(60)'; done");
    let error = wait_for(server.end_work()).unwrap_err().to_string();
    assert!(
        error.contains("\"bystander\" from") && error.contains("has connected to"),
        "{error}"
    );
    at_work.kill().unwrap();
    at_work.wait().unwrap();
    wait_until("nobody is at work", || wait_for(server.end_work()).is_ok());
    // Whatever works where something was staged.
    let pod = world.sandbox().names().primary_pod();
    let script = "mkdir -p /controller/tmp/x && cd /controller/tmp/x && exec sleep 60";
    let mut staged = world.command("kubectl");
    let mut staged = staged
        .args(["exec", &pod, "-c", "postgres", "--", "sh", "-c", script])
        .spawn()
        .unwrap();
    wait_until("what is staged is seen", || !look().0.is_empty());
    let (processes, _) = look();
    assert_eq!(processes[0].program, "sleep");
    assert_eq!(processes[0].directory.as_deref(), Some("/controller/tmp/x"));
    world.in_postgres_pod(
        &format!("kill {}; rmdir /controller/tmp/x", processes[0].pid),
        Stdio::null(),
    );
    staged.wait().unwrap();
}
