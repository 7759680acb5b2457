//! The labels and annotations that a helper pod takes over from the pod it is derived from.
//!
//! Policies let pods in by them, and injectors of sidecars are turned off by them. What others find their own pods by must
//! not be among them: the helper would get a Service's traffic, or count as a backup.

use std::collections::BTreeMap;

use super::HELPER_CONTAINER;

type Entries = BTreeMap<String, String>;

/// Labels by which controllers find their pods.
const OF_CONTROLLERS: [&str; 5] = [
    "component",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-hash",
];
const OF_CONTROLLERS_PREFIXES: [&str; 4] = [
    "apps.kubernetes.io/",
    "batch.kubernetes.io/",
    "kubectl-wa/",
    "statefulset.kubernetes.io/",
];
/// Annotations in which a cluster notes what it did with a pod. A pod that has them may be taken for one that is done.
const NOTES: [&str; 9] = [
    "k8s.ovn.org/pod-networks",
    "k8s.v1.cni.cncf.io/network-status",
    "k8s.v1.cni.cncf.io/networks-status",
    "kubectl.kubernetes.io/default-container",
    "kubectl.kubernetes.io/default-logs-container",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubernetes.io/limit-ranger",
    "openshift.io/scc",
    "sidecar.istio.io/status",
];
const NOTES_PREFIXES: [&str; 4] = [
    "batch.kubernetes.io/",
    "cni.projectcalico.org/",
    "kubernetes.io/config.",
    "seccomp.security.alpha.kubernetes.io/",
];
/// Annotations that end in the name of a container, which must be there.
const OF_A_CONTAINER: [&str; 2] = [
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
];

/// What is kept of a pod's labels.
pub(super) fn kept_labels(labels: Option<&Entries>) -> Entries {
    without(labels, &OF_CONTROLLERS, &OF_CONTROLLERS_PREFIXES)
}

/// What is kept of a pod's annotations, where the helper is derived from its container called `container`.
pub(super) fn kept_annotations(annotations: Option<&Entries>, container: &str) -> Entries {
    let mut kept = without(annotations, &NOTES, &NOTES_PREFIXES);
    for prefix in OF_A_CONTAINER {
        let own = kept.remove(&format!("{prefix}{container}"));
        kept.retain(|key, _| !key.starts_with(prefix));
        kept.extend(own.map(|value| (format!("{prefix}{HELPER_CONTAINER}"), value)));
    }
    kept
}

fn without(entries: Option<&Entries>, keys: &[&str], prefixes: &[&str]) -> Entries {
    let is_kept =
        |key: &str| !keys.contains(&key) && !prefixes.iter().any(|prefix| key.starts_with(prefix));
    let mut kept = entries.cloned().unwrap_or_default();
    kept.retain(|key, _| is_kept(key));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries<const N: usize>(entries: [(&str, &str); N]) -> Entries {
        entries
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn labels_are_kept_but_those_that_controllers_find_their_pods_by() {
        let labels = entries([
            ("app.kubernetes.io/instance", "wa"),
            ("cost-center", "42"),
            ("component", "store-cronjob"),
            ("controller-uid", "u"),
            ("job-name", "j"),
            ("batch.kubernetes.io/controller-uid", "u"),
            ("batch.kubernetes.io/job-name", "j"),
            ("pod-template-hash", "h"),
            ("statefulset.kubernetes.io/pod-name", "p"),
            ("kubectl-wa/run", "wa-pvc-1"),
        ]);
        let kept = entries([("app.kubernetes.io/instance", "wa"), ("cost-center", "42")]);
        assert_eq!(kept_labels(Some(&labels)), kept);
        assert_eq!(kept_labels(None), Entries::new());
    }

    #[test]
    fn annotations_are_kept_but_what_the_cluster_notes_on_a_pod() {
        let annotations = entries([
            ("sidecar.istio.io/inject", "false"),
            ("productVersion", "5.2.1"),
            ("openshift.io/required-scc", "restricted-v2"),
            ("openshift.io/scc", "restricted-v2"),
            ("sidecar.istio.io/status", "{}"),
            ("k8s.v1.cni.cncf.io/network-status", "[]"),
            ("cni.projectcalico.org/podIP", "10.0.0.1"),
            ("kubectl.kubernetes.io/default-container", "backup"),
        ]);
        let kept = entries([
            ("sidecar.istio.io/inject", "false"),
            ("productVersion", "5.2.1"),
            ("openshift.io/required-scc", "restricted-v2"),
        ]);
        assert_eq!(kept_annotations(Some(&annotations), "backup"), kept);
    }

    #[test]
    fn an_annotation_about_a_container_is_about_the_helper() {
        let apparmor = |container: &str| format!("{}{container}", OF_A_CONTAINER[0]);
        let (own, other) = (apparmor("backup"), apparmor("proxy"));
        let annotations = entries([(&*own, "runtime/default"), (&*other, "unconfined")]);
        let kept = entries([(&*apparmor(HELPER_CONTAINER), "runtime/default")]);
        assert_eq!(kept_annotations(Some(&annotations), "backup"), kept);
    }
}
