//! Retraining all models of a Watson Assistant: how long it takes, and what it changes in the cluster.
//!
//! The product retrains everything when environment variables of its Deployment `store-admin` say so, and is quicker with
//! more replicas of five Deployments. Both are asked of the operator by objects of the kind TemporaryPatch.
//!
//! - [`estimate`] reckons how long the job takes, from the number of workspaces that [`etcd`] counts.
//! - [`plan`] says what changes, as [`patch`]es, for so many training pods: replicas by [`component`], variables by
//!   [`settings`], the start by [`schedule`].
//! - [`capacity`] tells whether the nodes can hold that, and [`autoscaler`] what else scales the same Deployments.
//! - [`checks`] are what must hold before anything is changed.
//! - [`procedure`] makes those changes, and undoes them: with a journal, from any machine.
//! - [`training`] tells how far it is, by what the cluster has and store-admin logs.
//! - [`doctor`] finds what earlier retrainings have left.
//!
//! Only [`procedure`] and [`doctor`] change anything in the cluster.

pub mod active;
pub mod autoscaler;
pub mod capacity;
pub mod checks;
pub mod component;
pub mod doctor;
pub mod error;
pub mod estimate;
pub mod etcd;
pub mod formula;
pub mod kinds;
pub mod operator;
pub mod patch;
pub mod plan;
pub mod procedure;
pub mod rollout;
pub mod schedule;
pub mod settings;
pub mod start;
pub mod training;
pub mod workload;

pub use error::RetrainError;
