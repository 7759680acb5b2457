//! How far a retraining is: by the patch, by store-admin's Deployment, and by what its pods log.

mod line;
mod logs;
mod phase;
mod progress;
mod watcher;

pub use line::{Line, Summary};
pub use phase::{Patience, Phase};
pub use progress::{Progress, Remark};
pub use watcher::{Scaled, Status, Watcher};
