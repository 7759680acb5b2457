//! Tests of the public interface, in one binary.

mod fixtures;
mod real_archives;
