//! What the objects of a Watson Assistant are called in each release.
//!
//! Only what differs between releases is a field; what has been the same since 4.0 is a method of [`Names`].

use std::fmt;
use std::str::FromStr;

/// A release whose object names the cluster uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Profile {
    /// 4.0, with the oldest names of all.
    #[serde(rename = "4.0")]
    V4_0,
    /// 4.8.5, the last with the old store secret.
    #[serde(rename = "4.8.5")]
    V4_8_5,
    /// 4.8.8, with PostgreSQL 16 in its names.
    #[serde(rename = "4.8.8")]
    V4_8_8,
    /// 5.0.1, newer than 4.8.8 but with the older PostgreSQL.
    #[serde(rename = "5.0.1")]
    V5_0_1,
    /// 5.1.
    #[serde(rename = "5.1")]
    V5_1,
    /// 5.2.1, whose service instances are found with a service token.
    #[default]
    #[serde(rename = "5.2.1")]
    V5_2_1,
}

/// A profile was asked for that there is none of.
#[derive(Debug, thiserror::Error)]
#[error("there is no profile {0:?}; the profiles are 4.0, 4.8.5, 4.8.8, 5.0.1, 5.1 and 5.2.1")]
pub struct UnknownProfile(String);

impl Profile {
    /// Every profile, oldest release first.
    pub const ALL: [Self; 6] = [
        Self::V4_0,
        Self::V4_8_5,
        Self::V4_8_8,
        Self::V5_0_1,
        Self::V5_1,
        Self::V5_2_1,
    ];

    /// The release as a person names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4_0 => "4.0",
            Self::V4_8_5 => "4.8.5",
            Self::V4_8_8 => "4.8.8",
            Self::V5_0_1 => "5.0.1",
            Self::V5_1 => "5.1",
            Self::V5_2_1 => "5.2.1",
        }
    }

    /// The names of this release for an instance in a namespace.
    pub fn names(self, instance: &str, namespace: &str) -> Names {
        let of = |suffix: &str| format!("{instance}-{suffix}");
        let postgres_16 = matches!(self, Self::V4_8_8 | Self::V5_1 | Self::V5_2_1);
        let subsystem = matches!(
            self,
            Self::V4_8_8 | Self::V5_0_1 | Self::V5_1 | Self::V5_2_1
        );
        Names {
            profile: self,
            instance: instance.to_owned(),
            namespace: namespace.to_owned(),
            version: match self {
                Self::V4_0 => "4.0.0",
                Self::V5_1 => "5.1.0",
                other => other.name(),
            },
            postgres_cluster: of(if postgres_16 {
                "postgres-16"
            } else {
                "postgres"
            }),
            postgres_version: postgres_16.then_some(16),
            postgres_labels: match self {
                Self::V4_0 => PostgresLabels::Postgresql,
                Self::V4_8_5 => PostgresLabels::App,
                _ => PostgresLabels::EnterpriseDb,
            },
            store_secret: if subsystem {
                StoreSecret {
                    name: of("store-datastore-connection-strings"),
                    component: "store-subsystem",
                    key: "store_vcap_services",
                }
            } else {
                StoreSecret {
                    name: of("store-vcap"),
                    component: "store",
                    key: "vcap_services",
                }
            },
            // 4.8.8 and 5.0.1 exist with and without it; one of each is practised here.
            auth_encryption_secret: matches!(self, Self::V4_8_8 | Self::V5_1 | Self::V5_2_1)
                .then(|| of("auth-encryption")),
            etcd_secret: postgres_16.then(|| of("cluruntime-datastore-connection-strings")),
            backup_claim: of(if self == Self::V4_0 {
                "store-pvc"
            } else {
                "store-db-backup-pvc"
            }),
            patch_annotations: if matches!(self, Self::V4_0 | Self::V4_8_5) {
                &["oppy.ibm.com/temporary-patches"]
            } else {
                &[
                    "oppy.ibm.com/temporary-patches",
                    "oper8.org/temporary-patches",
                ]
            },
            service_token: self == Self::V5_2_1,
            ui_environment: match self {
                Self::V5_0_1 => UiEnvironment::KeyOfConfigMap,
                Self::V5_1 => UiEnvironment::ConfigMap,
                _ => UiEnvironment::Value,
            },
            schema_version: match self {
                Self::V4_0 => 36,
                Self::V4_8_5 => 38,
                Self::V5_0_1 => 39,
                Self::V4_8_8 => 40,
                Self::V5_1 => 41,
                Self::V5_2_1 => 42,
            },
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == text)
            .ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

/// The object names of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The release.
    pub profile: Profile,
    /// The WatsonAssistant's name, usually `wa`.
    pub instance: String,
    /// Where its operands are, usually `cpd`.
    pub namespace: String,
    /// The release as the WatsonAssistant states it.
    pub version: &'static str,
    /// The PostgreSQL cluster; its pods are called `…-1` and `…-2`.
    pub postgres_cluster: String,
    /// The major version of PostgreSQL, where the release gives it away.
    pub postgres_version: Option<u32>,
    /// How the pods of the PostgreSQL cluster are labelled.
    pub postgres_labels: PostgresLabels,
    /// Where the store's connection strings are.
    pub store_secret: StoreSecret,
    /// The secret that restored data can be read with, if the release has it.
    pub auth_encryption_secret: Option<String>,
    /// The secret with etcd's endpoints, if the release has it.
    pub etcd_secret: Option<String>,
    /// The claim that the CronJob writes to.
    pub backup_claim: String,
    /// The annotations that list active temporary patches.
    pub patch_annotations: &'static [&'static str],
    /// Whether service instances are found with a service token instead of user tokens.
    pub service_token: bool,
    /// Where the UI has the address of the resource controller from.
    pub ui_environment: UiEnvironment,
    /// The version of the store's schema: the release's own, though the numbers are made up.
    pub schema_version: u32,
}

