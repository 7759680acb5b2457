//! A connection to one cluster, and reads that end.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, Resource};
use kube_transfer::exec::StreamOptions;
use kube_transfer::{Captured, DownloadError, PodContainer, RemoteCommand, TransferOptions};
use serde::de::DeserializeOwned;

use super::credentials::Credentials;
use super::{ClusterError, ConnectionOptions, config, connect};
use crate::report::{Event, Reporter, error_text};

/// How often a read that failed for a passing reason is made again.
const READ_RETRIES: u32 = 3;
/// Objects asked for at once: less than kubectl's `--chunk-size`, since a page of pods with all their status is parsed as
/// a whole.
const PAGE: u32 = 100;
/// How often a list is begun anew in pages when its pages have expired.
const LIST_RESTARTS: u32 = 2;

/// One cluster, as one user, in one namespace.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: String,
    namespace: String,
    context: Option<String>,
    timeout: Option<Duration>,
    credentials: Arc<Credentials>,
    reporter: Arc<dyn Reporter>,
}

impl Cluster {
    /// Prepares a client. Nothing is sent yet. `program` is the name and version of the program as
    /// the API server's audit log is to show it.
    pub fn connect(
        options: &ConnectionOptions,
        program: &str,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, ClusterError> {
        let connection = config::load(options)?;
        let server = shown(&connection.server.url);
        let timeout = options.request_timeout;
        let namespace = connection.namespace.clone();
        let context = connection.context.clone();
        let (client, credentials) =
            connect::client(connection, program, timeout).map_err(|why| ClusterError::Tls {
                server: server.clone(),
                why,
            })?;
        Ok(Self {
            client,
            server,
            namespace,
            context,
            timeout,
            credentials,
            reporter,
        })
    }

    /// What answers is the test's.
    #[cfg(test)]
    pub(super) fn for_tests(client: Client, namespace: &str) -> Self {
        Self {
            client,
            server: "https://api.example:6443".to_owned(),
            namespace: namespace.to_owned(),
            context: None,
            timeout: None,
            credentials: Arc::new(Credentials::None),
            reporter: Arc::new(super::fake_api::Told::default()),
        }
    }

    /// The client, for what is not a read: it has no time-outs and no retries of its own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The limits of a transfer through this cluster: `--request-timeout` also holds for the opening of its stream.
    pub fn transfer_options(&self) -> TransferOptions {
        TransferOptions {
            stream: StreamOptions {
                open_timeout: self.timeout.unwrap_or(Duration::MAX),
                ..StreamOptions::default()
            },
            ..TransferOptions::default()
        }
    }

    /// The API server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The namespace of `-n`, else of the context.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same cluster and user, in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            ..self.clone()
        }
    }

    /// The same, with a deadline of its own for each request, whatever `--request-timeout` says.
    #[must_use]
    pub(crate) fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            timeout: Some(deadline),
            ..self.clone()
        }
    }

    /// The kubeconfig context, absent inside a pod.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// The server's version, as `v1.29.4`.
    pub async fn version(&self) -> Result<String, ClusterError> {
        let info = self
            .read("get /version", || self.client.apiserver_version())
            .await?;
        Ok(info.git_version)
    }

    /// One object of this namespace, or `None` where there is none of that name.
    pub async fn find<K>(&self, name: &str) -> Result<Option<K>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        self.read(&format!("get {} {name}", K::plural(&())), || {
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
        let api: Api<K> = Api::all(self.client.clone());
        self.read(&format!("get {} {name}", K::plural(&())), || {
            api.get_opt(name)
        })
        .await
    }

    /// Objects of this namespace with `labels` (a label selector).
    pub async fn list<K>(&self, labels: &str) -> Result<Vec<K>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.list_matching(labels, |_| true).await
    }

    /// Those objects of this namespace with `labels` that `matches` picks. The others are dropped page by page: a
    /// namespace may hold thousands.
    pub async fn list_matching<K>(
        &self,
        labels: &str,
        matches: impl Fn(&K) -> bool,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("list {}", K::plural(&()));
        let parameters = ListParams::default().labels(labels);
        self.pages(&api, &what, parameters, matches).await
    }

    /// The objects of this namespace with `fields` (a field selector), such as the events about one object; asked for
    /// once, and none where that fails: they only explain what is known otherwise.
    pub async fn explanations<K>(&self, fields: &str) -> Vec<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let what = format!("list {}", K::plural(&()));
        let parameters = ListParams::default().fields(fields).limit(PAGE);
        let listed = self.once(&what, api.list(&parameters)).await;
        listed.map(|list| list.items).unwrap_or_default()
    }

    /// One custom resource of this namespace, or `None` where there is no such object or no such kind.
    pub async fn find_custom(
        &self,
        kind: &ApiResource,
        name: &str,
    ) -> Result<Option<DynamicObject>, ClusterError> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, kind);
        self.read(&format!("get {} {name}", kind.plural), || api.get_opt(name))
            .await
    }

    /// All custom resources of a kind, in this namespace or, with `everywhere`, in all.
    pub async fn list_custom(
        &self,
        kind: &ApiResource,
        everywhere: bool,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let api: Api<DynamicObject> = if everywhere {
            Api::all_with(self.client.clone(), kind)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, kind)
        };
        let what = format!("list {}", kind.plural);
        self.pages(&api, &what, ListParams::default(), |_| true)
            .await
    }

    /// Whether this cluster's namespace exists; `true` where the user may not know.
    ///
    /// Kubernetes answers a list in a namespace that does not exist with an empty list.
    pub async fn namespace_exists(&self) -> Result<bool, ClusterError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        match self
            .read(&format!("get namespace {}", self.namespace), || {
                api.get_opt(&self.namespace)
            })
            .await
        {
            Ok(found) => Ok(found.is_some()),
            Err(error) if error.code() == Some(403) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Sends a request that changes nothing, with the deadline of `--request-timeout` for each attempt and a few
    /// attempts the user is told of.
    pub async fn read<T, F>(&self, what: &str, request: impl Fn() -> F) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let mut retry = 0;
        loop {
            let error = match self.once(what, request()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if retry == READ_RETRIES || !error.is_temporary() {
                return Err(error);
            }
            retry += 1;
            self.pause("request", retry, error.to_string()).await;
        }
    }

    /// Runs a short command that changes nothing in a pod; begins it again as [`Cluster::read`] does a request.
    pub async fn ask(
        &self,
        target: &PodContainer,
        command: &RemoteCommand,
    ) -> Result<Captured, DownloadError> {
        let mut retry = 0;
        loop {
            let options = self.transfer_options();
            match kube_transfer::run(&self.client, target, command, &options).await {
                Err(error) if error.is_temporary() && retry < READ_RETRIES => {
                    retry += 1;
                    self.pause("command", retry, error_text(&error.into()))
                        .await;
                }
                answer => return answer,
            }
        }
    }

    async fn pause(&self, step: &'static str, retry: u32, why: String) {
        let wait = Duration::from_millis(125 << retry);
        self.reporter.report(&Event::Retry {
            step,
            retry,
            retries: READ_RETRIES,
            wait,
            why,
        });
        tokio::time::sleep(wait).await;
    }

    /// Sends a request once, with the deadline of `--request-timeout`: for what must not be repeated.
    pub async fn once<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        // A plugin may have to wait for the user to log in.
        self.credentials
            .prepare()
            .await
            .map_err(|error| ClusterError::Credentials {
                server: self.server.clone(),
                why: error.to_string(),
            })?;
        let answer =
            match self.timeout {
                None => request.await,
                Some(after) => tokio::time::timeout(after, request).await.map_err(|_| {
                    ClusterError::TimedOut {
                        server: self.server.clone(),
                        what: what.to_owned(),
                        after,
                    }
                })?,
            };
        answer.map_err(|error| ClusterError::of(error, &self.server, what))
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
            let page = match self.read(what, || api.list(&next)).await {
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

/// An address as it is shown and stored.
fn shown(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
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
