//! Runs a program that goes on when this one ends, and follows its log; started again, it follows the same job:
//! `detached_job NAMESPACE POD CONTAINER DIRECTORY PROGRAM [ARGUMENT...]`.

#![allow(clippy::print_stdout, reason = "an example")]

mod common;

use std::{env, error::Error, time::Duration};

use kube_transfer::{
    RemoteCommand,
    job::{JobError, JobState, LogPart},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args();
    arguments.next();
    let pod = common::pod(&mut arguments).await?;
    let directory = pod.job(arguments.next().ok_or("no directory was given")?)?;
    let program = arguments.next().ok_or("no program was given")?;
    let command = RemoteCommand::new(program).args(arguments);
    let mut log = match directory.start(&command).await {
        Ok(job) => job.log(0),
        Err(JobError::Exists { .. } | JobError::Unsettled { .. }) => {
            match directory.status().await? {
                JobState::Running(job) => job.log(0),
                JobState::Ended(job) => job.log(0),
                state => return Err(format!("there is no job to follow: {state:?}").into()),
            }
        }
        Err(error) => return Err(error.into()),
    };
    loop {
        match log.next().await {
            Ok(LogPart::Data(data)) => print!("{}", String::from_utf8_lossy(&data)),
            Ok(LogPart::End(JobState::Ended(job))) => {
                println!("exit code {}", job.code());
                job.remove().await?;
                return Ok(());
            }
            Ok(LogPart::End(state)) => return Err(format!("it did not end well: {state:?}").into()),
            Err(error) if error.is_transient() => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(error) => return Err(error.into()),
        }
    }
}
