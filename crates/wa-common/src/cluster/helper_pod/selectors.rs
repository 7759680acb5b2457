//! By which labels Services and disruption budgets select pods.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::Resource;
use kube::core::{Selector, SelectorExt as _};
use serde::de::DeserializeOwned;

use super::super::{Cluster, ClusterError};

/// The selectors of the namespace's Services and PodDisruptionBudgets; none of a kind that the user may not list, or that
/// the cluster does not know.
pub async fn selectors(cluster: &Cluster) -> Result<Vec<LabelSelector>, ClusterError> {
    let services: Vec<Service> = where_allowed(cluster).await?;
    let budgets: Vec<PodDisruptionBudget> = where_allowed(cluster).await?;
    let of_services = services.into_iter().filter_map(|service| {
        Some(LabelSelector {
            match_labels: Some(service.spec?.selector?),
            match_expressions: None,
        })
    });
    let of_budgets = budgets
        .into_iter()
        .filter_map(|budget| budget.spec?.selector);
    Ok(of_services.chain(of_budgets).collect())
}

async fn where_allowed<K>(cluster: &Cluster) -> Result<Vec<K>, ClusterError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    match cluster.list("").await {
        Err(error) if matches!(error.code(), Some(403 | 404)) => Ok(Vec::new()),
        listed => listed,
    }
}

/// Takes away the labels by which any of the selectors selects them.
pub(super) fn unselect(labels: &mut BTreeMap<String, String>, selectors: &[LabelSelector]) {
    // Without a label, what selects pods that lack it may select them.
    while let Some(selector) = selectors.iter().find(|selector| {
        selects(selector, labels) && keys(selector).any(|key| labels.contains_key(key))
    }) {
        for key in keys(selector) {
            labels.remove(key);
        }
    }
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let selector = Selector::try_from(selector.clone());
    selector.is_ok_and(|selector| selector.matches(labels))
}

fn keys(selector: &LabelSelector) -> impl Iterator<Item = &String> {
    let of_labels = selector.match_labels.iter().flat_map(BTreeMap::keys);
    let of_expressions = selector.match_expressions.iter().flatten();
    of_labels.chain(of_expressions.map(|LabelSelectorRequirement { key, .. }| key))
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use serde_json::json;

    use super::super::super::fake_api::FakeApi;
    use super::*;

    fn labels_left(selectors: serde_json::Value) -> Vec<String> {
        let mut labels = ["app", "release", "team"]
            .map(|key| (key.to_owned(), "wa".to_owned()))
            .into();
        let selectors: Vec<LabelSelector> = serde_json::from_value(selectors).unwrap();
        unselect(&mut labels, &selectors);
        assert!(!selectors.iter().any(|one| selects(one, &labels)));
        labels.into_keys().collect()
    }

    #[test]
    fn what_selects_a_pod_selects_it_no_more_and_other_labels_stay() {
        for (selector, left) in [
            (
                json!({"matchLabels": {"app": "wa"}}),
                &["release", "team"][..],
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["wa", "db"]}]}),
                &["app", "release"],
            ),
            (
                json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
                &["app", "release"],
            ),
            (
                json!({"matchLabels": {"app": "wa", "team": "wa"}}),
                &["release"],
            ),
            // These select others.
            (
                json!({"matchLabels": {"app": "wa", "component": "store"}}),
                &["app", "release", "team"],
            ),
            (
                json!({"matchLabels": {"app": "db"}}),
                &["app", "release", "team"],
            ),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}),
                &["app", "release", "team"],
            ),
        ] {
            assert_eq!(labels_left(json!([selector])), left, "{selector}");
        }
    }

    #[test]
    fn a_label_that_is_taken_away_does_not_let_another_selector_in() {
        let selectors = json!([
            {"matchLabels": {"app": "wa"}},
            {"matchLabels": {"team": "wa"}, "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
        ]);
        assert_eq!(labels_left(selectors), ["release"]);
    }

    #[tokio::test]
    async fn services_and_budgets_are_asked_where_they_may_be_listed() {
        let api = FakeApi::default();
        let service = json!({"metadata": {"name": "s"}, "spec": {"selector": {"app": "wa"}}});
        let headless = json!({"metadata": {"name": "external"}, "spec": {"externalName": "x"}});
        let budget = json!({
            "metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"team": "wa"}}},
        });
        api.put("services", service);
        api.put("services", headless);
        api.put("poddisruptionbudgets", budget);
        let cluster = api.cluster();
        assert_eq!(selectors(&cluster).await.unwrap().len(), 2);
        for refused in ["services", "poddisruptionbudgets"] {
            api.intercept(move |method, path, _| {
                (method == Method::GET && path == refused).then_some(StatusCode::FORBIDDEN)
            });
            assert_eq!(selectors(&cluster).await.unwrap().len(), 1, "{refused}");
        }
    }
}
