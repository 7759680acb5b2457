//! The claim that is made from a snapshot.

use serde_json::{Value, json};

use super::options::AccessOptions;
use crate::discovery::Discovery;
use crate::driver::SNAPSHOT_GROUP;
use wa_common::cluster::Quantity;

/// Where neither snapshot nor source tells a size.
const DEFAULT_SIZE: &str = "1Gi";

/// What the claim takes over from the one that was snapshotted.
#[derive(Debug)]
pub(super) struct RestoredClaim {
    storage_class: Option<String>,
    access_modes: Vec<String>,
    volume_mode: Option<String>,
    /// The size of the source.
    capacity: Option<String>,
}

impl RestoredClaim {
    pub(super) fn like(discovery: &Discovery, options: &AccessOptions) -> Self {
        let spec = discovery.claim.spec.as_ref();
        let own_class = || discovery.class_name().map(str::to_owned);
        Self {
            storage_class: options.storage_class.clone().or_else(own_class),
            access_modes: discovery.access_modes().to_vec(),
            volume_mode: spec.and_then(|spec| spec.volume_mode.clone()),
            capacity: discovery.capacity().map(str::to_owned),
        }
    }

    pub(super) fn object(&self, name: &str, snapshot: &str, restore_size: Option<&str>) -> Value {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": name },
            "spec": {
                "accessModes": self.access_modes,
                "storageClassName": self.storage_class,
                "volumeMode": self.volume_mode,
                "resources": { "requests": { "storage": size(restore_size, self.capacity.as_deref()) } },
                "dataSource": { "apiGroup": SNAPSHOT_GROUP, "kind": "VolumeSnapshot", "name": snapshot },
            },
        })
    }
}

/// The larger of two sizes, as it is written. Drivers refuse a claim that is smaller than the snapshot; some tell less as
/// the snapshot's size than they want, which is that of the source; some tell none, or zero.
fn size<'a>(of_snapshot: Option<&'a str>, of_source: Option<&'a str>) -> &'a str {
    let amount = |size: &&str| size.parse::<Quantity>().ok();
    let told = [of_snapshot, of_source].into_iter().flatten();
    let amounts = told.filter(|size| amount(size).is_some_and(|amount| !amount.is_zero()));
    // Of equal ones the last: the source's.
    amounts.max_by_key(amount).unwrap_or(DEFAULT_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_claim_is_like_its_source() {
        let claim = RestoredClaim {
            storage_class: Some("ceph".to_owned()),
            access_modes: vec!["ReadWriteOnce".to_owned()],
            volume_mode: Some("Filesystem".to_owned()),
            capacity: Some("10Gi".to_owned()),
        };
        let object = claim.object("c", "s", Some("12Gi"));
        let spec = &object["spec"];
        assert_eq!(spec["storageClassName"], "ceph");
        assert_eq!(spec["accessModes"], json!(["ReadWriteOnce"]));
        assert_eq!(spec["dataSource"]["name"], "s");
        assert_eq!(spec["resources"]["requests"]["storage"], "12Gi");
    }

    #[test]
    fn a_restored_claim_has_the_larger_of_the_two_sizes_as_it_is_written() {
        for (of_snapshot, of_source, larger) in [
            (Some("12Gi"), Some("10Gi"), "12Gi"),
            (Some("9Gi"), Some("10Gi"), "10Gi"),
            (Some("1073741824"), Some("10Gi"), "10Gi"),
            (Some("10737418241"), Some("10Gi"), "10737418241"),
            (Some("11G"), Some("10Gi"), "11G"),
            (Some("10G"), Some("10Gi"), "10Gi"),
            (Some("10Gi"), Some("10737418240"), "10737418240"),
            (Some("1e11"), Some("10Gi"), "1e11"),
            (Some("10.5Gi"), Some("10Gi"), "10.5Gi"),
            (Some("0"), Some("10Gi"), "10Gi"),
            (Some("0Gi"), None, DEFAULT_SIZE),
            (None, Some("10Gi"), "10Gi"),
            (Some("much"), Some("10Gi"), "10Gi"),
            (Some("12Gi"), Some("much"), "12Gi"),
            (Some("-12Gi"), Some("10Gi"), "10Gi"),
            (None, None, DEFAULT_SIZE),
        ] {
            assert_eq!(
                size(of_snapshot, of_source),
                larger,
                "{of_snapshot:?} {of_source:?}"
            );
        }
    }
}
