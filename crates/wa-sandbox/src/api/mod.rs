//! The Kubernetes API over HTTPS.

pub mod request;
pub mod resources;
mod status;

pub use resources::{Resource, Subresource};
pub use status::{Cause, Status};
