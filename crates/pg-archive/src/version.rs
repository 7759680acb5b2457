//! Versions of the archive format.

use std::fmt;

/// Version of the archive format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Always 1 so far.
    pub major: u8,
    /// Which fields there are.
    pub minor: u8,
}

impl Version {
    /// The oldest version this crate reads: pg_dump 9.0 to 10.2.
    pub const OLDEST: Self = Self {
        major: 1,
        minor: 12,
    };
    /// The newest version this crate reads: pg_dump 17 and 18.
    pub const NEWEST: Self = Self {
        major: 1,
        minor: 16,
    };

    /// Table access methods in the table of contents: pg_dump 12.
    pub(crate) const TABLE_AM: Self = Self {
        major: 1,
        minor: 14,
    };
    /// The compression method in the header: pg_dump 16.
    pub(crate) const COMPRESSION_METHOD: Self = Self {
        major: 1,
        minor: 15,
    };
    /// Kinds of relation in the table of contents, large objects in several blocks: pg_dump 17.
    pub(crate) const RELATION_KIND: Self = Self {
        major: 1,
        minor: 16,
    };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
