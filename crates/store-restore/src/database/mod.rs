//! The server of the store database, for what a restore does to whole databases there: copies one, exchanges two by
//! renaming, makes a new one for a set.
//!
//! Everything is done by psql in the pod of the primary, on the local socket as the superuser `postgres`, which takes no
//! password. The statements are sent over standard input, and so stand in no URL.
//!
//! Each change can be made again after a lost connection: what is there is looked at first, and what another attempt has
//! begun is waited for or continued. A database is told by its [oid](NamedDatabase), which it keeps when it is renamed,
//! and one that is whole by a mark in its comment, which it gets last. What is there under a name of ours and is not of
//! our making is never taken for ours.
//!
//! | what for | call |
//! |---|---|
//! | is there room for a copy | [`DatabaseServer::room_for_copy`] |
//! | the copy before anything is erased | [`DatabaseServer::make_copy`] |
//! | the way back | [`DatabaseServer::swap_in`], also after [`restore_set`](crate::safety_set::restore_set) |
//! | what became of an attempt that was cut | [`DatabaseServer::judge`], [`DatabaseServer::judge_swap`] |
//! | who is still at work | [`DatabaseServer::sessions`], [`DatabaseServer::end_work`], [`pod_processes`] |
//! | what is left at the end | [`DatabaseServer::drop_database`], [`DatabaseServer::let_in`] |

mod at_work;
mod copy;
mod empty;
mod error;
mod look;
mod server;
mod swap;

pub use at_work::{PodProcess, Session, pod_processes};
pub use copy::Room;
pub use error::ServerError;
pub use look::{Made, NamedDatabase};
pub use server::DatabaseServer;
pub(crate) use server::{PATIENCE, psql};
pub use swap::Swapped;
