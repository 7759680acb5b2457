//! What storage drivers say of an attempt that did not succeed.

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
pub(crate) fn may_pass(message: &str) -> bool {
    let mut codes = message.split("code = ").skip(1);
    codes.any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        PASSING.contains(&&rest[..end.unwrap_or(rest.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
