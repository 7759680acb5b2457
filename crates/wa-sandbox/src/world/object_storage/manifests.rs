//! Its objects.

use serde_json::{Value, json};

use super::{BUCKET_CLAIM, CLASS, POD_PORT, PORT, ROUTE_HOST, SERVICE, STORAGE_NAMESPACE};
use crate::world::{Names, kinds};

/// The image of the pods.
pub(super) const IMAGE: &str = "registry.redhat.io/odf4/mcg-core-rhel9:4.16";
/// What provides the buckets.
pub(super) const PROVISIONER: &str = "openshift-storage.noobaa.io/obc";

fn labels() -> Value {
    json!({ "app": "noobaa", "noobaa-s3": "noobaa" })
}

pub(super) fn class() -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": CLASS },
        "provisioner": PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
        "parameters": { "bucketclass": "noobaa-default-bucket-class" },
    })
}

/// What runs is elsewhere; its pods are ready as soon as they are there.
pub(super) fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "noobaa-endpoint", "namespace": STORAGE_NAMESPACE, "labels": labels() },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels() },
            "template": {
                "metadata": { "labels": labels() },
                "spec": {
                    "containers": [{
                        "name": "endpoint", "image": IMAGE, "resources": {},
                        "ports": [{ "name": "s3-https", "containerPort": POD_PORT, "protocol": "TCP" }],
                    }],
                    "terminationGracePeriodSeconds": 0,
                },
            },
        },
    })
}

pub(super) fn service(address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": SERVICE, "namespace": STORAGE_NAMESPACE, "labels": { "app": "noobaa" },
            "annotations": { "service.beta.openshift.io/serving-cert-secret-name": "noobaa-s3-serving-cert" },
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "sessionAffinity": "None",
            "ports": [{ "name": "s3-https", "port": PORT, "protocol": "TCP", "targetPort": POD_PORT }],
            "selector": { "noobaa-s3": "noobaa" },
        },
        "status": { "loadBalancer": {} },
    })
}

pub(super) fn route() -> Value {
    json!({
        "apiVersion": kinds::ROUTES.api_version(), "kind": kinds::ROUTES.kind,
        "metadata": { "name": SERVICE, "namespace": STORAGE_NAMESPACE, "labels": { "app": "noobaa" } },
        "spec": {
            "host": ROUTE_HOST,
            "to": { "kind": "Service", "name": SERVICE, "weight": 100 },
            "port": { "targetPort": "s3-https" },
            "tls": { "termination": "reencrypt", "insecureEdgeTerminationPolicy": "Allow" },
            "wildcardPolicy": "None",
        },
        "status": { "ingress": [{
            "host": ROUTE_HOST, "routerName": "default", "wildcardPolicy": "None",
            "conditions": [{ "type": "Admitted", "status": "True" }],
        }] },
    })
}

pub(super) fn claim(names: &Names) -> Value {
    json!({
        "apiVersion": kinds::OBJECT_BUCKET_CLAIMS.api_version(), "kind": kinds::OBJECT_BUCKET_CLAIMS.kind,
        "metadata": { "name": BUCKET_CLAIM, "namespace": names.namespace },
        "spec": { "generateBucketName": BUCKET_CLAIM, "storageClassName": CLASS },
    })
}
