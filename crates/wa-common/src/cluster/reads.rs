//! Looking things up in the cluster: one object, or those of a list, which comes in pages.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::{Cluster, ClusterError};

/// Objects asked for at once: less than kubectl's `--chunk-size`, since a page of pods with all their status is parsed as
/// a whole.
const PAGE: u32 = 100;
/// How often a list is begun anew in pages when its pages have expired.
const LIST_RESTARTS: u32 = 2;

/// A kind of Kubernetes' own objects that are in a namespace.
pub trait InNamespace:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

impl<K> InNamespace for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
{
}

impl Cluster {
    /// The server's version, as `v1.29.4`.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let info = self
            .send_idempotent("get /version", || self.client().apiserver_version())
            .await?;
        Ok(info.git_version)
    }

    /// One object of this namespace, or `None` where there is none of that name.
    pub async fn find<K: InNamespace>(&self, name: &str) -> Result<Option<K>, ClusterError> {
        let api = self.namespaced::<K>();
        self.send_idempotent(&format!("get {} {name}", K::plural(&())), || {
            api.get_opt(name)
        })
        .await
    }

    /// One object that is in no namespace, or `None` where there is none of that name.
    pub async fn find_global<K>(&self, name: &str) -> Result<Option<K>, ClusterError>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client().clone());
        self.send_idempotent(&format!("get {} {name}", K::plural(&())), || {
            api.get_opt(name)
        })
        .await
    }

    /// Objects of this namespace with `labels` (a label selector).
    pub async fn list<K: InNamespace>(&self, labels: &str) -> Result<Vec<K>, ClusterError> {
        self.list_matching(labels, |_| true).await
    }

    /// Those objects of this namespace with `labels` that `matches` picks. The others are dropped page by page: a
    /// namespace may hold thousands.
    pub async fn list_matching<K: InNamespace>(
        &self,
        labels: &str,
        matches: impl Fn(&K) -> bool,
    ) -> Result<Vec<K>, ClusterError> {
        let parameters = ListParams::default().labels(labels);
        self.pages(&self.namespaced(), &listing::<K>(), parameters, matches)
            .await
    }

    /// All objects of a kind that is in no namespace.
    pub async fn list_global<K>(&self) -> Result<Vec<K>, ClusterError>
    where
        K: Resource<Scope = ClusterResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.client().clone());
        let what = format!("list {}", K::plural(&()));
        self.pages(&api, &what, ListParams::default(), |_| true)
            .await
    }

    /// Those objects of all namespaces that `matches` picks; the others are dropped page by page.
    pub async fn list_everywhere<K: InNamespace>(
        &self,
        matches: impl Fn(&K) -> bool,
    ) -> Result<Vec<K>, ClusterError> {
        let api: Api<K> = Api::all(self.client().clone());
        let what = format!("{} in all namespaces", listing::<K>());
        self.pages(&api, &what, ListParams::default(), matches)
            .await
    }

    /// The objects of this name in all namespaces.
    pub async fn find_everywhere<K: InNamespace>(
        &self,
        name: &str,
    ) -> Result<Vec<K>, ClusterError> {
        let api: Api<K> = Api::all(self.client().clone());
        let what = format!("{} in all namespaces", listing::<K>());
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        self.pages(&api, &what, named, |_| true).await
    }

    /// What the API server serves under `api_version`, such as `apps/v1`; `None` where it has nothing of that name.
    pub async fn served_kinds(
        &self,
        api_version: &str,
    ) -> Result<Option<Vec<APIResource>>, ClusterError> {
        let answer = self
            .send_idempotent(&format!("discover {api_version}"), || {
                self.client().list_api_group_resources(api_version)
            })
            .await;
        match answer {
            Ok(list) => Ok(Some(list.resources)),
            Err(error) if error.code() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The objects of this namespace with `fields` (a field selector), such as the events about one object; asked for
    /// once, and none where that fails: they only explain what is known otherwise.
    pub async fn explanations<K: InNamespace>(&self, fields: &str) -> Vec<K> {
        let api = self.namespaced::<K>();
        let parameters = ListParams::default().fields(fields).limit(PAGE);
        let listed = self.once(&listing::<K>(), api.list(&parameters)).await;
        listed.map(|list| list.items).unwrap_or_default()
    }

    /// One custom resource of this namespace, or `None` where there is no such object or no such kind.
    pub async fn find_custom(
        &self,
        kind: &ApiResource,
        name: &str,
    ) -> Result<Option<DynamicObject>, ClusterError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client().clone(), self.namespace(), kind);
        self.send_idempotent(&format!("get {} {name}", kind.plural), || api.get_opt(name))
            .await
    }

    /// All custom resources of a kind, in this namespace or, with `everywhere`, in all.
    pub async fn list_custom(
        &self,
        kind: &ApiResource,
        everywhere: bool,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let api: Api<DynamicObject> = if everywhere {
            Api::all_with(self.client().clone(), kind)
        } else {
            Api::namespaced_with(self.client().clone(), self.namespace(), kind)
        };
        let what = format!("list {}", kind.plural);
        self.pages(&api, &what, ListParams::default(), |_| true)
            .await
    }

    /// Whether this cluster's namespace exists; `true` where the user may not know.
    ///
    /// Kubernetes answers a list in a namespace that does not exist with an empty list.
    pub async fn namespace_exists(&self) -> Result<bool, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client().clone());
        match self
            .send_idempotent(&format!("get namespace {}", self.namespace()), || {
                api.get_opt(self.namespace())
            })
            .await
        {
            Ok(found) => Ok(found.is_some()),
            Err(error) if error.code() == Some(403) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn namespaced<K: InNamespace>(&self) -> Api<K> {
        Api::namespaced(self.client().clone(), self.namespace())
    }

    async fn pages<K>(
        &self,
        api: &Api<K>,
        what: &str,
        parameters: ListParams,
        matches: impl Fn(&K) -> bool,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Clone + Debug + DeserializeOwned,
    {
        let first = parameters.limit(PAGE);
        let mut next = first.clone();
        let mut restarts = 0;
        let mut items = Vec::new();
        loop {
            let page = match self.send_idempotent(what, || api.list(&next)).await {
                // The server has forgotten the state that the pages are of. As kubectl, the last time without pages.
                Err(error) if error.code() == Some(410) && restarts <= LIST_RESTARTS => {
                    restarts += 1;
                    items.clear();
                    next = first.clone();
                    if restarts > LIST_RESTARTS {
                        next.limit = None;
                    }
                    continue;
                }
                page => page?,
            };
            items.extend(page.items.into_iter().filter(&matches));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => next = next.continue_token(&token),
                None => return Ok(items),
            }
        }
    }
}

