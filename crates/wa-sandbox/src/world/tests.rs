//! What the field guide says of each release, looked up in the objects themselves.

use base64::{Engine, prelude::BASE64_STANDARD};
use kube_sandbox::meta::Kinds;
use serde_json::Value;

use super::*;

/// No version that the machine has: nothing is run here.
const VERSION: u32 = 99;

fn installed(profile: Profile) -> (Store, Names) {
    installed_as(profile, &Variant::default())
}

fn installed_as(profile: Profile, variant: &Variant) -> (Store, Names) {
    let store = Store::with_kinds(Kinds::with(kinds::ALL.iter().copied()));
    let names = profile.names("wa", "cpd");
    let setting = Setting {
        postgres_version: VERSION,
        storage: Storage::default(),
        process_one: ProcessOne::default(),
        variant,
    };
    World::install(&store, &names, setting).expect("installed");
    (store, names)
}

fn secret(store: &Store, name: &str, key: &str) -> String {
    let secret = store
        .get(&resources::SECRETS, "cpd", name)
        .expect("the secret");
    let value = secret["data"][key].as_str().expect("the key");
    String::from_utf8(BASE64_STANDARD.decode(value).expect("base64")).expect("UTF-8")
}

fn selected(store: &Store, label: &str, value: &str) -> Vec<String> {
    let mut pods = store.list(&resources::PODS, Some("cpd")).items;
    pods.retain(|pod| pod["metadata"]["labels"][label] == value);
    pods.iter()
        .map(|pod| object::name(pod).to_owned())
        .collect()
}

#[tokio::test]
async fn the_store_secret_lists_redis_first_and_a_password_that_needs_care() {
    for profile in Profile::ALL {
        let (store, names) = installed(profile);
        let found = &names.store_secret;
        let object = store
            .get(&resources::SECRETS, "cpd", &found.name)
            .expect("the secret");
        assert_eq!(
            object["metadata"]["labels"]["component"], found.component,
            "{profile}"
        );
        assert_eq!(
            object["metadata"]["labels"]["app.kubernetes.io/instance"], "wa",
            "{profile}"
        );
        let json: Value =
            serde_json::from_str(&secret(&store, &found.name, found.key)).expect("JSON");
        let services = json["user-provided"].as_array().expect("a list");
        assert_eq!(services[0]["name"], "redis", "{profile}");
        let postgres = &services[1];
        assert_eq!(postgres["name"], "pgservice", "{profile}");
        assert_eq!(
            postgres["credentials"]["host"],
            format!("{}-rw", names.postgres_cluster),
            "{profile}"
        );
        assert_eq!(
            postgres["credentials"]["database"], "conversation_pprd_wa",
            "{profile}"
        );
        let password = postgres["credentials"]["password"]
            .as_str()
            .expect("a password");
        for nasty in ['\'', '"', '$', '\\', ' '] {
            assert!(password.contains(nasty), "{profile}: no {nasty:?}");
        }
    }
}

#[tokio::test]
async fn postgres_pods_carry_the_labels_of_their_release() {
    for (profile, label) in [
        (Profile::V4_0, "postgresql"),
        (Profile::V4_8_5, "app"),
        (Profile::V4_8_8, "k8s.enterprisedb.io/cluster"),
        (Profile::V5_0_1, "k8s.enterprisedb.io/cluster"),
        (Profile::V5_1, "k8s.enterprisedb.io/cluster"),
        (Profile::V5_2_1, "k8s.enterprisedb.io/cluster"),
    ] {
        let (store, names) = installed(profile);
        let cluster = &names.postgres_cluster;
        let expected = [format!("{cluster}-1"), format!("{cluster}-2")];
        assert_eq!(selected(&store, label, cluster), expected, "{profile}");
        let primary = store
            .get(&resources::PODS, "cpd", &expected[0])
            .expect("the primary");
        assert_eq!(
            primary["metadata"]["labels"]["role"], "primary",
            "{profile}"
        );
        assert_eq!(
            primary["spec"]["containers"][0]["name"], "postgres",
            "{profile}"
        );
        let custom = store
            .get(&kinds::POSTGRES_CLUSTERS, "cpd", cluster)
            .expect("the cluster");
        assert_eq!(custom["status"]["currentPrimary"], expected[0], "{profile}");
        assert_eq!(
            custom["status"]["pgDataImageInfo"]["majorVersion"], VERSION,
            "{profile}"
        );
        assert_eq!(
            custom["spec"]["imageName"], primary["spec"]["containers"][0]["image"],
            "{profile}"
        );
    }
}

