//! `rbac`: the least roles that let somebody do what the plugins do, for `kubectl apply -f -`.

mod roles;
mod scope;
mod yaml;

use std::io::{self, Write};

use anyhow::{Context as _, ensure};
use bucket_claims::to_reach;
use serde::{Serialize, Serializer};
use serde_json::json;
use wa_common::assistant::{Instance, find_operator};
use wa_common::cli::{About, Candidate, Context, Exit, Render};
use wa_common::cluster::is_label;
use wa_common::preflight::{Access, Place};
use wa_common::report::Styles;

use roles::{Namespaces, Role, Subject, roles_of};
use scope::Scope;

pub(super) const ABOUT: About = About {
    examples: &[
        "kubectl wa-backup rbac",
        "kubectl wa-backup rbac --for backup:create --bind-service-account cpd:nightly | kubectl apply -f -",
        "kubectl wa-backup rbac --for restore --operators-namespace cpd-operators --bind-user alice",
        "kubectl wa-backup rbac --for all -n cpd -i wa --operators-namespace cpd-operators --with-optional",
    ],
    changes: "nothing: it prints, and `kubectl apply -f -` makes the roles",
    permissions: scope::to_look,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A comment above each rule says which verb is for what, and which commands need it. The rules are those that the \
commands ask for before they begin. With -n, -i and --operators-namespace no cluster is asked.

To apply roles takes an administrator: Kubernetes lets nobody grant what they may not do themselves. Whoever may run commands in \
the pods of PostgreSQL can read the whole database."
)]
pub(super) struct Args {
    /// What the roles are for: backup, pvc, restore, retrain, all, or one command, such as backup:create or backup:schedule-show;
    /// repeatable
    #[arg(long = "for", value_name = "PLUGIN", default_value = "backup")]
    scopes: Vec<Scope>,

    /// User that the roles are bound to, repeatable; without any of these, nobody is
    #[arg(long, value_name = "NAME")]
    bind_user: Vec<String>,

    /// Group that the roles are bound to, repeatable
    #[arg(long, value_name = "NAME")]
    bind_group: Vec<String>,

    /// Service account that the roles are bound to, repeatable
    #[arg(long, value_name = "NAMESPACE:NAME", value_parser = service_account)]
    bind_service_account: Vec<Subject>,

    /// Add what the commands can do without, such as looking at nodes, in a ClusterRole where it is in no namespace
    #[arg(long)]
    with_optional: bool,

    /// Namespace of the Watson Assistant operator [default: where its Deployment is]
    #[arg(long, value_name = "NAMESPACE")]
    operators_namespace: Option<String>,

    /// Add the way over Portworx, whose pods are in this namespace: as good as root on its nodes
    #[arg(long, value_name = "NAMESPACE")]
    portworx_namespace: Option<String>,

    /// Add what obc://CLAIM takes, of this ObjectBucketClaim: reading its keys is reading all backups in its bucket
    #[arg(long, value_name = "CLAIM")]
    bucket_claim: Option<String>,

    /// Add the way there over a Route or a port-forward, to the object storage in this namespace
    #[arg(long, value_name = "NAMESPACE", requires = "bucket_claim")]
    object_storage_namespace: Option<String>,
}

/// The values of `--for`.
pub(super) fn scopes() -> Vec<Candidate> {
    scope::all().into_iter().map(Candidate::new).collect()
}

/// `kubectl create rolebinding --serviceaccount` takes it so too.
fn service_account(text: &str) -> Result<Subject, String> {
    match text.split_once(':') {
        Some((namespace, name)) if is_label(namespace) && !name.is_empty() => {
            Ok(Subject::service_account(namespace, name))
        }
        _ => Err("expected NAMESPACE:NAME".to_owned()),
    }
}

