//! The roles that `kubectl wa-backup rbac` prints are enough for every command, and no rule of them is too much. What
//! the commands print on the way is as docs/output.md says.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set itself up has failed, and shows what it did"
)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{Outcome, Restored, Shapes, World, binary, run, sweep_random, sweep_rounds};
use kube_sandbox::meta::request::RequestInfo;
use rand::seq::IndexedRandom as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use wa_sandbox::world::{Instances, Profile};

const OPERATORS: [&str; 2] = ["--operators-namespace", "cpd-operators"];
const SNAPSHOT: [&str; 2] = [
    "--via=snapshot",
    "--snapshot-class=ocs-storagecluster-rbdplugin-snapclass",
];

/// Rules that only what goes wrong takes: they are asked for before a command begins, and no command of this test uses them.
const FOR_FAULTS: [(&str, &str, &str); 10] = [
    // An answer that was lost, or another process that wrote the record.
    ("wa-backup", "get", "leases"),
    ("wa-pvc", "get", "leases"),
    // A restore that is rolled back before the key was exchanged.
    ("wa-restore", "delete", "secrets"),
    // An operator that does not do its part.
    ("wa-retrain", "patch", "temporarypatches"),
    ("wa-retrain", "patch", "watsonassistantstores"),
    ("wa-retrain", "patch", "watsonassistantclus"),
    ("wa-retrain", "patch", "watsonassistantcluruntimes"),
    ("wa-retrain", "patch", "watsonassistantclutrainings"),
    ("wa-retrain", "patch", "deployments"),
    // A release that keeps the address of the resource controller there; the journal takes it anyway.
    ("wa-restore", "list", "deployments"),
];

/// A user with the roles of one plugin and nothing else.
struct User<'a> {
    world: &'a World,
    directory: &'a Path,
    kubeconfig: PathBuf,
    /// Another user with the same roles.
    second: PathBuf,
    plugin: &'static str,
    name: String,
    shapes: Shapes,
    /// The sections whose shape some output had.
    held: RefCell<BTreeSet<String>>,
    /// The Roles and ClusterRoles that are bound to the user.
    roles: Vec<Value>,
}

