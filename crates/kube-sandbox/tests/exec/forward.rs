//! Ports of pods, as clients see them.

use kube_sandbox::meta::resources;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::cluster::{Cluster, Received, bytes_of};

const OFFERED: &str = "v5.channel.k8s.io, v4.channel.k8s.io";

#[tokio::test]
async fn a_forwarded_port_leads_to_what_listens_behind_the_service_in_front_of_the_pod() {
    let cluster = Cluster::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4];
        socket.read_exact(&mut asked).await.unwrap();
        socket.write_all(&asked).await.unwrap();
    });
    let labelled = |pod: &mut serde_json::Value| pod["metadata"]["labels"] = json!({"app": "t"});
    let modified = cluster
        .store
        .modify(&resources::PODS, "default", "t", labelled);
    modified.unwrap();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"},
        "spec": {"clusterIP": "127.0.0.1", "selector": {"app": "t"}, "ports": [{"port": 443, "targetPort": port}]},
    });
    cluster.store.create(&resources::SERVICES, service).unwrap();

    let path = |port: u16| format!("/api/v1/namespaces/default/pods/t/portforward?ports={port}");
    let mut forward = cluster.open(&path(port), OFFERED).await.unwrap();
    assert_eq!(forward.subprotocol, "v4.channel.k8s.io");
    forward.send(0, b"ping").await;
    let received = forward.rest().await;
    let number = port.to_le_bytes();
    assert_eq!(bytes_of(0, &received), [&number[..], b"ping"].concat());
    assert_eq!(bytes_of(1, &received), number);
    assert_eq!(received.last(), Some(&Received::Close(1000, String::new())));

    // No Service leads to this one.
    let mut forward = cluster.open(&path(1), OFFERED).await.unwrap();
    let received = forward.rest().await;
    let told = String::from_utf8(bytes_of(1, &received)[2..].to_vec()).unwrap();
    assert!(
        told.starts_with("error forwarding port 1 to pod "),
        "{told}"
    );
    assert!(told.ends_with("connect: connection refused"), "{told}");

    for (path, status) in [
        (
            "/api/v1/namespaces/default/pods/gone/portforward?ports=1",
            404,
        ),
        ("/api/v1/namespaces/default/pods/t/portforward?ports=x", 400),
        ("/api/v1/namespaces/default/pods/t/portforward", 400),
    ] {
        let refused = cluster.open(path, OFFERED).await.err().unwrap();
        assert_eq!(refused.status(), status, "{path}");
    }
}
