//! The exec, attach and log endpoints.