impl<'a> User<'a> {
    fn new(world: &'a World, directory: &'a Path, plugin: &'static str) -> Self {
        let name = format!("user-of-{plugin}");
        // What is refused to the second one, rules were taken away for.
        let second = format!("second-{name}");
        let both = ["--bind-user", &name, "--bind-user", &second];
        let roles = generated(world, plugin, &both);
        apply(world, directory, &roles);
        let items = roles["items"].as_array().unwrap().iter();
        let roles = items.filter(|one| one.get("rules").is_some());
        Self {
            world,
            directory,
            kubeconfig: world.sandbox().user_kubeconfig(&name).unwrap(),
            second: world.sandbox().user_kubeconfig(&second).unwrap(),
            plugin,
            roles: roles.cloned().collect(),
            name,
            shapes: Shapes::documented(),
            held: RefCell::default(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_as(&self.kubeconfig, arguments)
    }

    fn run_as(&self, user: &Path, arguments: &[&str]) -> Outcome {
        let mut command = std::process::Command::new(binary(&format!("kubectl-{}", self.plugin)));
        command
            .env("KUBECONFIG", user)
            .args(arguments)
            .current_dir(self.directory);
        run(&mut command)
    }

    /// Fails the test with what was printed unless each of the commands ends so.
    #[track_caller]
    fn all(&self, commands: &[(&[&str], i32)]) {
        for (arguments, code) in commands {
            let started = std::time::Instant::now();
            let outcome = self
                .run(&[*arguments, &["-o", "json"]].concat())
                .expect_code(*code);
            let heading = documented(self.plugin, arguments);
            let problems = self.shapes.problems(&heading, &outcome.json());
            assert_eq!(problems, [""; 0], "{}", outcome.stdout);
            self.held.borrow_mut().insert(heading);
            println!("{} {arguments:?}: {:?}", self.plugin, started.elapsed());
        }
    }

    /// What this user has asked for, and whether it was refused.
    fn asked(&self) -> Vec<(Action, bool)> {
        let requests = self.world.sandbox().requests();
        let own = requests.iter().filter(|one| one.user == self.name);
        let resources = own.filter(|one| one.info().is_resource());
        let resources = resources.filter(|one| !one.uri.contains("/selfsubjectaccessreviews"));
        let actions = resources.flat_map(|one| {
            let info = one.info();
            // The API server takes a WebSocket, which is opened with GET, for both.
            let exec = (info.subresource == "exec").then(|| RequestInfo {
                verb: "create".to_owned(),
                ..info.clone()
            });
            [Some(info), exec]
                .into_iter()
                .flatten()
                .map(|info| (Action(info), one.status == 403))
                .collect::<Vec<_>>()
        });
        actions.collect()
    }

    /// Every rule was used, and only what is optional was refused.
    #[track_caller]
    fn expect_least(&self) {
        let asked = self.asked();
        for role in &self.roles {
            for (verb, rule) in rules(role) {
                let faults = FOR_FAULTS.iter().any(|(plugin, of, resource)| {
                    *plugin == self.plugin && *of == verb && rule["resources"][0] == *resource
                });
                let mut used = asked.iter().filter(|(_, refused)| !refused);
                assert!(
                    faults || used.any(|(action, _)| action.is_allowed_by(role, &rule, &verb)),
                    "no command of {} uses {verb} of {rule} in {}",
                    self.plugin,
                    role["metadata"]
                );
            }
        }
        let optional = generated(self.world, self.plugin, &["--with-optional"]);
        for (action, _) in asked.iter().filter(|(_, refused)| *refused) {
            let roles = optional["items"].as_array().unwrap();
            let known = roles.iter().any(|role| {
                let mut all = rules(role).into_iter();
                all.any(|(verb, rule)| action.is_allowed_by(role, &rule, &verb))
            });
            // Whether a namespace exists is asked for a better message alone; a release has one of several secrets.
            let message = action.0.resource == "namespaces";
            assert!(known || message, "{} is refused {action:?}", self.plugin);
        }
    }

    /// Takes one rule away at a time, and sees one of `commands` refused for it each time.
    #[track_caller]
    fn expect_each_rule_needed(&self, commands: &[&[&str]], leftovers: &[&str]) {
        let mut all = Vec::new();
        for role in &self.roles {
            let rules = role["rules"].as_array().unwrap();
            all.extend((0..rules.len()).map(|at| (role, at)));
        }
        // What is needed only where an interrupted run has left something.
        all.retain(|(role, at)| {
            let resource = role["rules"][*at]["resources"][0].as_str().unwrap();
            !leftovers.contains(&resource)
        });
        let rounds = sweep_rounds(3, all.len());
        let chosen: Vec<_> = if rounds == all.len() {
            all.iter().collect()
        } else {
            all.sample(&mut sweep_random(), rounds).collect()
        };
        for (role, at) in chosen {
            let mut less = (*role).clone();
            let removed = less["rules"].as_array_mut().unwrap().remove(*at);
            apply(self.world, self.directory, &less);
            let refused = commands.iter().find(|command| {
                let outcome = self.run_as(&self.second, command);
                let told = outcome.everything();
                let told = ["you may not", "forbidden", "Forbidden"]
                    .iter()
                    .any(|word| told.contains(word));
                outcome.code != 0 && told
            });
            println!("{}: without {removed}: {refused:?}", self.plugin);
            assert!(refused.is_some(), "{} does not need {removed}", self.plugin);
            apply(self.world, self.directory, role);
        }
    }
}

/// The section of docs/output.md that has what a command prints.
fn documented(plugin: &str, arguments: &[&str]) -> String {
    let command = match arguments {
        ["schedule", second, ..] => format!("schedule {second}"),
        ["inspect", .., "--rows", _] => "inspect --rows".to_owned(),
        // What is not done is planned.
        ["scale" | "start" | "run", .., "--dry-run"] if plugin == "wa-retrain" => "plan".to_owned(),
        ["plan", .., "--manifests"] => "plan --manifests".to_owned(),
        ["upgrade-path", _, ..] => "upgrade-path FROM TO".to_owned(),
        ["rehearse", "--clean-up"] => "rehearse --clean-up".to_owned(),
        [command @ ("create" | "pull" | "rehearse"), .., "--dry-run"] => {
            format!("{command} --dry-run")
        }
        [command, ..] => (*command).to_owned(),
        [] => "create".to_owned(),
    };
    format!("kubectl {plugin} {command}")
}

/// A request.
#[derive(Debug)]
struct Action(RequestInfo);

impl Action {
    fn is_allowed_by(&self, in_role: &Value, rule: &Value, verb: &str) -> bool {
        let Self(asked) = self;
        let resource = match asked.subresource.as_str() {
            "" => asked.resource.clone(),
            subresource => format!("{}/{subresource}", asked.resource),
        };
        let namespace = in_role["metadata"].get("namespace");
        let names = rule["resourceNames"].as_array();
        namespace.is_none_or(|namespace| *namespace == asked.namespace)
            && rule["apiGroups"][0] == asked.group
            && rule["resources"][0] == resource
            && names.is_none_or(|names| names.iter().any(|name| *name == asked.name))
            && asked.verb == verb
    }
}

/// Each verb of each rule of a role.
fn rules(role: &Value) -> Vec<(String, Value)> {
    let rules = role["rules"].as_array().into_iter().flatten();
    let verbs = rules.flat_map(|rule| {
        let verbs = rule["verbs"].as_array().unwrap().iter();
        verbs.map(|verb| (verb.as_str().unwrap().to_owned(), rule.clone()))
    });
    verbs.collect()
}

/// What an administrator is printed for a plugin.
#[track_caller]
fn generated(world: &World, plugin: &str, more: &[&str]) -> Value {
    let of = plugin.strip_prefix("wa-").unwrap();
    let mut command = world.command(binary("kubectl-wa-backup"));
    command
        .args(["rbac", "--for", of, "-o", "json"])
        .args(OPERATORS);
    run(command.args(more)).expect_code(0).json()
}

#[track_caller]
fn apply(world: &World, directory: &Path, objects: &Value) {
    let file = directory.join("roles.json");
    fs::write(&file, objects.to_string()).unwrap();
    world.kubectl(&["apply", "-f", file.to_str().unwrap()]);
}

/// A target of a restore, in which patches take effect within seconds.
fn quick() -> Restored {
    Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.instances = Instances::Target;
        config.variant.operator_period = Duration::from_secs(1);
        config.variant.retrain_speed = 600;
    })
}

