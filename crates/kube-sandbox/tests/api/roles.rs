//! Roles and bindings, made with kubectl, decide what a user may do.

use serde_json::json;

use crate::support::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_do_what_the_bound_role_names_and_nothing_else() {
    let cluster = Cluster::start().await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "wa-pvc", "namespace": "cpd" },
        "rules": [
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] },
            { "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["wa-store-vcap"], "verbs": ["get"] },
            { "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"] },
        ],
    });
    for name in ["wa-store-vcap", "other"] {
        let secret = ["create", "secret", "generic", name];
        cluster.kubectl(&secret).await.ok();
    }
    let before = cluster.kubectl(&["get", "pods", "--as=alice"]).await;
    assert!(before.error().contains("(Forbidden)"));

    let manifest = cluster.manifest(&role);
    cluster.kubectl(&["apply", "-f", &manifest]).await.ok();
    let bind = [
        "create",
        "rolebinding",
        "wa-pvc",
        "--role=wa-pvc",
        "--user=alice",
    ];
    cluster.kubectl(&bind).await.ok();
    for (question, answer) in [
        (&["list", "pods"][..], "yes"),
        (&["create", "pods", "--subresource=exec"], "yes"),
        (&["create", "pods"], "no"),
        (&["get", "secret/wa-store-vcap"], "yes"),
        (&["get", "secrets"], "no"),
        (&["get", "secret/other"], "no"),
        (&["delete", "pods"], "no"),
        (&["list", "pods", "-n", "default"], "no"),
    ] {
        let ask = [&["auth", "can-i", "--as=alice"], question].concat();
        let said = cluster.kubectl(&ask).await.stdout;
        assert_eq!(said.trim(), answer, "{question:?}");
    }
    cluster
        .kubectl(&["get", "secret", "wa-store-vcap", "--as=alice"])
        .await
        .ok();
    let refused = cluster
        .kubectl(&["get", "secret", "other", "--as=alice"])
        .await;
    assert_eq!(
        refused.error().trim(),
        "Error from server (Forbidden): secrets \"other\" is forbidden: User \"alice\" cannot get resource \"secrets\" in \
         API group \"\" in the namespace \"cpd\""
    );

    cluster
        .kubectl(&["delete", "rolebinding", "wa-pvc"])
        .await
        .ok();
    let after = cluster.kubectl(&["get", "pods", "--as=alice"]).await;
    assert!(after.error().contains("(Forbidden)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_role_holds_everywhere_or_in_the_binding_s_namespace() {
    let cluster = Cluster::start().await;
    let create_role = [
        "create",
        "clusterrole",
        "volumes",
        "--verb=get,list",
        "--resource=persistentvolumes,configmaps",
    ];
    cluster.kubectl(&create_role).await.ok();
    for (kind, subject) in [
        ("rolebinding", "--user=in-one"),
        ("clusterrolebinding", "--group=everywhere"),
    ] {
        let bind = ["create", kind, "volumes", "--clusterrole=volumes", subject];
        cluster.kubectl(&bind).await.ok();
    }
    for (who, namespace, resource, answer) in [
        ("--as=in-one", "cpd", "configmaps", "yes"),
        ("--as=in-one", "default", "configmaps", "no"),
        ("--as-group=everywhere", "default", "configmaps", "yes"),
        ("--as-group=everywhere", "cpd", "persistentvolumes", "yes"),
    ] {
        let ask = ["auth", "can-i", "list", resource, "-n", namespace, who];
        let with_user = if who.starts_with("--as-group") {
            [&ask[..], &["--as=somebody"]].concat()
        } else {
            ask.to_vec()
        };
        let said = cluster.kubectl(&with_user).await.stdout;
        assert_eq!(said.trim(), answer, "{who} {resource} in {namespace}");
    }
    let volumes = cluster.kubectl(&["get", "pv", "--as=in-one"]).await;
    assert!(volumes.error().contains("at the cluster scope"));
    let listed = cluster.kubectl(&["get", "rolebindings"]).await;
    assert!(listed.ok().contains("ClusterRole/volumes"));
}
