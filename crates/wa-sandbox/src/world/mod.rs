//! What is in the cluster: a Watson Assistant as its release installs it.

mod profile;

pub use profile::{Names, PostgresLabels, Profile, StoreSecret, UnknownProfile};
