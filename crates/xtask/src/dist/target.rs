//! The platforms that a release can be built for.

use std::fmt;
use std::str::FromStr;

/// A platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// What Rust calls it.
    pub(crate) name: &'static str,
    /// What Go, and so krew, calls its operating system.
    pub(crate) os: &'static str,
    /// What Go, and so krew, calls its processor.
    pub(crate) arch: &'static str,
    /// The oldest glibc that its binaries start with, as far as it has one.
    pub(crate) glibc: Option<Glibc>,
}

/// A version of glibc: its major and its minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glibc(pub(crate) u32, pub(crate) u32);

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(major, minor) = self;
        write!(f, "{major}.{minor}")
    }
}

impl Target {
    /// The one that the tests run on.
    pub(crate) const TESTED: Self = Self {
        name: "x86_64-unknown-linux-gnu",
        os: "linux",
        arch: "amd64",
        // Red Hat Enterprise Linux 7.
        glibc: Some(Glibc(2, 17)),
    };

    /// The others can be built where `rustup target add` has brought them; nobody has run what comes of it.
    const ALL: [Self; 5] = [
        Self::TESTED,
        Self {
            name: "aarch64-unknown-linux-gnu",
            os: "linux",
            arch: "arm64",
            glibc: Some(Glibc(2, 17)),
        },
        Self {
            name: "powerpc64le-unknown-linux-gnu",
            os: "linux",
            arch: "ppc64le",
            // The first with a glibc for it that is still in use: Red Hat Enterprise Linux 8.
            glibc: Some(Glibc(2, 28)),
        },
        Self {
            name: "s390x-unknown-linux-gnu",
            os: "linux",
            arch: "s390x",
            glibc: Some(Glibc(2, 28)),
        },
        Self {
            name: "aarch64-apple-darwin",
            os: "darwin",
            arch: "arm64",
            glibc: None,
        },
    ];

    /// What cargo-zigbuild is asked for: the name, and the glibc to link against.
    pub(crate) fn zig_name(&self) -> String {
        match self.glibc {
            Some(glibc) => format!("{}.{glibc}", self.name),
            None => self.name.to_owned(),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(|target| target.name).join(", ");
        Self::ALL
            .into_iter()
            .find(|target| target.name == name)
            .ok_or_else(|| format!("known are {}", known()))
    }
}
