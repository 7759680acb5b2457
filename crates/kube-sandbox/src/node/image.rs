//! Images the node "has pulled": all share this machine's software as their root and differ in user, environment,
//! default command and a few extra files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use super::Mount;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container image.
#[derive(Clone, Debug)]
pub struct Image {
    /// As pods name it, such as `registry.example.com/team/server:15`.
    pub reference: String,
    /// User and group of processes unless the pod says otherwise.
    pub user: u32,
    /// The name that the image's `/etc/passwd` has for it.
    pub user_name: String,
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
            user_name: "user".to_owned(),
            environment: vec![("PATH".to_owned(), PATH.to_owned())],
            default_command: ["sleep", "infinity"].map(str::to_owned).to_vec(),
            mounts: Vec::new(),
        }
    }

    /// The image with the programs in that directory, as containers see it, first on PATH.
    #[must_use]
    pub fn with_programs(mut self, directory: &Path) -> Self {
        self.environment.retain(|(name, _)| name != "PATH");
        let path = format!("{}:{PATH}", directory.display());
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