fn use_volume(pvc: &User<'_>) {
    pvc.all(&[
        (&["info"], 0),
        (&["list"], 0),
        (&["pull", "--latest", "--to", "pulled"], 0),
        (
            &[&["pull", "--latest", "--to", "snapshot"], &SNAPSHOT[..]].concat(),
            0,
        ),
    ]);
}

fn back_up(backup: &User<'_>) {
    backup.all(&[
        (&["check"], 0),
        (&["create", "--to", "own"], 0),
        (&["diff", "sets/latest", "live"], 0),
        (&["schedule", "show"], 0),
        (&["schedule", "set", "--keep-daily", "7", "--watch", "0"], 0),
        (&["schedule", "suspend", "--watch", "0"], 0),
        (&["schedule", "resume", "--watch", "0"], 0),
        (&["trigger", "--pull", "--to", "triggered"], 0),
    ]);
}

/// What is documented of the output for programs, and held to by other tests: the section, and the test's file.
const HELD_ELSEWHERE: [(&str, &str); 4] = [
    ("kubectl wa-restore resume", "restore_interrupted.rs"),
    ("kubectl wa-restore rollback", "restore_interrupted.rs"),
    ("kubectl wa-retrain scale", "retrain_change.rs"),
    ("kubectl wa-retrain start", "retrain_change.rs"),
];

