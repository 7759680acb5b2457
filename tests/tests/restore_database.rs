//! What a restore does to the store database: copies, exchanges and restores it in its own server, and finds out
//! afterwards what became of it, also when connections are cut.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

#[path = "restore_database/at_work.rs"]
mod at_work;
#[path = "restore_database/encryption_key.rs"]
mod encryption_key;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use end_to_end::{Silent, World, sweep_random, sweep_rounds, wait_for, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rand::RngExt as _;
use rand::rngs::StdRng;
use store_restore::comparison::compare;
use store_restore::database::{DatabaseServer, Made, NamedDatabase, Swapped};
use store_restore::mapping::Mapping;
use store_restore::safety_set::{SafetySet, restore_set};
use store_restore::source::{Opener, Source};
use store_restore::workspaces::{WorkspaceRows, Workspaces};
use wa_common::assistant::{Datastore, Instance};
use wa_sandbox::world::ProcessOne;

const COPY: &str = "restore-7f3a-copy";
const ASIDE: &str = "restore-7f3a-old";
const FRESH: &str = "restore-7f3a-fresh";
const DIRECTORY: &str = "/controller/tmp/restore-7f3a/back";
/// What an administrator may have set, and must not be lost.
const DRESS: &str = r#"
create role "o'dd";
alter database "STORE" connection limit 33;
alter database "STORE" set search_path = '';
alter database "STORE" set my.var = 'a\b''c';
alter role dbadmin in database "STORE" set work_mem = '64MB';
alter role "o'dd" in database "STORE" set search_path = "$user", public, 'we"ird, x';
revoke connect on database "STORE" from public;
grant connect on database "STORE" to "o'dd" with grant option;
comment on database "STORE" is E'first\nsecond';
update pg_database set datcollversion = 'of an older image' where datname = 'STORE';"#;
/// All of that, and what else a database is like but for its number and name.
const LIKE: &str = "select pg_get_userbyid(datdba), datacl, datconnlimit, pg_encoding_to_char(encoding), datcollate, datctype,
 (select string_agg(setrole || ' ' || array_to_string(setconfig, ' '), ';' order by setrole) from pg_db_role_setting where setdatabase = d.oid)
 from pg_database d where datname = ";
/// Everything that is in a few tables.
const CONTENT: &str = "select md5(string_agg(t::text, '|' order by t::text)) from (
 select workspace_id::text || name as t from public.workspace union all select tenant_id::text || region from public.tenant
 union all select node || output from public.dialog_node) as rows";

fn server(world: &World) -> DatabaseServer {
    wait_for(async {
        let cluster = world.cluster();
        let instance = Instance::find(&cluster, None).await.unwrap();
        let datastore = Datastore::read(&cluster, &instance).await.unwrap();
        DatabaseServer::new(&cluster, &instance, &datastore)
    })
}

fn store(world: &World) -> String {
    world.sandbox().names().database()
}

fn like(world: &World, database: &str) -> String {
    world.sql_in("postgres", &format!("{LIKE}'{database}'"))
}

fn number(world: &World, database: &str) -> String {
    let ask = format!("select oid from pg_database where datname = '{database}'");
    world.sql_in("postgres", &ask).trim().to_owned()
}

fn is_open(world: &World, database: &str) -> bool {
    let ask = format!("select datallowconn from pg_database where datname = '{database}'");
    world.sql_in("postgres", &ask).trim() == "t"
}

/// The databases that are there beside PostgreSQL's own.
fn databases(world: &World) -> Vec<String> {
    let ask =
        "select datname from pg_database where datname !~ '^(postgres|template.)$' order by 1";
    let names = world.sql_in("postgres", ask);
    names.lines().map(str::to_owned).collect()
}

fn dressed() -> World {
    let world = World::start_as(|config| config.process_one = ProcessOne::Postgres);
    world.sql_in("postgres", &DRESS.replace("STORE", &store(&world)));
    world
}

