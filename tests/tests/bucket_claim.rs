//! Backups in a bucket of the cluster's own object storage, by its ObjectBucketClaim: on each way there, and what cannot work.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;

use end_to_end::{Outcome, World, run, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::json;
use wa_sandbox::world::{Profile, ROUTE_HOST};

const URL: &str = "obc://wa-backups/sets";
const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";

/// `kubectl wa-backup` where the environment has keys and an endpoint of somebody else, which are not meant for this.
fn command(world: &World, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = world.backup_command(directory, arguments);
    let foreign = [
        ("AWS_ENDPOINT_URL", "https://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "of-somebody-else"),
        ("AWS_SECRET_ACCESS_KEY", "of-somebody-else"),
        ("AWS_SESSION_TOKEN", "of-somebody-else"),
    ];
    command.envs(foreign);
    for proxy in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(proxy);
    }
    command
}

fn backup(world: &World, directory: &Path, arguments: &[&str]) -> Outcome {
    run(&mut command(world, directory, arguments))
}

/// The keys of the claim, which are shown nowhere.
fn keys(world: &World) -> Vec<String> {
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
        .map(|key| {
            let template = format!("go-template={{{{.data.{key} | base64decode}}}}");
            world.kubectl(&["get", "secret", "wa-backups", "-o", &template])
        })
        .to_vec()
}

/// A proxy that knows the Route's host, as one of a company does, and no other; its address.
fn proxy(router: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            thread::spawn(move || tunnel(client.unwrap(), router));
        }
    });
    format!("http://{address}")
}

fn tunnel(mut client: TcpStream, router: SocketAddr) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    if !request.starts_with(&format!("CONNECT {ROUTE_HOST}:443 ")) {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(router)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client);
    thread::spawn(move || {
        let copied = io::copy(&mut from_server, &mut to_client);
        // Both have ended then.
        let _ = to_client.shutdown(std::net::Shutdown::Both);
        copied
    });
    let copied = io::copy(&mut reader, &mut server).map(drop);
    let _ = server.shutdown(std::net::Shutdown::Both);
    copied
}

#[test]
fn a_backup_in_the_bucket_of_a_claim_is_taken_and_read_on_each_way_there() {
    let world = World::shared();
    let scratch = world.scratch();
    let directory = scratch.path();
    wait_until("the claim is Bound", || {
        let phase = ["get", "obc", "wa-backups", "-o", "jsonpath={.status.phase}"];
        world.kubectl(&phase) == "Bound"
    });

    // Nobody here knows the name of the Service or of the Route. The line breaks in the middle.
    let forwards = || Matcher {
        subresource: Some("portforward".to_owned()),
        ..Matcher::default()
    };
    world.fault(forwards(), Some(3), Effect::CutAfter { bytes: 3000 });
    let create = ["create", "--to", URL, "--encrypt-to", RECIPIENT];
    let created = backup(&world, directory, &create).expect_code(0);
    assert!(created.stdout.contains(URL), "{}", created.stdout);
    for told in [
        "of ObjectBucketClaim wa-backups, at https://s3.openshift-storage.svc through the API server and pod openshift-storage/noobaa-endpoint-",
        "is not off-site",
        "deleting the ObjectBucketClaim wa-backups deletes every backup in it",
    ] {
        assert!(created.stderr.contains(told), "{told}: {}", created.stderr);
    }
    let bucket = fs::read_dir(world.sandbox().buckets()).unwrap();
    let bucket = bucket
        .map(|entry| entry.unwrap().path())
        .find(|path| path.join("sets").is_dir());
    let bucket = bucket.expect("a bucket with sets");
    let set = world.only_set(&bucket.join("sets"));
    assert!(set.join("backup.json").is_file() && set.join("store.dump.age").is_file());

    let latest = format!("{URL}/latest");
    let list = backup(&world, directory, &["list", URL, "-o", "json"]).expect_code(0);
    assert_eq!(list.json()["backups"][0]["state"], "complete");
    assert!(!list.stderr.contains("off-site"), "{}", list.stderr);
    backup(&world, directory, &["copy", &latest, "sets"]).expect_code(0);
    backup(&world, directory, &["status", URL, "--max-age", "1h"]).expect_code(0);

    // By a proxy that knows the Route, which comes before the port-forward.
    let proxy = proxy(world.sandbox().router());
    let mut by_route = command(&world, directory, &["verify", &latest]);
    let verified = run(by_route.env("HTTPS_PROXY", &proxy)).expect_code(7);
    let route = format!("by the Route https://{ROUTE_HOST}");
    assert!(verified.stderr.contains(&route), "{}", verified.stderr);
    // The proxy has no part in a port-forward.
    let forward = ["--bucket-via", "port-forward"];
    let mut forwarded = command(&world, directory, &[&["list", URL], &forward[..]].concat());
    run(forwarded
        .env("HTTPS_PROXY", &proxy)
        .env("NO_PROXY", "127.0.0.1"))
    .expect_code(0);
    backup(&world, directory, &["list", URL, "--bucket-via", "route"])
        .expect_code(1)
        .expect_error(&["cannot be reached", "route: https://"]);
    backup(&world, directory, &["list", URL, "--bucket-via", "direct"])
        .expect_code(1)
        .expect_error(&["cannot be reached", "direct: "]);

    for key in keys(&world) {
        for outcome in [&created, &list, &verified] {
            assert!(!outcome.everything().contains(&key));
        }
    }
}

