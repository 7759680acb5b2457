//! What process 1 of the database's container is.

/// What process 1 of the container with the database is, to which everything in it goes that loses its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProcessOne {
    /// The server itself, as in many images. It takes the end of a child that it does not know for the crash of one of
    /// its own: disconnects everybody, and recovers.
    #[default]
    Postgres,
    /// A shell that waits for the server.
    Shell,
    /// An init that starts the server and reaps whatever ends.
    Init,
    /// What reaps no stranger, as the instance manager in the pods of EDB and `CloudNativePG`: a zombie stays.
    InstanceManager,
}

impl ProcessOne {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Postgres,
        Self::Shell,
        Self::Init,
        Self::InstanceManager,
    ];

    /// How the script that starts the server calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Shell => "shell",
            Self::Init => "init",
            Self::InstanceManager => "instance-manager",
        }
    }
}
