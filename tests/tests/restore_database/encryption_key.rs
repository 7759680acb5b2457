//! The encryption key of the store, which is exchanged with the database.

use end_to_end::{World, wait_for};
use kube_sandbox::faults::{Effect, Matcher};
use store_restore::encryption_key::{KeyValue, Merged, current_key, replace_key};
use wa_common::assistant::Instance;

#[test]
fn only_the_one_key_is_exchanged_and_only_for_the_one_that_was_seen() {
    let world = World::shared();
    let secret = "wa-auth-encryption";
    world.kubectl(&[
        "patch",
        "secret",
        secret,
        "--type=merge",
        "-p",
        r#"{"data":{"other":"b3RoZXI="}}"#,
    ]);
    let data = || {
        world.kubectl(&[
            "get",
            "secret",
            secret,
            "-o",
            "go-template={{.data.authorization_encryption_key}} {{.data.other}}",
        ])
    };
    let first = data();
    wait_for(async {
        let cluster = world.cluster();
        let instance = Instance::find(&cluster, None).await.unwrap();
        let old = current_key(&cluster, &instance).await.unwrap();
        let new = KeyValue::from_bytes(b"new".to_vec());
        let swap = async |from: Option<&KeyValue>, to: Option<&KeyValue>| {
            replace_key(&cluster, &instance, from, to).await
        };
        // An answer that is lost leaves the key changed or not; somebody else changes another key meanwhile.
        let patches = || Matcher {
            method: Some("PATCH".to_owned()),
            resource: Some("secrets".to_owned()),
            ..Matcher::default()
        };
        let conflict = Effect::Status {
            code: 409,
            message: "changed".to_owned(),
            retry_after: None,
        };
        world.fault(patches(), Some(1), conflict);
        assert_eq!(
            swap(old.as_ref(), Some(&new)).await.unwrap(),
            Merged::Replaced
        );
        assert_eq!(
            swap(old.as_ref(), Some(&new)).await.unwrap(),
            Merged::AlreadyThere
        );
        assert_eq!(data(), "bmV3 b3RoZXI=");
        let foreign = KeyValue::from_bytes(b"foreign".to_vec());
        let error = swap(old.as_ref(), Some(&foreign)).await.unwrap_err();
        assert!(
            error.to_string().contains("somebody else has changed it"),
            "{error}"
        );
        assert_eq!(
            swap(Some(&new), old.as_ref()).await.unwrap(),
            Merged::Replaced
        );
    });
    assert_eq!(data(), first);
}
