//! What storage drivers are at, and what they say of an attempt that did not succeed.
//!
//! Nothing is deleted while its driver works on it. A snapshot that is deleted while its driver takes it stays until its
//! snapshotter looks at it again, up to a quarter of an hour later; a claim that is deleted while its volume is filled
//! may leave the snapshot held for good.

mod claim;
mod snapshot;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use wa_common::cluster::ClusterError;
use wa_common::run::Undoing;

pub use claim::{PROVISIONER_NOTES, WAIT_FOR_FIRST_CONSUMER, claim_at_rest, provisioning_failure};
pub use snapshot::{SNAPSHOT_GROUP, is_lasting, snapshot_at_rest, volume_snapshots};

/// How long a driver is waited for before what it works on is deleted all the same.
pub const WORKS_AT_MOST: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether a driver works on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// It does not: the object can be deleted.
    None,
    /// It does not if the object looks like that for so long.
    NoneAfter(Duration),
    /// It does.
    UnderWay,
}

/// Waits until a driver has done with the object that is looked at, no longer than [`WORKS_AT_MOST`]. As long as it is
/// at work, that is told.
async fn at_rest<F>(tell: impl Fn(), look: impl Fn() -> F) -> Result<(), ClusterError>
where
    F: Future<Output = Result<Work, ClusterError>>,
{
    let started = Instant::now();
    let mut unchanged: Option<Instant> = None;
    while started.elapsed() < WORKS_AT_MOST {
        match look().await? {
            Work::None => return Ok(()),
            Work::NoneAfter(time) => {
                let since = *unchanged.get_or_insert_with(Instant::now);
                if since.elapsed() >= time {
                    return Ok(());
                }
            }
            Work::UnderWay => {
                unchanged = None;
                tell();
            }
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Tells that the driver of `what` is waited for.
fn waits(undoing: Undoing<'_>, what: &str) {
    undoing.waits_for(format!(
        "until the driver has made {what}: deleted before that, it could stay for a quarter of an hour"
    ));
}

/// The gRPC codes of attempts that are made again and may yet succeed. Drivers answer with them while a copy is being
/// made: `rpc error: code = Aborted desc = clone from snapshot is already in progress`.
const PASSING: [&str; 5] = [
    "Aborted",
    "Canceled",
    "DeadlineExceeded",
    "ResourceExhausted",
    "Unavailable",
];

/// Whether a driver's message is of an attempt that may succeed by itself the next time.
pub fn may_pass(message: &str) -> bool {
    let mut codes = message.split("code = ").skip(1);
    codes.any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        PASSING.contains(&&rest[..end.unwrap_or(rest.len())])
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// For how many seconds an object is waited for that looks like this, one look after the other, and how often it was
    /// told that its driver is at work.
    async fn waited(looks: &[Work]) -> (u64, usize) {
        let started = Instant::now();
        let looks = RefCell::new(looks.iter().copied());
        let told = RefCell::new(0);
        let look = async || Ok(looks.borrow_mut().next().unwrap_or(Work::None));
        at_rest(|| *told.borrow_mut() += 1, look).await.unwrap();
        (started.elapsed().as_secs(), told.take())
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_is_waited_for_as_long_as_it_is_at_work_and_not_for_ever() {
        const TEN: Work = Work::NoneAfter(Duration::from_secs(10));
        assert_eq!(waited(&[Work::None]).await, (0, 0));
        assert_eq!(waited(&[Work::UnderWay; 20]).await, (10, 20));
        assert_eq!(waited(&[TEN; 1000]).await, (10, 0));
        // What goes on after a pause has not come to rest.
        let pauses = [&[TEN; 10][..], &[Work::UnderWay], &[TEN; 1000]].concat();
        assert_eq!(waited(&pauses).await, (15, 1));
        let (limit, _) = waited(&[Work::UnderWay; 1000]).await;
        assert_eq!(limit, WORKS_AT_MOST.as_secs());
    }

    #[test]
    fn only_what_a_driver_calls_temporary_may_pass() {
        for message in [
            "failed to provision volume with StorageClass \"ceph\": rpc error: code = Aborted desc = clone from snapshot is already in progress",
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            "rpc error: code = Unavailable",
        ] {
            assert!(may_pass(message), "{message}");
        }
        for message in [
            "storageclass.storage.k8s.io \"gone\" not found",
            "rpc error: code = InvalidArgument desc = Aborted",
            "rpc error: code = Internal desc = Unavailable",
        ] {
            assert!(!may_pass(message), "{message}");
        }
    }
}
