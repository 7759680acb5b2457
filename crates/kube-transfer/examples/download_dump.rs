//! Writes a dump of a database to a file: `download_dump NAMESPACE POD CONTAINER DATABASE FILE`.
//!
//! The file is there whole or, under this name, not at all.

#![allow(clippy::print_stdout, reason = "an example")]

mod common;

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use kube_transfer::{RemoteCommand, Sink};

/// A file that gets its name when it is complete.
struct NewFile {
    file: BufWriter<File>,
    unfinished: PathBuf,
    path: PathBuf,
}

impl NewFile {
    fn create(path: PathBuf) -> io::Result<Self> {
        let unfinished = path.with_added_extension("partial");
        Ok(Self {
            file: BufWriter::new(File::create(&unfinished)?),
            unfinished,
            path,
        })
    }
}

impl Sink for NewFile {
    type Finished = PathBuf;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)
    }

    fn finish(self) -> io::Result<PathBuf> {
        self.file.into_inner()?.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        Ok(self.path)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args();
    arguments.next();
    let pod = common::pod(&mut arguments).await?;
    let database = arguments.next().ok_or("no database was given")?;
    let path = arguments.next().ok_or("no file was given")?;
    let dump = RemoteCommand::new("pg_dump").args(["--format=custom", &database]);
    let sink = NewFile::create(path.into())?;
    let delivered = pod.download(&dump, sink, |_| ()).await?;
    println!(
        "{} bytes, SHA-256 {}",
        delivered.bytes(),
        delivered.sha256()
    );
    Ok(())
}