#[test]
fn what_keeps_a_claim_from_being_used_is_told_in_words() {
    // Its own: at the end it has no ObjectBucketClaims.
    let world = World::start(Profile::default());
    let scratch = world.scratch();
    let directory = scratch.path();
    let claim = |name: &str, class: &str| {
        world.create(&json!({
            "apiVersion": "objectbucket.io/v1alpha1", "kind": "ObjectBucketClaim", "metadata": {"name": name},
            "spec": {"generateBucketName": name, "storageClassName": class},
        }));
    };
    let phase = |name: &str| world.kubectl(&["get", "obc", name, "-o", "jsonpath={.status.phase}"]);
    // A user's own, of a class that keeps its buckets.
    world.create(&json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "kept"},
        "provisioner": "openshift-storage.noobaa.io/obc", "reclaimPolicy": "Retain",
    }));
    claim("own", "kept");
    claim("nobodys", "no-such-class");
    wait_until("the claims are Bound", || {
        phase("own") == "Bound" && phase("wa-backups") == "Bound"
    });
    let created = backup(&world, directory, &["create", "--to", "obc://own"]).expect_code(0);
    let told = "stays when the ObjectBucketClaim own is deleted";
    assert!(created.stderr.contains(told), "{}", created.stderr);

    let refused = |arguments: &[&str], told: &[&str]| refused(&world, directory, arguments, told);
    refused(
        &["list", "obc://nobody"],
        &[
            "there is no ObjectBucketClaim nobody",
            "there are: nobodys, own, wa-backups",
        ],
    );
    refused(&["list", "obc://nobodys"], &["is not Bound"]);
    refused(
        &["list", "obc://"],
        &["the name of the ObjectBucketClaim is missing"],
    );
    refused(
        &["list", "obc://UPPER"],
        &["is no name of an ObjectBucketClaim"],
    );
    refused(
        &["list", "obc://wa-backups", "-n", "default"],
        &["there is no ObjectBucketClaim wa-backups in namespace \"default\", and no other"],
    );

    roles_suffice(&world, directory);
    what_claims_say_is_looked_at(&world, directory);
    claims_take_their_buckets_along(&world);
    world.kubectl(&["delete", "crd", "objectbucketclaims.objectbucket.io"]);
    refused(
        &["list", "obc://own"],
        &["this cluster has no ObjectBucketClaims"],
    );
}

#[track_caller]
fn refused(world: &World, directory: &Path, arguments: &[&str], told: &[&str]) {
    backup(world, directory, arguments)
        .expect_code(1)
        .expect_error(told);
}