#[test]
fn a_copy_is_like_the_database_and_takes_its_place_again() {
    let world = dressed();
    let read_only =
        "alter role postgres in database postgres set default_transaction_read_only = on";
    world.sql_in("postgres", read_only);
    let (server, name) = (server(&world), store(&world));
    let mut far_side = world.far_side_of_server();
    let (before, content, first) = (
        like(&world, &name),
        world.sql(CONTENT),
        number(&world, &name),
    );
    wait_for(async {
        let room = server.room_for_copy(0).await.unwrap();
        assert!(room.suffices() && room.database_bytes > 1 << 20, "{room:?}");
        assert_eq!(server.judge(COPY).await.unwrap(), Made::Absent);
        let copy = server.make_copy(COPY, &Silent).await.unwrap();
        assert_eq!(server.make_copy(COPY, &Silent).await.unwrap(), copy);
        assert_eq!(
            server.judge(COPY).await.unwrap(),
            Made::Finished(copy.clone())
        );
        assert_eq!(like(&world, COPY), before);
        assert!(is_open(&world, &name) && !is_open(&world, COPY));

        world.sql("delete from public.workspace");
        assert_eq!(
            server.judge_swap(&copy, ASIDE).await.unwrap(),
            Swapped::NotYet
        );
        let swapped = server.swap_in(&copy, ASIDE, &Silent).await.unwrap();
        assert_eq!(
            server.swap_in(&copy, ASIDE, &Silent).await.unwrap(),
            swapped
        );
        assert_eq!(server.judge_swap(&copy, ASIDE).await.unwrap(), swapped);
        let Swapped::Done {
            put_aside: Some(old),
        } = swapped
        else {
            panic!("{swapped:?}");
        };
        assert_eq!((old.oid.to_string(), old.name.as_str()), (first, ASIDE));
        assert_eq!(number(&world, &name), copy.oid.to_string());
        assert_eq!((like(&world, &name), world.sql(CONTENT)), (before, content));
        let comment = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()";
        assert_eq!(world.sql(comment).trim(), "first\nsecond");
        assert!(is_open(&world, &name) && !is_open(&world, ASIDE));

        server.drop_database(ASIDE, &Silent).await.unwrap();
        server.drop_database(ASIDE, &Silent).await.unwrap();
    });
    assert_eq!(databases(&world), [name]);
    far_side.expect_as_before();
}

#[test]
fn what_is_somebody_elses_is_neither_taken_nor_dropped() {
    let world = World::shared();
    let (server, name) = (server(&world), store(&world));
    world.sql_in("postgres", &format!("create database \"{COPY}\""));
    wait_for(async {
        let made = server.make_copy(COPY, &Silent).await.unwrap_err();
        let dropped = server.drop_database(COPY, &Silent).await.unwrap_err();
        for error in [made, dropped] {
            assert!(error.to_string().contains("no restore has made"), "{error}");
        }
        let error = server.drop_database(&name, &Silent).await.unwrap_err();
        assert!(
            error.to_string().contains("is the store database"),
            "{error}"
        );
        let stranger = NamedDatabase {
            oid: number(&world, COPY).parse().unwrap(),
            name: COPY.to_owned(),
        };
        server.swap_in(&stranger, ASIDE, &Silent).await.unwrap_err();
    });
    assert!(is_open(&world, &name) && is_open(&world, COPY));
    world.sql_in("postgres", &format!("drop database \"{COPY}\""));
}

