//! Which namespaces there are, for this user.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use kube::api::{ApiResource, GroupVersionKind};

use super::{Cluster, ClusterError};

impl Cluster {
    /// The namespaces of the cluster; on OpenShift, for who may not list them, those of the user's projects.
    pub async fn namespaces(&self) -> Result<Vec<String>, ClusterError> {
        match self.list_global::<Namespace>().await {
            Ok(found) => Ok(found.iter().map(Namespace::name_any).collect()),
            Err(refused) if refused.code() == Some(403) => {
                let kind = GroupVersionKind::gvk("project.openshift.io", "v1", "Project");
                let kind = ApiResource::from_gvk_with_plural(&kind, "projects");
                let projects = self.list_custom(&kind, true).await;
                let projects = projects.map_err(|_| refused)?;
                Ok(projects.iter().map(kube::ResourceExt::name_any).collect())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use http::{Request, Response, StatusCode};
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An API server with two namespaces, one of them a project of the user, who may list what is in `allowed`.
    fn cluster(allowed: &'static [&'static str]) -> Cluster {
        let service = tower::service_fn(move |request: Request<Body>| async move {
            let (_, resource) = request.uri().path().rsplit_once('/').unwrap();
            let names = match resource {
                "namespaces" => &["cpd", "kube-system"][..],
                _ => &["cpd"],
            };
            let items = names.iter().map(|name| json!({"metadata": {"name": name}}));
            let (status, answer) = if allowed.contains(&resource) {
                let items: Vec<_> = items.collect();
                (StatusCode::OK, json!({"metadata": {}, "items": items}))
            } else {
                let refused = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "refused", "reason": "Forbidden", "code": 403});
                (StatusCode::FORBIDDEN, refused)
            };
            let body = Body::from(answer.to_string().into_bytes());
            let response = Response::builder().status(status).body(body);
            Ok::<_, Infallible>(response.unwrap())
        });
        let reporter = Arc::new(crate::report::EventLog::default());
        Cluster::for_tests(Client::new(service, "cpd"), "cpd", reporter)
    }

    #[tokio::test]
    async fn who_may_not_list_namespaces_is_reported_of_their_projects() {
        let all = cluster(&["namespaces", "projects"]).namespaces().await;
        assert_eq!(all.unwrap(), ["cpd", "kube-system"]);
        let own = cluster(&["projects"]).namespaces().await;
        assert_eq!(own.unwrap(), ["cpd"]);
        let refused = cluster(&[]).namespaces().await.unwrap_err();
        assert_eq!(refused.code(), Some(403));
    }
}
