//! The kinds that a Watson Assistant, its database and its neighbours bring to a cluster.

use kube_sandbox::meta::Resource;

const fn assistant(
    names: (&'static str, &'static str, &'static str),
    short_names: &'static [&'static str],
) -> Resource {
    Resource {
        categories: &["waall"],
        ..Resource::custom("assistant.watson.ibm.com", "v1", names, short_names)
    }
}

/// EDB's PostgreSQL cluster.
pub static POSTGRES_CLUSTERS: Resource = Resource::custom(
    "postgresql.k8s.enterprisedb.io",
    "v1",
    ("clusters", "cluster", "Cluster"),
    &[],
);

/// The Watson Assistant instance.
pub static ASSISTANTS: Resource = assistant(
    ("watsonassistants", "watsonassistant", "WatsonAssistant"),
    &["wa"],
);

/// The part of it that holds the store.
pub static ASSISTANT_STORES: Resource = assistant(
    (
        "watsonassistantstores",
        "watsonassistantstore",
        "WatsonAssistantStore",
    ),
    &[],
);

/// The part that understands language.
pub static ASSISTANT_CLUS: Resource = assistant(
    (
        "watsonassistantclus",
        "watsonassistantclu",
        "WatsonAssistantClu",
    ),
    &[],
);

/// The part that runs models.
pub static ASSISTANT_CLU_RUNTIMES: Resource = assistant(
    (
        "watsonassistantcluruntimes",
        "watsonassistantcluruntime",
        "WatsonAssistantCluRuntime",
    ),
    &[],
);

/// The part that trains models.
pub static ASSISTANT_CLU_TRAININGS: Resource = assistant(
    (
        "watsonassistantclutrainings",
        "watsonassistantclutraining",
        "WatsonAssistantCluTraining",
    ),
    &[],
);

/// A lasting change to what the operator renders.
pub static TEMPORARY_PATCHES: Resource = assistant(
    ("temporarypatches", "temporarypatch", "TemporaryPatch"),
    &[],
);

/// What Watson Discovery calls the same.
pub static DISCOVERY_PATCHES: Resource = Resource::custom(
    "discovery.watson.ibm.com",
    "v1",
    ("temporarypatches", "temporarypatch", "TemporaryPatch"),
    &[],
);

/// What knative passes events on by.
pub static BROKERS: Resource = Resource::custom(
    "eventing.knative.dev",
    "v1",
    ("brokers", "broker", "Broker"),
    &[],
);

/// Who gets which of a broker's events.
pub static TRIGGERS: Resource = Resource::custom(
    "eventing.knative.dev",
    "v1",
    ("triggers", "trigger", "Trigger"),
    &[],
);

/// What the object storage of OpenShift Data Foundation keeps its objects in.
pub static BACKING_STORES: Resource = Resource::custom(
    "noobaa.io",
    "v1alpha1",
    ("backingstores", "backingstore", "BackingStore"),
    &[],
);

/// A wish for a bucket.
pub static OBJECT_BUCKET_CLAIMS: Resource = Resource::custom(
    "objectbucket.io",
    "v1alpha1",
    (
        "objectbucketclaims",
        "objectbucketclaim",
        "ObjectBucketClaim",
    ),
    &["obc", "obcs"],
);

/// A bucket.
pub static OBJECT_BUCKETS: Resource = Resource {
    namespaced: false,
    ..Resource::custom(
        "objectbucket.io",
        "v1alpha1",
        ("objectbuckets", "objectbucket", "ObjectBucket"),
        &["ob", "obs"],
    )
};

/// What makes a Service reachable from outside of an OpenShift cluster.
pub static ROUTES: Resource = Resource::custom(
    "route.openshift.io",
    "v1",
    ("routes", "route", "Route"),
    &[],
);

/// All of them.
pub static ALL: &[&Resource] = &[
    &POSTGRES_CLUSTERS,
    &ASSISTANTS,
    &ASSISTANT_STORES,
    &ASSISTANT_CLUS,
    &ASSISTANT_CLU_RUNTIMES,
    &ASSISTANT_CLU_TRAININGS,
    &TEMPORARY_PATCHES,
    &DISCOVERY_PATCHES,
    &BROKERS,
    &TRIGGERS,
    &BACKING_STORES,
    &OBJECT_BUCKET_CLAIMS,
    &OBJECT_BUCKETS,
    &ROUTES,
];
