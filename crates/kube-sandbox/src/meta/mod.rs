//! What every part of the cluster speaks in: kinds of objects, the objects themselves, what a request is about, and
//! how it is refused.
//!
//! It knows nothing of where objects are kept or how they are served, and so stands below both.

mod kinds;
pub mod object;
pub(crate) mod quantity;
pub mod request;
pub mod resources;
mod status;

pub use kinds::Kinds;
pub use object::Object;
pub use resources::{Resource, Subresource};
pub use status::{Cause, Status};
