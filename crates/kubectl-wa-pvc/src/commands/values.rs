//! Values that a shell completes: the files on the volume, the claims, and classes of snapshots and storage.

use backup_volume::{Class, dumps_in_reach, modified, snapshot_classes, storage_classes};
use jiff::Timestamp;
use wa_common::cli::{Asked, Candidate};
use wa_common::report::{age, bytes};

/// The values that the help calls `name`, as far as they are known without changing anything.
pub(super) async fn named(name: &str, asked: &Asked) -> anyhow::Result<Vec<Candidate>> {
    match name {
        "DUMP" => dumps(asked).await,
        "CLAIM" => claims(asked).await,
        "SNAPSHOT-CLASS" => Ok(of_classes(snapshot_classes(&asked.connect()?).await?)),
        "STORAGE-CLASS" => Ok(of_classes(storage_classes(&asked.connect()?).await?)),
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

fn of_classes(classes: Vec<Class>) -> Vec<Candidate> {
    let candidate = |class: Class| Candidate::new(class.name).help(class.driver);
    classes.into_iter().map(candidate).collect()
}
