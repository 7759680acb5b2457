//! Pods that do nothing but keep a volume mounted, so that its files can be read through them; and a [scratch pod](scratch_pod),
//! which works on an empty volume of its own.
//!
//! A [`HelperPodSpec`] is derived from a pod that is known to mount the volume and to run in this cluster: its image is
//! there, its service account and security context are accepted. A run makes it, which records it first,
//! [`ready`] waits for it and says early why it will never start, and the end of the run ends it.

mod metadata;
mod ready;
mod scratch;
mod selectors;
mod spec;
mod verdict;

pub use ready::{NotReady, ready};
pub use scratch::{Scratch, scratch_pod};
pub use selectors::selectors;
pub use spec::{HelperPodSpec, NotMounted};

/// The name of a helper pod's own container; the cluster may put others beside it.
pub const HELPER_CONTAINER: &str = "helper";
