//! Tests of the public interface, in one binary.

// The attribute tells clippy that helpers outside of test functions may unwrap as well.
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod pg_dump;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod real_archives;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod selections;
#[cfg(test)]
mod writer;