#[tokio::test]
async fn a_pod_of_another_cluster_begins_alike_where_names_invite_it() {
    for profile in Profile::ALL {
        let (store, names) = installed(profile);
        let stranger = selected(&store, "k8s.enterprisedb.io/cluster", "wa-postgres")
            .contains(&"wa-postgres-3".to_owned());
        assert_eq!(
            stranger,
            names.postgres_cluster == "wa-postgres-16",
            "{profile}"
        );
    }
}

#[tokio::test]
async fn secrets_that_a_release_does_not_have_are_not_there() {
    for profile in Profile::ALL {
        let (store, names) = installed(profile);
        let has = |name: &str| store.get(&resources::SECRETS, "cpd", name).is_ok();
        assert_eq!(
            has("wa-auth-encryption"),
            names.auth_encryption_secret.is_some(),
            "{profile}"
        );
        assert_eq!(
            has("wa-cluruntime-datastore-connection-strings"),
            names.etcd_secret.is_some(),
            "{profile}"
        );
        assert_eq!(
            has("wa-store-vcap"),
            matches!(profile, Profile::V4_0 | Profile::V4_8_5),
            "{profile}"
        );
        assert!(
            secret(&store, &names.postgres_ca_secret(), "ca.crt")
                .starts_with("-----BEGIN CERTIFICATE")
        );
        if names.auth_encryption_secret.is_some() {
            let object = store
                .get(&resources::SECRETS, "cpd", "wa-auth-encryption")
                .expect("the secret");
            assert_eq!(object["metadata"]["labels"]["service"], "conversation");
            assert_eq!(object["metadata"]["labels"]["app"], "wa-auth-encryption");
            assert!(
                !secret(&store, "wa-auth-encryption", "authorization_encryption_key").is_empty()
            );
        }
    }
}

