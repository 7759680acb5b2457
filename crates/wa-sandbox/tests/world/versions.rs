//! Which PostgreSQL a release runs: really, and as its objects say.

use wa_sandbox::world::Profile;

use crate::support::World;

impl World {
    /// What a program in the PostgreSQL pod says.
    #[track_caller]
    fn in_postgres(&self, command: &[&str]) -> String {
        let pod = self.sandbox.names().primary_pod();
        let exec = ["exec", &pod, "-c", "postgres", "--"];
        self.ask(&[&exec, command].concat()).trim().to_owned()
    }

    /// What a program says in the image that the nightly dumps are made with.
    #[track_caller]
    fn in_image_of_cron_job(&self, command: &[&str]) -> String {
        let image = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}";
        let image = self.ask(&["get", "cronjob", "wa-store-cronjob", "-o", image]);
        let run = [
            "run",
            "asked",
            "--image",
            &image,
            "--restart=Never",
            "--command",
            "--",
        ];
        self.ask(&[&run, command].concat());
        let ended = "--for=jsonpath={.status.phase}=Succeeded";
        self.ask(&["wait", "pod/asked", ended, "--timeout=60s"]);
        self.ask(&["logs", "asked"])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_with_postgresql_16_in_its_names_runs_that() {
    if !local_postgres::servers()
        .iter()
        .any(|server| server.major == 16)
    {
        println!("skipped: PostgreSQL 16 is not installed");
        return;
    }
    let world = World::start(|config| config.profile = Profile::V5_2_1).await;
    assert_eq!(world.sandbox.postgres_version(), 16);
    let server = world.in_postgres(&["psql", "-U", "postgres", "-XAtc", "show server_version"]);
    assert!(server.starts_with("16."), "{server}");
    let pg_dump = world.in_postgres(&["pg_dump", "--version"]);
    assert!(pg_dump.contains(" 16."), "{pg_dump}");
    assert_eq!(world.in_postgres(&["cat", "/proc/1/comm"]), "postgres");

    let version = "jsonpath={.status.pgDataImageInfo.majorVersion}";
    let says = world.ask(&["get", "cluster", "wa-postgres-16", "-o", version]);
    assert_eq!(says, "16");
    let nightly = world.in_image_of_cron_job(&["pg_dump", "--version"]);
    assert!(nightly.contains(" 16."), "{nightly}");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_release_runs_the_machine_s_own() {
    let own = local_postgres::own_servers();
    let Some(own) = own.last() else {
        println!("skipped: a PostgreSQL of the machine's own is not installed");
        return;
    };
    let world = World::start(|config| config.profile = Profile::V4_8_5).await;
    assert_eq!(world.sandbox.postgres_version(), own.major);
    let server = world.in_postgres(&["psql", "-U", "postgres", "-XAtc", "show server_version"]);
    assert!(server.starts_with(&format!("{}.", own.major)), "{server}");
    let image = "jsonpath={.spec.imageName}";
    let image = world.ask(&["get", "cluster", "wa-postgres", "-o", image]);
    assert!(image.ends_with(&format!(":{}", own.major)), "{image}");
    world.sandbox.stop().await;
}
