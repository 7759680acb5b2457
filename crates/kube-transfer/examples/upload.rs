//! Puts a local file into a pod, and goes on where it was interrupted: `upload NAMESPACE POD CONTAINER FILE PATH`.

#![allow(clippy::print_stdout, reason = "an example")]

mod common;

use std::{env, error::Error};

use kube_transfer::file::{UploadEvent, UploadOptions, UploadSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args();
    arguments.next();
    let pod = common::pod(&mut arguments).await?;
    let source = UploadSource::open(arguments.next().ok_or("no file was given")?)?;
    let file = pod.file(arguments.next().ok_or("no path was given")?);
    let observe = |event: UploadEvent<'_>| match event {
        UploadEvent::Retrying { error, .. } => println!("{error}"),
        UploadEvent::Comparing { bytes } => println!("{bytes} bytes are there already"),
        _ => {}
    };
    let uploaded = file
        .upload(&source, &UploadOptions::default(), observe)
        .await?;
    println!("{} bytes, SHA-256 {}", uploaded.bytes(), uploaded.sha256());
    Ok(())
}