pub(super) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let (namespace, instance) = instance(context).await?;
    let mut chosen = Vec::new();
    for scope in &args.scopes {
        for plugin in scope.plugins() {
            if !chosen.contains(&plugin) {
                chosen.push(plugin);
            }
        }
    }
    let wanted = |access: &Access| {
        (args.with_optional || access.without.is_none())
            && match access.place {
                Place::Portworx => args.portworx_namespace.is_some(),
                Place::ObjectStorage => args.object_storage_namespace.is_some(),
                _ => true,
            }
    };
    let bucket = args.bucket_claim.as_deref().map(to_reach);
    let mut needed = Vec::new();
    for plugin in chosen {
        let mut commands = Vec::new();
        for command in plugin.commands() {
            let access = (command.access)(&instance).into_iter().filter(wanted);
            commands.push((command.command, access.collect::<Vec<_>>()));
        }
        if let Some(bucket) = &bucket {
            let access = bucket.iter().filter(|access| wanted(access)).cloned();
            commands.push(("obc://", access.collect()));
        }
        needed.push((plugin.role_name(), commands));
    }
    let places = needed.iter().flat_map(|(_, commands)| commands);
    let mut places = places.flat_map(|(_, access)| access);
    let operator = if places.any(|access| access.place == Place::Operator) {
        Some(operators_namespace(args, context).await?)
    } else {
        None
    };
    let namespaces = Namespaces {
        instance: namespace.clone(),
        operator,
        portworx: args.portworx_namespace.clone(),
        object_storage: args.object_storage_namespace.clone(),
    };
    let named = [
        &namespaces.operator,
        &namespaces.portworx,
        &namespaces.object_storage,
    ];
    for named in named.into_iter().flatten() {
        ensure!(is_label(named), "{named:?} is no name of a namespace");
    }
    let roles = needed
        .iter()
        .flat_map(|(name, commands)| roles_of(name, &instance, &namespaces, commands));
    let report = Report {
        roles: roles.collect(),
        subjects: args.subjects(),
        instance,
        namespace,
    };
    context.print(&report)?;
    Ok(Exit::Done)
}

/// The namespace and the name of the instance, which the cluster is asked for where they are not given.
async fn instance(context: &Context) -> anyhow::Result<(String, String)> {
    let global = &context.global;
    let named = (&global.connection.namespace, &global.instance);
    let (namespace, name) = if let (Some(namespace), Some(name)) = named {
        (namespace.clone(), name.clone())
    } else {
        let cluster = context.connect()?;
        let name = match &global.instance {
            Some(name) => name.clone(),
            None => Instance::find(&cluster, None).await?.name,
        };
        (cluster.namespace().to_owned(), name)
    };
    for name in [&namespace, &name] {
        ensure!(
            is_label(name),
            "{name:?} is no name of a namespace or an instance"
        );
    }
    Ok((namespace, name))
}

async fn operators_namespace(args: &Args, context: &Context) -> anyhow::Result<String> {
    if let Some(namespace) = &args.operators_namespace {
        return Ok(namespace.clone());
    }
    let operator = find_operator(&context.connect()?, None).await?;
    let namespace = operator.metadata.namespace;
    namespace.context("the Deployment of the operator is in no namespace")
}

impl Args {
    fn subjects(&self) -> Vec<Subject> {
        let users = self.bind_user.iter().map(|name| Subject::user(name));
        let groups = self.bind_group.iter().map(|name| Subject::group(name));
        let accounts = self.bind_service_account.iter().cloned();
        users.chain(groups).chain(accounts).collect()
    }
}

/// The roles, and who they are bound to.
struct Report {
    roles: Vec<Role>,
    subjects: Vec<Subject>,
    instance: String,
    namespace: String,
}

/// As a list, which `kubectl apply` takes too.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let objects = self.roles.iter();
        let objects: Vec<_> = objects
            .flat_map(|role| yaml::objects(role, &self.subjects))
            .collect();
        json!({"apiVersion": "v1", "kind": "List", "items": objects}).serialize(serializer)
    }
}

impl Render for Report {
    fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
        let what = format!(
            "For instance {} in namespace {}, to be applied with `kubectl apply -f -`",
            self.instance, self.namespace
        );
        yaml::comment(out, &what)?;
        if self.subjects.is_empty() {
            let nobody = "Nobody has these roles yet: see --bind-user, --bind-group and --bind-service-account";
            yaml::comment(out, nobody)?;
        }
        for role in &self.roles {
            yaml::write_role(out, role)?;
            if !self.subjects.is_empty() {
                yaml::write_binding(out, role, &self.subjects)?;
            }
        }
        Ok(())
    }

    fn wraps(&self) -> bool {
        false
    }

    fn names(&self) -> Vec<String> {
        let bound = !self.subjects.is_empty();
        let names = self.roles.iter().flat_map(|role| {
            let kind = yaml::kind(role).to_lowercase();
            let binding = bound.then(|| format!("{kind}binding/{}", role.name));
            [Some(format!("{kind}/{}", role.name)), binding]
        });
        names.flatten().collect()
    }
}