/// What lists of these objects are called in errors.
fn listing<K: InNamespace>() -> String {
    format!("list {}", K::plural(&()))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::super::fake_api::FakeApi;
    use super::*;

    /// More than two pages.
    fn many() -> FakeApi {
        let api = FakeApi::default();
        for number in 0..=2 * PAGE {
            let name = format!("map-{number:03}");
            api.put("configmaps", json!({"metadata": {"name": name}}));
        }
        api
    }

    /// Lists them where the requests of these numbers, from 0, are answered with 410; returns how many requests that took.
    async fn requests_of_a_list(expired: impl Fn(u32) -> bool + Send + 'static) -> u32 {
        let api = many();
        let (asked, count) = std::sync::mpsc::channel();
        let mut number = 0;
        api.intercept(move |_, _, _| {
            asked.send(number).unwrap();
            number += 1;
            expired(number - 1).then_some(StatusCode::GONE)
        });
        let last = |map: &ConfigMap| map.name_any().ends_with("00");
        let found: Vec<ConfigMap> = api.cluster().list_matching("", last).await.unwrap();
        let names: Vec<String> = found.iter().map(ConfigMap::name_any).collect();
        assert_eq!(names, ["map-000", "map-100", "map-200"]);
        count.try_iter().last().unwrap() + 1
    }

    #[tokio::test]
    async fn a_list_comes_in_pages_and_is_begun_anew_when_they_expire() {
        assert_eq!(requests_of_a_list(|_| false).await, 3);
        assert_eq!(requests_of_a_list(|number| number == 2).await, 2 + 1 + 3);
        // In the end without pages, which cannot expire.
        let expired = |number| [1, 3, 5].contains(&number);
        assert_eq!(requests_of_a_list(expired).await, 7);
    }

    #[tokio::test]
    async fn a_list_that_always_expires_is_an_error() {
        let api = many();
        api.intercept(|_, _, _| Some(StatusCode::GONE));
        let listed = api.cluster().list::<ConfigMap>("").await;
        assert_eq!(listed.unwrap_err().code(), Some(410));
    }
}