/// With the roles that are printed for it, and without the one in the namespace of the object storage.
fn roles_suffice(world: &World, directory: &Path) {
    let rbac = |more: &[&str]| {
        let role = [
            "rbac",
            "--for",
            "backup:check",
            "-n",
            "cpd",
            "-i",
            "wa",
            "--bucket-claim",
            "own",
        ];
        let bind = ["--bind-user", "reader", "-o", "json"];
        let roles = backup(world, directory, &[&role, more, &bind].concat()).expect_code(0);
        fs::write(directory.join("roles.json"), &roles.stdout).unwrap();
        let mut apply = world.command("kubectl");
        run(apply
            .args(["apply", "--validate=false", "-f", "roles.json"])
            .current_dir(directory))
        .expect_code(0);
    };
    rbac(&[]);
    let reader = world.sandbox().user_kubeconfig("reader").unwrap();
    let as_reader =
        |url: &str| run(command(world, directory, &["list", url]).env("KUBECONFIG", &reader));
    as_reader("obc://own").expect_code(1).expect_error(&[
        "you may not list routes.route.openshift.io in namespace \"openshift-storage\"",
        "you may not get services, list pods, get pods/portforward, create pods/portforward in namespace \"openshift-storage\"",
    ]);
    as_reader("obc://wa-backups").expect_code(1).expect_error(&[
        "you may not get objectbucketclaims.objectbucket.io/wa-backups, get configmaps/wa-backups, get secrets/wa-backups",
    ]);
    rbac(&["--object-storage-namespace", "openshift-storage"]);
    as_reader("obc://own").expect_code(0);
    // Without the service CA nobody knows whose certificate that is.
    let forbidden = Effect::Status {
        code: 403,
        message: String::new(),
        retry_after: None,
    };
    let on = Matcher {
        name: Some("openshift-service-ca.crt".to_owned()),
        ..Matcher::default()
    };
    world.fault(on, None, forbidden);
    as_reader("obc://own")
        .expect_code(1)
        .expect_error(&["port-forward: the store's certificate is not trusted"]);
    world.sandbox().faults().clear();
}

/// Keys that do not fit, another's bucket, an endpoint that is not encrypted, and one that is none of the cluster's.
fn what_claims_say_is_looked_at(world: &World, directory: &Path) {
    let refused = |arguments: &[&str], told: &[&str]| refused(world, directory, arguments, told);
    let patch = |data: serde_json::Value| {
        let patch = json!({ "data": data }).to_string();
        world.kubectl(&["patch", "configmap", "own", "--type=merge", "-p", &patch]);
    };
    let wrong = "a-secret-that-is-wrong";
    let right = keys(world);
    patch(json!({"BUCKET_NAME": "wa-backups-other"}));
    refused(&["list", "obc://own"], &["these keys may not do that"]);
    patch(json!({"BUCKET_HOST": "http://s3.openshift-storage.svc", "BUCKET_PORT": "80"}));
    refused(
        &["list", "obc://own"],
        &[
            "direct: http://s3.openshift-storage.svc is not encrypted",
            "port-forward: Service openshift-storage/s3 has no port 80",
        ],
    );
    patch(json!({"BUCKET_HOST": "127.0.0.1", "BUCKET_PORT": "1"}));
    refused(
        &["list", "obc://own"],
        &[
            "direct: Connection refused",
            "port-forward: 127.0.0.1 is no Service of the cluster",
        ],
    );
    patch(json!({"BUCKET_HOST": "a b"}));
    refused(
        &["list", "obc://own"],
        &["its BUCKET_HOST is no name of a host"],
    );
    world.kubectl(&[
        "patch",
        "secret",
        "wa-backups",
        "--type=merge",
        "-p",
        &json!({"data": {"AWS_SECRET_ACCESS_KEY": "YS1zZWNyZXQtdGhhdC1pcy13cm9uZw=="}}).to_string(),
    ]);
    let outcome = backup(world, directory, &["list", "obc://wa-backups"])
        .expect_code(1)
        .expect_error(&["the keys do not fit"]);
    assert!(!outcome.everything().contains(wrong) && !outcome.everything().contains(&right[1]));
}

/// As their class says, and the keys in any case.
fn claims_take_their_buckets_along(world: &World) {
    let buckets = || {
        fs::read_dir(world.sandbox().buckets())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
    };
    assert_eq!(buckets(), 2);
    world.kubectl(&["delete", "obc", "own", "wa-backups", "nobodys"]);
    assert_eq!(buckets(), 1, "of two, the one whose class says Retain");
    let left = world.kubectl(&[
        "get",
        "objectbuckets",
        "-o",
        "jsonpath={.items[*].status.phase}",
    ]);
    assert_eq!(left, "Released");
    let gone = run(world.command("kubectl").args(["get", "secret", "own"]));
    assert_ne!(gone.code, 0);
}