/// Every shape that is documented was that of some output, here or in another test.
#[track_caller]
fn expect_every_shape_held(users: &[&User<'_>]) {
    let mut held: BTreeSet<String> = BTreeSet::new();
    for user in users {
        held.extend(user.held.borrow().iter().cloned());
    }
    for (heading, file) in HELD_ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(file);
        let test = fs::read_to_string(path).unwrap();
        let call = format!("expect_shape(\"{heading}\")");
        assert!(test.contains(&call), "no {call} in {file}");
        held.insert(heading.to_owned());
    }
    let shapes = Shapes::documented();
    let not_held: Vec<&str> = shapes
        .commands()
        .filter(|one| !held.contains(*one))
        .collect();
    assert_eq!(not_held, [""; 0], "documented, and held to by no test");
}

/// Interrupts runs, and has each user remove what they left.
fn clean_up(world: &World, directory: &Path, users: [&User<'_>; 2]) {
    for user in users {
        let interrupted = [&["pull", "--latest", "--to", "s"], &SNAPSHOT[..]].concat();
        world.signal_pvc_at(("GET", "-helper"), Signal::KILL, &interrupted);
        user.all(&[(&["cleanup"], 0)]);
        let mut running = world.start_backup(directory, &["trigger", "--wait"]);
        running.until(("POST", "/jobs"));
        running.signal(Signal::KILL);
        running.end();
        user.all(&[(&["cleanup"], 0)]);
    }
    world.expect_nothing_left();
}

fn restore_all(restore: &User<'_>) {
    let pgmig = binary("pgmig");
    let how = [
        "sets/latest",
        "--mapping",
        "mapping.yaml",
        "--pgmig",
        pgmig.to_str().unwrap(),
    ];
    let how = [&how[..], &OPERATORS].concat();
    restore.all(&[
        (&[&["check"], &how[..]].concat(), 0),
        (&[&["plan"], &how[..]].concat(), 0),
        (&["mapping", "sets/latest", "--mapping", "mapping.yaml"], 0),
        (&["config", "--to", "configuration"], 0),
        (&["rehearse", "sets/latest"], 0),
    ]);
    // Afterwards the encryption keys are equal.
    restore.expect_each_rule_needed(
        &[
            &[&["check"], &how[..]].concat(),
            &["rehearse", "sets/latest", "--dry-run"],
            &["status"],
        ],
        &[],
    );
    restore.all(&[
        (
            &[&["run", "--yes=wa", "--timeout", "2m"], &how[..]].concat(),
            0,
        ),
        (&["status"], 0),
    ]);
}

/// Commands of which the output is of interest alone.
fn print_more(pvc: &User<'_>, backup: &User<'_>, restore: &User<'_>) {
    backup.all(&[
        (&["verify", "sets/latest"], 0),
        (&["inspect", "sets/latest"], 0),
        (&["inspect", "sets/latest", "--rows", "tenant"], 0),
        (&["list", "sets"], 0),
        (&["copy", "sets/latest", "copies"], 0),
        (&["protect", "sets/latest"], 0),
        (&["prune", "sets", "--keep-last", "1", "--dry-run"], 0),
        (&["status", "sets"], 0),
        (&["create", "--dry-run"], 0),
        (&["rbac"], 0),
        (&["trigger", "--dry-run"], 0),
    ]);
    pvc.all(&[
        (&["pull", "--latest", "--to", "pulled", "--dry-run"], 0),
        (&["cleanup", "--dry-run"], 0),
    ]);
    restore.all(&[
        (&["upgrade-path"], 0),
        (&["upgrade-path", "4.8.8", "5.2.1"], 4),
        (&["rehearse", "sets/latest", "--dry-run"], 0),
        (&["rehearse", "--clean-up"], 0),
    ]);
}

fn retrain_all(retrain: &User<'_>) {
    let impatient = [&["--timeout", "3m", "--force"], &OPERATORS[..]].concat();
    retrain.all(&[
        (&["estimate"], 0),
        (&["plan", "--replicas", "4"], 0),
        (&["plan", "--replicas", "4", "--manifests"], 0),
        (
            &[
                &["scale", "--replicas", "2"],
                &OPERATORS[..],
                &["--dry-run"],
            ]
            .concat(),
            0,
        ),
        (&[&["check"], &OPERATORS[..]].concat(), 0),
        (
            &[
                &[
                    "run",
                    "--replicas",
                    "2",
                    "--in",
                    "5s",
                    "--yes",
                    "--interval",
                    "300ms",
                ],
                &impatient[..],
            ]
            .concat(),
            0,
        ),
        (&["status"], 7),
        (&["finish"], 0),
        (&["doctor"], 0),
    ]);
}

fn need_every_rule(pvc: &User<'_>, backup: &User<'_>, retrain: &User<'_>) {
    pvc.expect_each_rule_needed(
        &[
            &["info"],
            &["pull", "--latest", "--to", "x", "--dry-run"],
            &[&["pull", "--latest", "--to", "x"], &SNAPSHOT[..]].concat(),
            &["cleanup"],
        ],
        &["jobs"],
    );
    backup.expect_each_rule_needed(
        &[
            &["check"],
            &["trigger", "--wait", "--dry-run"],
            &["trigger", "--pull", "--dry-run"],
            &["schedule", "show"],
            &["schedule", "suspend", "--dry-run"],
            &["cleanup"],
        ],
        &["volumesnapshots"],
    );
    retrain.expect_each_rule_needed(
        &[
            &[&["check"], &OPERATORS[..]].concat(),
            &["plan", "--replicas", "4"],
            &["status"],
        ],
        &[],
    );
}

#[test]
fn every_command_works_under_the_printed_roles_of_which_every_rule_is_used_and_needed() {
    let restored = quick();
    let (world, directory) = (restored.world(), restored.directory());
    let user = |plugin| User::new(world, directory, plugin);
    let (pvc, backup) = (user("wa-pvc"), user("wa-backup"));
    use_volume(&pvc);
    back_up(&backup);
    clean_up(world, directory, [&pvc, &backup]);
    pvc.expect_least();
    backup.expect_least();
    let restore = user("wa-restore");
    restore_all(&restore);
    restore.expect_least();
    print_more(&pvc, &backup, &restore);
    let retrain = user("wa-retrain");
    retrain_all(&retrain);
    retrain.expect_least();
    expect_every_shape_held(&[&pvc, &backup, &restore, &retrain]);
    need_every_rule(&pvc, &backup, &retrain);
}

#[test]
fn one_command_alone_takes_the_roles_of_that_command_alone() {
    let world = World::shared();
    let scratch = world.scratch();
    let mut command = world.command(binary("kubectl-wa-backup"));
    command.args([
        "rbac",
        "--for",
        "backup:create",
        "--bind-service-account",
        "cpd:nightly",
    ]);
    let yaml = run(&mut command).expect_code(0).stdout;
    let file = scratch.path().join("roles.yaml");
    fs::write(&file, &yaml).unwrap();
    world.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let allowed = |verb: &str, resource: &str| {
        let who = "--as=system:serviceaccount:cpd:nightly";
        let mut kubectl = world.command("kubectl");
        run(kubectl.args(["auth", "can-i", verb, resource, who])).code == 0
    };
    assert!(allowed("list", "pods"), "{yaml}");
    assert!(allowed("get", "secrets/wa-auth-encryption"), "{yaml}");
    assert!(!allowed("get", "secrets/other"), "{yaml}");
    assert!(!allowed("create", "jobs.batch"), "{yaml}");
    // The YAML with its comments says what the objects of -o json do.
    let mut again = world.command(binary("kubectl-wa-backup"));
    again.args([
        "rbac",
        "--for",
        "backup:create",
        "--bind-service-account",
        "cpd:nightly",
        "-o",
        "json",
    ]);
    let objects = run(&mut again).expect_code(0).json();
    let applied = world.kubectl(&[
        "get",
        "role",
        "wa-backup-create-wa",
        "-o",
        "jsonpath={.rules}",
    ]);
    let applied: Value = serde_json::from_str(&applied).unwrap();
    assert_eq!(applied, objects["items"][0]["rules"]);
    let above: BTreeSet<&str> = yaml
        .lines()
        .zip(yaml.lines().skip(1))
        .filter(|(_, line)| line.starts_with("- apiGroups"))
        .map(|(above, _)| &above[..1])
        .collect();
    assert_eq!(above, BTreeSet::from(["#"]), "{yaml}");
}

#[test]
fn what_cannot_be_known_without_a_cluster_is_asked_for_by_name() {
    let rbac = |arguments: &[&str]| {
        let mut command = std::process::Command::new(binary("kubectl-wa-backup"));
        command
            .env("KUBECONFIG", "/nowhere")
            .arg("rbac")
            .args(arguments);
        run(&mut command)
    };
    let known = ["-n", "cpd", "-i", "wa"];
    let first = rbac(&known).expect_code(0).stdout;
    assert_eq!(first, rbac(&known).expect_code(0).stdout);
    rbac(&[&["--for", "all"], &known[..], &OPERATORS].concat()).expect_code(0);
    rbac(&["--for", "backup:verify"])
        .expect_code(1)
        .expect_error(&["the commands of backup that ask a cluster are create, check, diff"]);
    rbac(&["--for", "everything"]).expect_code(1);
    rbac(&["--bind-service-account", "nightly"])
        .expect_code(1)
        .expect_error(&["NAMESPACE:NAME"]);
}

/// The commands below one, or of a plugin, that print a result.
fn commands_of(plugin: &str, above: &[&str]) -> Vec<String> {
    let none = ["help", "completion", "options"];
    let mut help = std::process::Command::new(binary(&format!("kubectl-{plugin}")));
    let help = run(help.args(above).arg("-h")).expect_code(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    // A description may go on in a second line.
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|command| !command.is_empty() && !none.contains(command))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_a_section_in_the_documentation_of_output() {
    let shapes = Shapes::documented();
    for plugin in ["wa-backup", "wa-pvc", "wa-restore", "wa-retrain"] {
        let commands = commands_of(plugin, &[]);
        assert!(commands.len() > 3, "{commands:?}");
        for command in commands {
            let below = commands_of(plugin, &[&command]);
            let below: Vec<String> = below
                .iter()
                .map(|below| format!("{command} {below}"))
                .collect();
            let group = !below.is_empty();
            for command in if group { below } else { vec![command] } {
                let heading = format!("kubectl {plugin} {command}");
                assert!(shapes.has(&heading), "no {heading} in docs/output.md");
            }
        }
    }
    // What is not as documented is found.
    let report = json!({"namespace": "cpd", "ok": 1, "checks": [{"name": "a", "result": "ok", "detail": "", "more": ""}]});
    assert_eq!(
        shapes.problems("kubectl wa-backup check", &report),
        [
            "kubectl wa-backup check: ok is no boolean: 1",
            "kubectl wa-backup check: checks has more, which is not documented",
        ]
    );
    assert_eq!(
        shapes.problems("Tool", &json!({"name": "a"})),
        ["Tool has no version"]
    );
    assert_eq!(
        shapes.problems(
            "kubectl wa-backup inspect --rows",
            &json!([{"a": "1", "b": 2}])
        ),
        ["kubectl wa-backup inspect --rows: b is no string: 2"]
    );
}