/// psql in the pod with a statement that it sits on, as the superuser.
fn sitting_on(world: &World, database: &str, statement: &str) -> Child {
    let pod = world.sandbox().names().primary_pod();
    let mut kubectl = world.command("kubectl");
    kubectl
        .args([
            "exec", "-i", &pod, "-c", "postgres", "--", "psql", "-XAtq", "-d", database,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = kubectl.spawn().unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "{statement}").unwrap();
    child
}

/// A session that holds the copying of that database up until it ends.
fn holding(world: &World, name: &str) -> Child {
    let holder = sitting_on(
        world,
        "postgres",
        &format!("begin; comment on database \"{name}\" is 'held'; select 1;"),
    );
    let held = "select count(*) from pg_locks where locktype = 'object' and mode = 'ShareUpdateExclusiveLock'";
    wait_until("the database is held", || {
        world.sql_in("postgres", held).trim() != "0"
    });
    holder
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_copy_whose_client_is_gone_is_waited_for() {
    let world = World::shared();
    let (server, name) = (server(&world), store(&world));
    let holder = holding(&world, &name);
    wait_for(async {
        let attempt = tokio::time::timeout(Duration::from_secs(3), server.make_copy(COPY, &Silent));
        assert!(attempt.await.is_err(), "nothing has held it up");
        assert_eq!(server.judge(COPY).await.unwrap(), Made::BeingMade);
        assert!(!is_open(&world, &name));
        end(holder);
        let copy = server.make_copy(COPY, &Silent).await.unwrap();
        assert!(is_open(&world, &name));
        assert_eq!(server.judge(COPY).await.unwrap(), Made::Finished(copy));
        server.drop_database(COPY, &Silent).await.unwrap();
    });
    world.sql_in(
        "postgres",
        &format!("comment on database \"{name}\" is null"),
    );
}

#[test]
fn the_database_is_open_again_when_it_cannot_be_copied() {
    let world = World::shared();
    let (server, name) = (server(&world), store(&world));
    let holder = holding(&world, &name);
    world.sql_in("postgres", "alter role postgres set lock_timeout = '300ms'");
    let error = wait_for(server.make_copy(COPY, &Silent)).unwrap_err();
    world.sql_in("postgres", "alter role postgres reset lock_timeout");
    end(holder);
    let error = wa_common::report::causes_text(&error);
    assert!(error.contains("lock timeout"), "{error}");
    assert!(is_open(&world, &name));
    assert_eq!(databases(&world), [name]);
}

/// Does the work while the connection of one command in a pod is cut: of the one that comes after so many others.
async fn with_cut<T>(
    world: &World,
    others: usize,
    effect: Effect,
    work: impl Future<Output = T>,
) -> T {
    let execs = || {
        let requests = world.sandbox().requests();
        requests
            .iter()
            .filter(|one| one.uri.contains("/exec?"))
            .count()
    };
    let before = execs();
    let cut = async {
        while execs() < before + others {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let on = Matcher {
            subresource: Some("exec".to_owned()),
            ..Matcher::default()
        };
        world.fault(on, Some(1), effect);
        std::future::pending().await
    };
    let done = tokio::select! {
        done = work => done,
        never = cut => match never {},
    };
    world.sandbox().faults().clear();
    done
}

fn some_cut(random: &mut StdRng) -> Effect {
    let bytes = random.random_range(0..60);
    if random.random() {
        Effect::CutAfter { bytes }
    } else {
        Effect::CloseWithoutStatus { after_bytes: bytes }
    }
}

#[test]
fn wherever_it_is_cut_the_copy_is_made_once_and_the_names_are_exchanged_once() {
    let world = dressed();
    let (server, name) = (server(&world), store(&world));
    let mut far_side = world.far_side_of_server();
    let (before, content) = (like(&world, &name), world.sql(CONTENT));
    let mut random = sweep_random();
    for round in 0..sweep_rounds(8, 100) {
        let (others, effect) = (random.random_range(0..5), some_cut(&mut random));
        let killed = Duration::from_millis(random.random_range(0..1500));
        println!("round {round}: {effect:?} after {others}, killed after {killed:?}");
        let copy = wait_for(async {
            if round % 2 == 0 {
                with_cut(
                    &world,
                    others,
                    effect.clone(),
                    server.make_copy(COPY, &Silent),
                )
                .await
            } else {
                // As a process that dies: the next one begins with what it finds.
                let died = tokio::time::timeout(killed, server.make_copy(COPY, &Silent)).await;
                println!("  done: {}", died.is_ok());
                server.judge(COPY).await.unwrap();
                server.make_copy(COPY, &Silent).await
            }
        })
        .unwrap();
        assert_eq!(like(&world, COPY), before);
        assert!(is_open(&world, &name));
        assert_eq!(databases(&world), [name.clone(), COPY.to_owned()]);

        world.sql("delete from public.workspace");
        let swap = || server.swap_in(&copy, ASIDE, &Silent);
        let swapped = wait_for(async {
            if round % 2 == 0 {
                with_cut(&world, others % 3, effect, swap()).await
            } else {
                let _ = tokio::time::timeout(killed / 2, swap()).await;
                let judged = server.judge_swap(&copy, ASIDE).await.unwrap();
                let is_done = number(&world, &name) == copy.oid.to_string();
                assert_eq!(matches!(judged, Swapped::Done { .. }), is_done);
                swap().await
            }
        });
        assert!(
            matches!(swapped, Ok(Swapped::Done { put_aside: Some(_) })),
            "{swapped:?}"
        );
        assert_eq!(databases(&world), [name.clone(), ASIDE.to_owned()]);
        assert_eq!(
            (like(&world, &name), world.sql(CONTENT)),
            (before.clone(), content.clone())
        );
        wait_for(server.drop_database(ASIDE, &Silent)).unwrap();
        far_side.expect_as_before();
    }
}

/// A backup set of the store database.
fn back_up(world: &World, directory: &Path) -> PathBuf {
    world
        .backup(directory, &["create", "--to", "sets"])
        .expect_code(0);
    world.only_set(&directory.join("sets"))
}

#[test]
fn a_set_is_restored_beside_the_database_and_takes_its_place() {
    let world = dressed();
    let (server, name) = (server(&world), store(&world));
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path());
    let (before, content) = (like(&world, &name), world.sql(CONTENT));
    world.sql("delete from public.workspace; insert into public.log_event select n, '00000000-0000-4000-8000-000000000001', null, null, now() from generate_series(1, 9) n");
    let mut far_side = world.far_side_of_server();
    let here = Opener::local();
    wait_for(async {
        let error = SafetySet::open(&here, &set, Some(&"0".repeat(64)))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("is not the backup"), "{error}");
        let safety = SafetySet::open(&here, &set, None).await.unwrap();
        let recorded = safety.source().intact.sha256.clone();
        let safety = SafetySet::open(&here, &set, Some(&recorded)).await.unwrap();
        let restore = || restore_set(&server, &safety, FRESH, DIRECTORY, &Silent);
        let fresh = restore().await.unwrap();
        assert_eq!(restore().await.unwrap(), fresh);
        assert_eq!(like(&world, FRESH), before);
        server.swap_in(&fresh, ASIDE, &Silent).await.unwrap();
        let held = workspaces(&set);
        let read = compare(&server, safety.source(), held.as_ref(), &own(&safety))
            .await
            .unwrap();
        assert!(read.workspaces > Some(0) && read.rows > 0, "{read:?}");
        assert!(read.remarks.is_empty(), "{read:?}");
        assert_eq!(read.into_differences(), [""; 0]);
        server.drop_database(ASIDE, &Silent).await.unwrap();
    });
    assert_eq!((like(&world, &name), world.sql(CONTENT)), (before, content));
    let left = world.in_postgres_pod("ls -A /controller/tmp/*", Stdio::null());
    assert_eq!(left.trim(), "");
    far_side.expect_as_before();
}

fn workspaces(set: &Path) -> Option<Workspaces> {
    let mut rows = WorkspaceRows::default();
    let source = Source::read_with(&Opener::local(), set, &mut rows).unwrap();
    rows.of_store(&source.intact.verified.contents.tables)
}

/// Every instance of the backup stays what it is.
fn own(safety: &SafetySet) -> Mapping {
    let instances = safety.source().instances().unwrap();
    Mapping::propose(&instances, &instances)
}

#[test]
fn a_restore_of_a_set_goes_on_wherever_it_was_cut() {
    let world = dressed();
    let (server, name) = (server(&world), store(&world));
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path());
    let mut far_side = world.far_side_of_server();
    let content = world.sql(CONTENT);
    let mut random = sweep_random();
    let safety = wait_for(SafetySet::open(&Opener::local(), &set, None)).unwrap();
    for round in 0..sweep_rounds(4, 60) {
        let (others, effect) = (random.random_range(0..12), some_cut(&mut random));
        let killed = Duration::from_millis(random.random_range(0..3000));
        println!("round {round}: {effect:?} after {others}, killed after {killed:?}");
        let restore = || restore_set(&server, &safety, FRESH, DIRECTORY, &Silent);
        wait_for(async {
            if round % 2 == 0 {
                with_cut(&world, others, effect, restore()).await.unwrap();
            } else {
                let died = tokio::time::timeout(killed, restore()).await;
                println!("  done: {}", died.is_ok());
                restore().await.unwrap();
            }
        });
        assert_eq!(databases(&world), [name.clone(), FRESH.to_owned()]);
        world.sql_in(
            "postgres",
            &format!("alter database \"{FRESH}\" allow_connections true"),
        );
        assert_eq!(world.sql_in(FRESH, CONTENT), content);
        wait_for(server.drop_database(FRESH, &Silent)).unwrap();
        far_side.expect_as_before();
    }
}

