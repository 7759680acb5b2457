//! Values that a shell completes: the files on the volume, and the claims.

use backup_volume::{dumps_in_reach, modified};
use jiff::Timestamp;
use wa_common::cli::{Asked, Candidate};
use wa_common::report::{age, bytes};

/// The values that the help calls `name`, as far as they are known without changing anything.
pub(super) async fn named(name: &str, asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
    match name {
        "DUMP" => dumps(asked).await,
        "CLAIM" => claims(asked).await,
        _ => Ok(Vec::new()),
    }
}

async fn dumps(asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
    let cluster = asked.connect()?;
    let dumps = dumps_in_reach(&cluster, asked.instance(), asked.given("pvc")).await?;
    let now = Timestamp::now();
    let candidate = |dump: &backup_volume::Entry| {
        let help = format!(
            "{} old, {}",
            age(modified(dump), now),
            bytes(dump.version.bytes)
        );
        Candidate::new(&dump.name).help(help)
    };
    Ok(dumps.iter().map(candidate).collect())
}

async fn claims(asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
    let claims = backup_volume::claims(&asked.connect()?).await?;
    Ok(claims.into_iter().map(Candidate::new).collect())
}
