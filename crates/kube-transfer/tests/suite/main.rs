//! Sessions and downloads against an API server in this process.

#![expect(
    clippy::print_stdout,
    reason = "tests say which seed they use and what they leave out"
)]

mod download;
mod exec;
mod faults;
mod fetch;
mod forward;
mod job;
mod job_faults;
mod limits;
mod orphans;
mod query;
mod resume;
mod support;
mod upload;
mod upload_pieces;
mod upload_resume;
