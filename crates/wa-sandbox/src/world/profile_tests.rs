use super::*;

/// One row for each profile, from the table of releases in the field guide: cluster, store secret, its component and
/// key, auth-encryption, etcd secret, claim.
type Row = (
    Profile,
    &'static str,
    [&'static str; 3],
    bool,
    bool,
    &'static str,
    usize,
);

const STORE_VCAP: [&str; 3] = ["wa-store-vcap", "store", "vcap_services"];
const CONNECTION_STRINGS: [&str; 3] = [
    "wa-store-datastore-connection-strings",
    "store-subsystem",
    "store_vcap_services",
];

const TABLE: [Row; 6] = [
    (
        Profile::V4_0,
        "wa-postgres",
        STORE_VCAP,
        false,
        false,
        "wa-store-pvc",
        1,
    ),
    (
        Profile::V4_8_5,
        "wa-postgres",
        STORE_VCAP,
        false,
        false,
        "wa-store-db-backup-pvc",
        1,
    ),
    (
        Profile::V4_8_8,
        "wa-postgres-16",
        CONNECTION_STRINGS,
        true,
        true,
        "wa-store-db-backup-pvc",
        2,
    ),
    (
        Profile::V5_0_1,
        "wa-postgres",
        CONNECTION_STRINGS,
        false,
        false,
        "wa-store-db-backup-pvc",
        2,
    ),
    (
        Profile::V5_1,
        "wa-postgres-16",
        CONNECTION_STRINGS,
        true,
        true,
        "wa-store-db-backup-pvc",
        2,
    ),
    (
        Profile::V5_2_1,
        "wa-postgres-16",
        CONNECTION_STRINGS,
        true,
        true,
        "wa-store-db-backup-pvc",
        2,
    ),
];

#[test]
fn each_profile_has_the_names_of_its_release() {
    for (profile, cluster, secret, encryption, etcd, claim, annotations) in TABLE {
        let names = profile.names("wa", "cpd");
        let [name, component, key] = secret;
        assert_eq!(names.postgres_cluster, cluster, "{profile}");
        assert_eq!(
            names.postgres_version,
            cluster.ends_with("-16").then_some(16),
            "{profile}"
        );
        assert_eq!(
            names.postgres_ca_secret(),
            format!("{cluster}-ca"),
            "{profile}"
        );
        assert_eq!(
            names.store_secret,
            StoreSecret {
                name: name.to_owned(),
                component,
                key
            },
            "{profile}"
        );
        assert_eq!(
            names.auth_encryption_secret.as_deref(),
            encryption.then_some("wa-auth-encryption"),
            "{profile}"
        );
        assert_eq!(
            names.etcd_secret.as_deref(),
            etcd.then_some("wa-cluruntime-datastore-connection-strings"),
            "{profile}"
        );
        assert_eq!(names.backup_claim, claim, "{profile}");
        assert_eq!(names.patch_annotations.len(), annotations, "{profile}");
    }
}

#[test]
fn names_follow_the_instance() {
    let names = Profile::V5_2_1.names("wo-wa", "zen");
    assert_eq!(names.database(), "conversation_pprd_wo-wa");
    assert_eq!(names.primary_pod(), "wo-wa-postgres-16-1");
    assert_eq!(names.cron_job(), "wo-wa-store-cronjob");
    assert_eq!(
        names.workspaces_prefix(),
        "/bluegoat/voyager-nlu/voyager-nlu-slot-wo-wa/workspaces/"
    );
}

#[test]
fn every_profile_is_found_by_its_name_and_no_other() {
    for profile in Profile::ALL {
        assert_eq!(
            profile.name().parse::<Profile>().expect("a profile"),
            profile
        );
    }
    let error = "5.2".parse::<Profile>().expect_err("no such profile");
    assert!(error.to_string().contains("5.2.1"), "{error}");
}