#[tokio::test]
async fn the_cron_job_writes_to_the_claim_of_its_release() {
    for profile in Profile::ALL {
        let (store, names) = installed(profile);
        let cron_job = store
            .get(&resources::CRON_JOBS, "cpd", "wa-store-cronjob")
            .expect("the CronJob");
        let template = &cron_job["spec"]["jobTemplate"]["spec"]["template"];
        assert_eq!(cron_job["spec"]["schedule"], "0 23 * * *");
        assert_eq!(template["metadata"]["labels"]["component"], "store-cronjob");
        assert_eq!(
            template["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
            names.backup_claim.as_str()
        );
        assert_eq!(
            template["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
            "/store-backups"
        );
        let environment = template["spec"]["containers"][0]["env"]
            .as_array()
            .expect("variables");
        for ending in ["WEEKLY_BACKUP_DAY", "KEEP_WEEKLY", "KEEP_DAILY"] {
            assert!(environment.iter().any(|one| {
                one["name"]
                    .as_str()
                    .is_some_and(|name| name.ends_with(ending))
            }));
        }
    }
}

#[tokio::test]
async fn the_assistant_states_its_version_and_its_active_patches() {
    for profile in Profile::ALL {
        let (store, names) = installed(profile);
        let assistant = store
            .get(&kinds::ASSISTANTS, "cpd", "wa")
            .expect("the assistant");
        assert_eq!(assistant["spec"]["version"], names.version, "{profile}");
        assert_eq!(
            assistant["status"]["versions"]["reconciled"], names.version,
            "{profile}"
        );
        let part = store
            .get(&kinds::ASSISTANT_STORES, "cpd", "wa")
            .expect("the store part");
        let annotations = part["metadata"]["annotations"]
            .as_object()
            .expect("annotations");
        assert_eq!(
            annotations.len(),
            names.patch_annotations.len(),
            "{profile}"
        );
        for annotation in names.patch_annotations {
            let active = annotations[*annotation].as_str().expect("text");
            let active: Value = serde_json::from_str(active).expect("a JSON map");
            let entry = &active["wa-store-certificates"];
            let kind = names.patch_entries_have_kind().then_some("TemporaryPatch");
            assert_eq!(entry["kind"].as_str(), kind, "{profile}");
            assert!(entry["timestamp"].is_string(), "{profile}");
        }
        store
            .get(&kinds::TEMPORARY_PATCHES, "cpd", "wa-store-certificates")
            .expect("the patch");
    }
}

#[tokio::test]
async fn every_image_that_is_named_can_be_pulled() {
    for profile in Profile::ALL {
        let (store, names) = installed(profile);
        let server = Server {
            major: VERSION,
            directory: "/postgres".into(),
        };
        let practice = RetrainPractice::of_cluster(Path::new("/cluster"));
        let images: Vec<_> = World::images(&names, &server, &practice)
            .into_iter()
            .map(|image| image.reference)
            .collect();
        let templates = store
            .list(&resources::DEPLOYMENTS, None)
            .items
            .iter()
            .map(|one| one["spec"]["template"]["spec"].clone())
            .chain(
                store
                    .list(&resources::PODS, None)
                    .items
                    .iter()
                    .map(|one| one["spec"].clone()),
            )
            .chain(
                store
                    .list(&resources::CRON_JOBS, None)
                    .items
                    .iter()
                    .map(|one| one["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone()),
            )
            .collect::<Vec<_>>();
        for template in templates {
            let image = template["containers"][0]["image"]
                .as_str()
                .expect("an image");
            assert!(
                images.iter().any(|known| known == image),
                "{profile}: {image}"
            );
        }
    }
}

#[tokio::test]
async fn the_ui_knows_the_resource_controller_by_a_value_or_a_config_map() {
    let url = "https://wa-addon-assistant-gateway-svc.cpd:5000/api/ibmcloud/resource-controller";
    let mut ways = Vec::new();
    for profile in Profile::ALL {
        let (store, names) = installed(profile);
        let ui = store
            .get(&resources::DEPLOYMENTS, "cpd", "wa-ui")
            .expect("the UI");
        let container = &ui["spec"]["template"]["spec"]["containers"][0];
        let from = &container["env"][0]["valueFrom"]["configMapKeyRef"]["name"];
        let all_from = &container["envFrom"][0]["configMapRef"]["name"];
        if let Some(map) = from.as_str().or(all_from.as_str()) {
            let map = store
                .get(&resources::CONFIG_MAPS, "cpd", map)
                .expect("the ConfigMap");
            assert_eq!(map["data"]["RESOURCE_CONTROLLER_URL"], url, "{profile}");
        } else {
            assert_eq!(container["env"][0]["value"], url, "{profile}");
        }
        ways.push(names.ui_environment);
        let token = secret(&store, "zen-service-broker-secret", "token");
        assert!(!token.is_empty(), "{profile}");
    }
    for way in [
        UiEnvironment::Value,
        UiEnvironment::KeyOfConfigMap,
        UiEnvironment::ConfigMap,
    ] {
        assert!(ways.contains(&way), "{way:?} is not practised");
    }
}

#[tokio::test]
async fn a_variant_has_the_counts_and_the_limit_that_were_asked_for() {
    let variant = Variant {
        store_replicas: vec![3, 2],
        operator_replicas: 2,
        scratch_size: Some("64Mi".to_owned()),
        shm_size: Some("1Gi".to_owned()),
        ..Variant::default()
    };
    let (store, names) = installed_as(Profile::V5_2_1, &variant);
    let count = |namespace: &str, name: &str| {
        let found = store.get(&resources::DEPLOYMENTS, namespace, name);
        found.expect("the Deployment")["spec"]["replicas"].clone()
    };
    assert_eq!(count("cpd", "wa-store"), 3);
    assert_eq!(count("cpd", "wa-store-2"), 2);
    assert_eq!(count("cpd-operators", "ibm-watson-assistant-operator"), 2);
    let pod = store
        .get(&resources::PODS, "cpd", &names.primary_pod())
        .expect("the primary");
    assert_eq!(pod["spec"]["volumes"][0]["emptyDir"]["sizeLimit"], "64Mi");
    let memory = serde_json::json!({"medium": "Memory", "sizeLimit": "1Gi"});
    assert_eq!(pod["spec"]["volumes"][1]["emptyDir"], memory);
}

#[tokio::test]
async fn an_operator_that_keeps_counts_is_reported_none() {
    let counts = |keeps| {
        let variant = Variant {
            operator_keeps_counts: keeps,
            ..Variant::default()
        };
        let (store, _) = installed_as(Profile::V5_2_1, &variant);
        let part = store.get(&kinds::ASSISTANT_STORES, "cpd", "wa");
        part.expect("the store's part")["spec"]["deployments"].clone()
    };
    assert_eq!(counts(false)["wa-store"]["replicas"], 2);
    assert!(counts(true).is_null());
}

#[tokio::test]
async fn the_deployments_of_the_store_are_owned_by_its_part_of_the_instance() {
    let (store, _) = installed(Profile::V5_2_1);
    for (name, kind) in [
        ("wa-store", "WatsonAssistantStore"),
        ("wa-ui", "WatsonAssistant"),
    ] {
        let deployment = store
            .get(&resources::DEPLOYMENTS, "cpd", name)
            .expect("the Deployment");
        let owner = &deployment["metadata"]["ownerReferences"][0];
        assert_eq!(
            (&owner["kind"], &owner["name"]),
            (&kind.into(), &"wa".into())
        );
        assert_eq!(owner["controller"], true);
    }
}

#[tokio::test]
async fn patches_of_other_people_are_in_force_from_the_beginning() {
    let variant = Variant {
        patches: OtherPatch::ALL.to_vec(),
        ..Variant::default()
    };
    let (store, names) = installed_as(Profile::V5_2_1, &variant);
    let deployment = |name: &str| {
        let found = store.get(&resources::DEPLOYMENTS, "cpd", name);
        found.expect("the Deployment")["spec"]["template"].clone()
    };
    let variables = |name: &str| {
        let env = deployment(name)["spec"]["containers"][0]["env"].to_string();
        [
            "ASSISTANTS_LIMIT",
            "NODE_EXTRA_CA_CERTS",
            "AUTO_RETRAIN_ALL_ENABLED",
            "DATA_GOVERNOR_ENABLED",
        ]
        .map(|variable| env.contains(variable))
    };
    assert_eq!(variables("wa-store"), [true, true, false, false]);
    assert_eq!(variables("wa-store-admin"), [false, true, true, false]);
    assert_eq!(variables("wa-ui"), [false, false, false, true]);
    for name in ["wa-store", "wa-clu-embedding", "wa-clu-triton-serving"] {
        let annotations = &deployment(name)["metadata"]["annotations"];
        assert_eq!(annotations["certificates"], "renewed", "{name}");
    }
    let part = store
        .get(&kinds::ASSISTANT_STORES, "cpd", "wa")
        .expect("the part");
    for annotation in names.patch_annotations {
        let entries = part["metadata"]["annotations"][*annotation].as_str();
        let entries: Value = serde_json::from_str(entries.expect("text")).expect("a map");
        assert_eq!(entries.as_object().expect("a map").len(), 4);
        assert!(entries["wa-store-assistant-limits"]["kind"].is_null());
        assert!(entries["wa-store-admin-auto-train"]["kind"].is_string());
    }
}
