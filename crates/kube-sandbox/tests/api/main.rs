//! The API server as its clients see it: recorded traffic, plain HTTP, and a real kubectl.

#![expect(clippy::unwrap_used, reason = "what tests share fails as tests do")]

mod behaviour;
mod faults;
mod kubectl_reads;
mod kubectl_writes;
mod roles;
mod support;
mod versions;
mod watches;
mod wire;
