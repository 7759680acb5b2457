//! What was found out before anything is changed.

use wa_common::assistant::Instance;

use crate::component::Component;
use crate::kinds::Kinds;
use crate::operator::Operator;
use crate::workload::Workload;

/// Everything that a command needs to know.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The instance.
    pub instance: Instance,
    /// The product's kinds.
    pub kinds: Kinds,
    /// The operator, which is up.
    pub operator: Operator,
    /// The Deployments that can be scaled.
    pub workloads: Vec<(Component, Workload)>,
    /// store-admin.
    pub store_admin: Workload,
    /// How many workspaces there are to train, where the command starts the job.
    pub workspaces: Option<u64>,
}
