//! A user with the roles of one plugin: what it runs, what that asked the API server for, and by which rule.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::{Outcome, Shapes, World, binary, run, sweep_random, sweep_rounds};
use kube_sandbox::meta::request::RequestInfo;
use rand::seq::IndexedRandom as _;
use serde_json::Value;

use super::OPERATORS;

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
pub(super) struct User<'a> {
    world: &'a World,
    directory: &'a Path,
    kubeconfig: PathBuf,
    /// Another user with the same roles.
    second: PathBuf,
    plugin: &'static str,
    name: String,
    shapes: Shapes,
    /// The sections whose shape some output had.
    pub(super) held: RefCell<BTreeSet<String>>,
    /// The Roles and ClusterRoles that are bound to the user.
    roles: Vec<Value>,
}

impl<'a> User<'a> {
    pub(super) fn new(world: &'a World, directory: &'a Path, plugin: &'static str) -> Self {
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
    pub(super) fn all(&self, commands: &[(&[&str], i32)]) {
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
    pub(super) fn expect_least(&self) {
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
    pub(super) fn expect_each_rule_needed(&self, commands: &[&[&str]], leftovers: &[&str]) {
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
