//! Exec and logs as clients see them: frame by frame, through a real kubectl, and when things go wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod failures;
mod forward;
mod handshakes;
mod kubectl;
mod left_alone;
mod websocket;
