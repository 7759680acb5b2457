//! What storage drivers are at, and what they say of an attempt that did not succeed.
//!
//! Nothing is deleted while its driver works on it. A snapshot that is deleted while its driver takes it stays until its
//! snapshotter looks at it again, up to a quarter of an hour later; a claim that is deleted while its volume is filled
//! may leave the snapshot held for good.

mod claim;
mod snapshot;

use std::time::Duration;

use wa_common::cluster::{ClusterError, Lasting, Probe, Wait, WaitError};
use wa_common::report::Reporter;

pub(crate) use claim::{
    PROVISIONER_NOTES, WAIT_FOR_FIRST_CONSUMER, claim_at_rest, provisioning_failure,
};
pub(crate) use snapshot::{
    SNAPSHOT_GROUP, is_lasting, snapshot_at_rest, volume_snapshot_classes, volume_snapshots,
};

/// How long a driver is waited for before what it works on is deleted all the same.
pub(crate) const WORKS_AT_MOST: Duration = Duration::from_mins(5);

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
/// at work on `what`, that is reported.
async fn at_rest<F>(
    what: &str,
    reporter: &dyn Reporter,
    look: impl FnMut() -> F,
) -> Result<(), ClusterError>
where
    F: Future<Output = Result<Work, ClusterError>>,
{
    let mut unchanged = Lasting::default();
    let judge = |work| {
        Ok(match work {
            Work::None => Probe::Done(()),
            Work::NoneAfter(time) if unchanged.so() >= time => Probe::Done(()),
            Work::NoneAfter(_) => Probe::Silent,
            Work::UnderWay => {
                unchanged.over();
                Probe::Pending(
                    "deleted before that, it could stay for a quarter of an hour".to_owned(),
                )
            }
        })
    };
    let wait = Wait::new(
        format!("until the driver has made {what}"),
        WORKS_AT_MOST,
        reporter,
    );
    match wait.reported_at_once().until(look, judge).await {
        Ok(()) | Err(WaitError::TimedOut(_)) => Ok(()),
        Err(WaitError::Failed(error)) => Err(error),
    }
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
pub(crate) fn is_transient(message: &str) -> bool {
    let mut codes = message.split("code = ").skip(1);
    codes.any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        PASSING.contains(&&rest[..end.unwrap_or(rest.len())])
    })
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;
    use wa_common::report::Event;

    use super::*;

    /// Keeps how often something is reported.
    #[derive(Default)]
    struct Count(AtomicU32);

    impl Reporter for Count {
        fn report(&self, event: &Event) {
            assert!(matches!(event, Event::Waiting { .. }), "{event:?}");
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For how many seconds an object is waited for that looks like this, one look after the other, and how often it was
    /// reported that its driver is at work.
    async fn waited(looks: &[Work]) -> (u64, u32) {
        let started = Instant::now();
        let mut looks = looks.iter().copied();
        let look = || ready(Ok(looks.next().unwrap_or(Work::None)));
        let reported = Count::default();
        at_rest("it", &reported, look).await.unwrap();
        (started.elapsed().as_secs(), reported.0.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_is_waited_for_as_long_as_it_is_at_work_and_not_for_ever() {
        const TEN: Work = Work::NoneAfter(Duration::from_secs(10));
        assert_eq!(waited(&[Work::None]).await, (0, 0));
        assert_eq!(waited(&[Work::UnderWay; 20]).await, (10, 1));
        assert_eq!(waited(&[TEN; 1000]).await, (10, 0));
        // What goes on after a pause has not come to rest.
        let pauses = [&[TEN; 10][..], &[Work::UnderWay], &[TEN; 1000]].concat();
        assert_eq!(waited(&pauses).await, (15, 1));
        let (limit, _) = waited(&[Work::UnderWay; 1000]).await;
        assert_eq!(limit, WORKS_AT_MOST.as_secs());
    }

    #[test]
    fn only_what_a_driver_calls_temporary_is_transient() {
        for message in [
            "failed to provision volume with StorageClass \"ceph\": rpc error: code = Aborted desc = clone from snapshot is already in progress",
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            "rpc error: code = Unavailable",
        ] {
            assert!(is_transient(message), "{message}");
        }
        for message in [
            "storageclass.storage.k8s.io \"gone\" not found",
            "rpc error: code = InvalidArgument desc = Aborted",
            "rpc error: code = Internal desc = Unavailable",
        ] {
            assert!(!is_transient(message), "{message}");
        }
    }
}
