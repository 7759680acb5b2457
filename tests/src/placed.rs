//! Files that a test puts on the backup volume.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::World;

/// Something that a test has put on the backup volume; gone with the test.
pub struct Placed(PathBuf);

impl Placed {
    /// A file.
    pub fn file(world: &World, name: &str, content: &[u8]) -> Self {
        let path = world.volume_directory().join(name);
        fs::write(&path, content).unwrap();
        Self(path)
    }

    /// A symbolic link.
    pub fn link(world: &World, name: &str, to: &str) -> Self {
        let path = world.volume_directory().join(name);
        symlink(to, &path).unwrap();
        Self(path)
    }

    /// An empty directory.
    pub fn directory(world: &World, name: &str) -> Self {
        let path = world.volume_directory().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The file, as if it had been written that long ago.
    pub fn aged(self, age: Duration) -> Self {
        self.written_at(SystemTime::now() - age)
    }

    /// The file, as if it had been written then.
    pub fn written_at(self, time: SystemTime) -> Self {
        let file = File::options().write(true).open(&self.0).unwrap();
        file.set_modified(time).unwrap();
        self
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if self.0.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir(&self.0).unwrap();
        } else {
            fs::remove_file(&self.0).unwrap();
        }
    }
}
