//! What the user must be allowed to do to reach a bucket by its claim.

use wa_common::preflight::{Access, Needed, Place, on_object, verbs};

/// The ConfigMap that every namespace of OpenShift has, with the certificate of what signs those of Services.
pub(crate) const SERVICE_CA: &str = "openshift-service-ca.crt";

/// All that a command with `obc://NAME` may need, of a claim of that name.
pub fn to_reach(claim: &str) -> Vec<Access> {
    let certificates = verbs(
        &["get"],
        "",
        "configmaps",
        "reads the certificate by which the object storage is trusted",
    );
    let classes = verbs(
        &["get"],
        "storage.k8s.io",
        "storageclasses",
        "tells whether the bucket is deleted with its claim",
    );
    vec![
        Access::always(Place::Instance, to_read_claim(claim)),
        Access::always(Place::Instance, on_object(SERVICE_CA, certificates)),
        Access::always(Place::ObjectStorage, to_find_route())
            .when("where it is not reached directly")
            .or("no Route is taken"),
        Access::always(Place::ObjectStorage, to_forward())
            .when("where it is reached neither directly nor by a Route"),
        Access::always(Place::Everywhere, classes).or("that is not told"),
    ]
}

/// To read a claim of that name, and what belongs to it.
pub(crate) fn to_read_claim(claim: &str) -> Vec<Needed> {
    let needed = [
        verbs(
            &["get"],
            "objectbucket.io",
            "objectbucketclaims",
            "finds the bucket",
        ),
        verbs(&["get"], "", "configmaps", "reads where the bucket is"),
        verbs(&["get"], "", "secrets", "reads the bucket's keys"),
    ];
    on_object(claim, needed.concat())
}

fn to_find_route() -> Vec<Needed> {
    verbs(
        &["list"],
        "route.openshift.io",
        "routes",
        "finds the Route to the object storage",
    )
}

/// To reach a port of what is behind a Service.
pub(crate) fn to_forward() -> Vec<Needed> {
    [
        verbs(
            &["get"],
            "",
            "services",
            "finds what the object storage runs in",
        ),
        verbs(
            &["list"],
            "",
            "pods",
            "finds a pod of the object storage that is ready",
        ),
        // A WebSocket, as with commands in pods: `get`, and since Kubernetes 1.35 `create` as well.
        verbs(
            &["get", "create"],
            "",
            "pods/portforward",
            "reaches the object storage through the API server",
        ),
    ]
    .concat()
}
