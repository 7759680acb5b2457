//! A connection to one cluster, and requests that end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use kube::Client;
use kube_transfer::exec::StreamOptions;
use kube_transfer::{
    Captured, DownloadError, PodContainer, PodHandle, RemoteCommand, TransferOptions,
};

use super::credentials::Credentials;
use super::{ClusterError, ConnectionOptions, RetryPolicy, config, connect};
use crate::report::{Reporter, causes_text};

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
    pub(super) fn for_tests(client: Client, namespace: &str, reporter: Arc<dyn Reporter>) -> Self {
        Self {
            client,
            server: "https://api.example:6443".to_owned(),
            namespace: namespace.to_owned(),
            context: None,
            timeout: None,
            credentials: Arc::new(Credentials::None),
            reporter,
        }
    }

    /// The client, for what is not a read: it has no time-outs and no retries of its own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A container, to run commands in and to move files to and from, with this cluster's limits.
    pub fn pod(&self, container: &PodContainer) -> PodHandle {
        PodHandle::new(&self.client, container.clone()).with_options(self.transfer_options())
    }

    /// The limits of a transfer through this cluster: `--request-timeout` also holds for the opening of its stream.
    pub fn transfer_options(&self) -> TransferOptions {
        let timeout = self.timeout.unwrap_or(Duration::MAX);
        let stream = StreamOptions::default().with_open_timeout(timeout);
        TransferOptions::default().with_stream(stream)
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

    /// Sends a request that comes to the same when it is sent twice, such as a read, or a change that preconditions
    /// guard: with the deadline of `--request-timeout` for each attempt, and a few attempts that are reported.
    pub async fn send_idempotent<T, F>(
        &self,
        what: &str,
        request: impl Fn() -> F,
    ) -> Result<T, ClusterError>
    where
        F: Future<Output = Result<T, kube::Error>>,
    {
        let passing = |error: &ClusterError| error.is_transient().then(|| error.to_string());
        let attempt = || self.once(what, request());
        RetryPolicy::READS
            .run("request", &*self.reporter, passing, attempt)
            .await
    }

    /// Runs a short command in a pod that comes to the same when it runs twice; begins it again as
    /// [`Cluster::send_idempotent`] does a request.
    pub async fn run_idempotent(
        &self,
        target: &PodContainer,
        command: &RemoteCommand,
    ) -> Result<Captured, DownloadError> {
        let pod = self.pod(target);
        let passing = |error: &DownloadError| error.is_transient().then(|| causes_text(error));
        let attempt = || pod.run(command);
        RetryPolicy::READS
            .run("command", &*self.reporter, passing, attempt)
            .await
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
        answer.map_err(|error| ClusterError::from_kube(error, &self.server, what))
    }
}

/// An address as it is shown and stored.
fn shown(url: &Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}
