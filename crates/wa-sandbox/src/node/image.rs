//! Images the node "has pulled": all share this machine's software as their root and differ in user, environment,
//! default command and a few extra files.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use local_postgres::Server;

use super::Mount;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container image.
#[derive(Clone, Debug)]
pub struct Image {
    /// As pods name it, such as `icr.io/cpopen/edb/postgresql:15`.
    pub reference: String,
    /// User and group of processes unless the pod says otherwise.
    pub user: u32,
    /// Environment of every process.
    pub environment: Vec<(String, String)>,
    /// What a container runs whose pod names neither command nor arguments. No image here has an entrypoint that would
    /// take arguments alone: they are a command of their own, as in the image of a shell.
    pub default_command: Vec<String>,
    /// Files of this machine that the image has in addition to `/usr`.
    pub mounts: Vec<Mount>,
}

impl Image {
    /// An image of this machine's software that sleeps.
    pub fn of_this_machine(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            user: 1000,
            environment: vec![("PATH".to_owned(), PATH.to_owned())],
            default_command: ["sleep", "infinity"].map(str::to_owned).to_vec(),
            mounts: Vec::new(),
        }
    }

    /// The image with the programs of that PostgreSQL first on PATH.
    pub(crate) fn with_postgres(mut self, server: &Server) -> Self {
        let programs = if server.directory.starts_with("/usr") {
            server.programs()
        } else {
            let target = Path::new("/opt/postgresql").join(server.major.to_string());
            self.mounts.push(Mount {
                source: server.directory.clone(),
                target: target.clone(),
                read_only: true,
            });
            target.join("bin")
        };
        self.environment.retain(|(name, _)| name != "PATH");
        let path = format!("{}:{PATH}", programs.display());
        self.environment.push(("PATH".to_owned(), path));
        self
    }

    /// A digest as the container runtime reports it, the same for the same reference.
    pub(super) fn digest(&self) -> String {
        let part = |number: u8| {
            let mut hasher = DefaultHasher::new();
            (number, &self.reference).hash(&mut hasher);
            format!("{:016x}", hasher.finish())
        };
        format!("sha256:{}", (0..4).map(part).collect::<String>())
    }
}