/// Where a container has a variable of its environment from. Which release has which is not public; all are practised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UiEnvironment {
    /// Its value is in the Deployment.
    Value,
    /// It is a key of a ConfigMap.
    KeyOfConfigMap,
    /// It is one of all the keys of a ConfigMap.
    ConfigMap,
}

/// How releases of the PostgreSQL operator label their pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresLabels {
    /// `postgresql` and `role`.
    Postgresql,
    /// `app`, `postgresql` and `role`.
    App,
    /// `k8s.enterprisedb.io/cluster` and `k8s.enterprisedb.io/instanceRole`, with `role` as well.
    EnterpriseDb,
}

/// The secret with the store's connection strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSecret {
    /// Its name.
    pub name: String,
    /// Its label `component`.
    pub component: &'static str,
    /// The key of its data.
    pub key: &'static str,
}

impl Names {
    /// The names of another instance beside this one.
    #[must_use]
    pub fn of_instance(&self, instance: &str) -> Self {
        self.profile.names(instance, &self.namespace)
    }

    /// Where the operators are.
    pub fn operators_namespace(&self) -> String {
        format!("{}-operators", self.namespace)
    }

    /// The store database.
    pub fn database(&self) -> String {
        format!("conversation_pprd_{}", self.instance)
    }

    /// The secret with the certificate authority of PostgreSQL, under `ca.crt`.
    pub fn postgres_ca_secret(&self) -> String {
        format!("{}-ca", self.postgres_cluster)
    }

    /// The service that leads to the primary.
    pub fn postgres_service(&self) -> String {
        format!("{}-rw", self.postgres_cluster)
    }

    /// The pod that is the primary.
    pub fn primary_pod(&self) -> String {
        format!("{}-1", self.postgres_cluster)
    }

    /// The etcd cluster: its StatefulSet and its service.
    pub fn etcd(&self) -> String {
        format!("{}-etcd", self.instance)
    }

    /// The only etcd pod.
    pub fn etcd_pod(&self) -> String {
        format!("{}-etcd-0", self.instance)
    }

    /// Where etcd keeps the workspaces to train.
    pub fn workspaces_prefix(&self) -> String {
        format!(
            "/bluegoat/voyager-nlu/voyager-nlu-slot-{}/workspaces/",
            self.instance
        )
    }

    /// Whether entries of active patches say the kind of the patch; those of the oldest releases do not.
    pub fn patch_entries_have_kind(&self) -> bool {
        self.patch_annotations.len() > 1
    }

    /// The service by which the resource controller was asked before the service token.
    pub fn gateway(&self) -> String {
        format!("{}-addon-assistant-gateway-svc", self.instance)
    }

    /// The CronJob that backs the store up.
    pub fn cron_job(&self) -> String {
        format!("{}-store-cronjob", self.instance)
    }
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
