//! Runs a command in a pod and prints what it says: `run NAMESPACE POD CONTAINER PROGRAM [ARGUMENT...]`.

#![allow(clippy::print_stdout, reason = "an example")]

mod common;

use std::{env, error::Error};

use kube_transfer::RemoteCommand;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args();
    arguments.next();
    let pod = common::pod(&mut arguments).await?;
    let program = arguments.next().ok_or("no program was given")?;
    let answer = pod
        .run(&RemoteCommand::new(program).args(arguments))
        .await?;
    print!("{}", String::from_utf8_lossy(&answer.stdout));
    Ok(())
}
