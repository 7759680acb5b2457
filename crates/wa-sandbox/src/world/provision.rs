//! Filling the databases once their pods are ready.

use std::fmt::Write as _;

use bytes::Bytes;
use kube_sandbox::node::{Node, Target};
use kube_sandbox::store::Store;

use super::manifests::{etcd, postgres};
use super::pods::{self, Shell};
use super::secrets::Credentials;
use super::seed::{self, Seed, Snapshots, WORKSPACES};
use super::{Installed, Instances, Names, World, WorldError, backups, tenants};

const SCHEMA: &str = include_str!("scripts/schema.sql");

impl World {
    /// Fills the databases of every instance.
    pub(crate) async fn provision(
        &self,
        store: &Store,
        node: &Node,
        seed: Seed,
    ) -> Result<(), WorldError> {
        for installed in &self.installed {
            installed.provision(store, node, seed).await?;
        }
        Ok(())
    }
}

impl Installed {
    /// Waits for the databases, fills them and takes the earlier backups. The bulk of a large database comes last, so
    /// that those are small.
    async fn provision(&self, store: &Store, node: &Node, seed: Seed) -> Result<(), WorldError> {
        let (etcd, store_database) = tokio::join!(self.fill_etcd(store, node), async {
            self.create_database(store, node).await?;
            backups::take(store, node, &self.names).await?;
            self.load_snapshots(node, seed).await
        });
        etcd.and(store_database)
    }

    async fn create_database(&self, store: &Store, node: &Node) -> Result<(), WorldError> {
        pods::ready(store, &self.names.namespace, &self.names.primary_pod()).await?;
        let script = store_script(&self.names, &self.credentials, self.instances);
        self.psql(node, &["--dbname=postgres"], [Bytes::from(script)])
            .await
    }

    async fn load_snapshots(&self, node: &Node, seed: Seed) -> Result<(), WorldError> {
        let database = format!("--dbname={}", self.names.database());
        // A table emptied in the same transaction is loaded without a write-ahead log of the same size.
        let load = [
            &database,
            "--single-transaction",
            "--command=TRUNCATE snapshot",
            "--command",
            seed::COPY,
            "--command=SELECT setval('snapshot_number', max(snapshot_id)) FROM snapshot",
        ];
        self.psql(
            node,
            &load,
            Snapshots::new(seed, self.instances.first_workspace()),
        )
        .await
    }

    async fn psql(
        &self,
        node: &Node,
        arguments: &[&str],
        stdin: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), WorldError> {
        let argv = [
            &["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"],
            arguments,
        ]
        .concat();
        self.shell(node, self.names.primary_pod(), "postgres")
            .run(&argv, stdin)
            .await
    }

    async fn fill_etcd(&self, store: &Store, node: &Node) -> Result<(), WorldError> {
        pods::ready(store, &self.names.namespace, &self.names.etcd_pod()).await?;
        let shell = self.shell(node, self.names.etcd_pod(), "etcd");
        let endpoint = format!("--endpoints=https://{}:{}", self.names.etcd(), etcd::PORT);
        let [cert, key, ca] = etcd::client_flags();
        // Creating a user hashes a password, slowly by design; five seconds are few on a busy machine.
        let patience = "--command-timeout=60s";
        let etcdctl = ["etcdctl", patience, &endpoint, &cert, &key, &ca];
        let password = Bytes::from(self.credentials.etcd_password.clone());
        for (arguments, stdin) in [
            (
                &["txn"][..],
                Bytes::from(workspace_transaction(&self.names, self.instances)),
            ),
            (
                &["user", "add", "root", "--interactive=false"][..],
                password,
            ),
            (&["role", "add", "root"][..], Bytes::new()),
            (&["user", "grant-role", "root", "root"][..], Bytes::new()),
            (&["auth", "enable"][..], Bytes::new()),
        ] {
            shell.run(&[&etcdctl, arguments].concat(), [stdin]).await?;
        }
        Ok(())
    }

    fn shell<'a>(&self, node: &'a Node, pod: String, container: &str) -> Shell<'a> {
        let target = Target {
            namespace: self.names.namespace.clone(),
            pod,
            container: container.to_owned(),
            is_scheduled: true,
        };
        Shell { node, target }
    }
}

/// What psql, as the superuser, makes the store's database and its user of.
pub(super) fn store_script(
    names: &Names,
    credentials: &Credentials,
    instances: Instances,
) -> String {
    let (user, database) = (postgres::USER, names.database());
    let password = credentials.database_password.replace('\'', "''");
    format!(
        "CREATE ROLE {user} LOGIN PASSWORD '{password}';\n\
         CREATE DATABASE \"{database}\" OWNER {user};\n\
         \\connect \"{database}\"\n\
         SET ROLE {user};\n\
         \\set workspaces {WORKSPACES}\n\
         \\set first_workspace {}\n\
         \\set schema_version {}\n\
         {}",
        instances.first_workspace(),
        names.schema_version,
        schema(instances)
    )
}

/// The schema with the instances of an installation. The workspaces belong to them and to one row after them.
fn schema(instances: Instances) -> String {
    let rows = instances.tenants();
    let instances = rows.iter().filter(|one| one.is_instance()).count();
    let owners = rows.iter().take(instances + 1);
    let owners: Vec<_> = owners.map(|one| format!("'{}'", one.id)).collect();
    SCHEMA
        .replace("-- rows of tenant\n", &tenants::insert(&rows))
        .replace(":owners", &format!("ARRAY[{}]::uuid[]", owners.join(",")))
}

/// What etcdctl puts every workspace by, and a key that is none: one transaction without conditions.
pub(super) fn workspace_transaction(names: &Names, instances: Instances) -> String {
    let prefix = names.workspaces_prefix();
    let mut transaction = String::from("\n");
    let first = instances.first_workspace();
    for number in 0..WORKSPACES {
        // Writing to a String does not fail.
        let _ = writeln!(
            transaction,
            "put {prefix}{} trained",
            seed::workspace_id(first + number)
        );
    }
    let _ = writeln!(
        transaction,
        "put {}version 1\n\n",
        prefix.trim_end_matches("workspaces/")
    );
    transaction
}