#[test]
fn what_differs_from_the_dump_is_reported_rows_apart_from_what_is_lost() {
    let world = World::shared();
    let server = server(&world);
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path());
    let safety = wait_for(SafetySet::open(&Opener::local(), &set, None)).unwrap();
    let mapping = own(&safety);
    let compared = || {
        wait_for(async {
            let source = safety.source();
            let held = workspaces(&set);
            compare(&server, source, held.as_ref(), &mapping).await
        })
        .unwrap()
    };
    assert_eq!(compared().into_differences(), [""; 0]);

    world.sql("create table upgraded (n integer); insert into upgraded values (1)");
    let told = compared();
    assert_eq!(told.differences, [""; 0]);
    assert_eq!(
        told.row_differences,
        ["the table public.upgraded has 1 row, and is not in the dump"]
    );
    world.sql("drop table upgraded");

    // The last ones: nothing but their nodes depends on them.
    let lost = world.sql("select workspace_id from workspace order by 1 desc limit 1");
    let lost = lost.trim();
    // As pgmig's last step left undone, and as a workspace lost.
    world.sql(&format!(
        "create table kept as select * from workspace where workspace_id = '{lost}';
         create table kept_nodes as select * from dialog_node where workspace_id = '{lost}';
         delete from workspace where workspace_id = '{lost}'"
    ));
    let told = compared().differences;
    assert_eq!(told, [format!("1 workspace is missing: {lost}")]);
    world.sql("insert into workspace select * from kept; insert into dialog_node select * from kept_nodes; drop table kept, kept_nodes");
    assert_eq!(compared().into_differences(), [""; 0]);
}
