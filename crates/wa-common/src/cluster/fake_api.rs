//! A small API server in this process, for tests: it stores objects, guards them by uid, resourceVersion and finalizers,
//! keeps a log of the requests, and refuses what it is told to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::Cluster;
use crate::report::EventLog;

pub(crate) const NAMESPACE: &str = "cpd";

/// Takes a request, and what is sent with it, and answers in the server's place.
type Intercept = Box<dyn FnMut(&Method, &str, &Value) -> Option<StatusCode> + Send>;

/// Takes a request and says how long it takes, before it is served and after.
type Delay = Box<dyn FnMut(&Method, &str) -> [Duration; 2] + Send>;

#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    /// By path.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Each request that would change something: `POST leases`, `DELETE pods/a`.
    pub(crate) changes: Vec<String>,
    /// How far the server's clock is from this machine's.
    pub(crate) ahead: jiff::SignedDuration,
    intercept: Option<Intercept>,
    delay: Option<Delay>,
    version: u64,
}

impl FakeApi {
    pub(crate) fn cluster(&self) -> Cluster {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        let client = Client::new(service, NAMESPACE);
        Cluster::for_tests(client, NAMESPACE, Arc::new(EventLog::default()))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets `intercept` answer instead, where it returns a status.
    pub(crate) fn intercept(
        &self,
        intercept: impl FnMut(&Method, &str, &Value) -> Option<StatusCode> + Send + 'static,
    ) {
        self.state().intercept = Some(Box::new(intercept));
    }

    /// Makes requests take as long as `delay` says, before they are served and after.
    pub(crate) fn delay(&self, delay: impl FnMut(&Method, &str) -> [Duration; 2] + Send + 'static) {
        self.state().delay = Some(Box::new(delay));
    }

    /// Puts an object there, past everything that guards it.
    pub(crate) fn put(&self, resource: &str, mut object: Value) {
        let mut state = self.state();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{resource}/{name}");
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-of-{name}").into();
        }
        state.store(path, object);
    }

    pub(crate) fn names(&self, resource: &str) -> Vec<String> {
        let prefix = format!("{resource}/");
        let state = self.state();
        let names = state
            .objects
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix));
        names.map(str::to_owned).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = resource_path(parts.uri.path());
        let [before, after] = match &mut self.state().delay {
            Some(delay) => delay(&parts.method, &path),
            None => [Duration::ZERO; 2],
        };
        if !before.is_zero() {
            tokio::time::sleep(before).await;
        }
        let (status, date, answer) = self.serve(&parts, &path, body);
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        Response::builder()
            .status(status)
            .header(http::header::DATE, date)
            .body(Body::from(serde_json::to_vec(&answer).unwrap()))
            .unwrap()
    }

    fn serve(&self, parts: &Parts, path: &str, body: Value) -> (StatusCode, String, Value) {
        let mut state = self.state();
        let mut intercept = state.intercept.take();
        drop(state);
        // Without the lock: it may look at the objects.
        let refused = intercept
            .as_mut()
            .and_then(|intercept| intercept(&parts.method, path, &body));
        let mut state = self.state();
        state.intercept = intercept;
        if parts.method != Method::GET {
            state.changes.push(format!("{} {path}", parts.method));
        }
        let (status, answer) = match refused {
            Some(status) => failure(status),
            None => state.serve(&parts.method, path, parts.uri.query(), body),
        };
        let date = jiff::fmt::rfc2822::to_string(
            &(Timestamp::now() + state.ahead).to_zoned(jiff::tz::TimeZone::UTC),
        );
        (status, date.unwrap(), answer)
    }
}

impl State {
    fn serve(
        &mut self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        mut body: Value,
    ) -> (StatusCode, Value) {
        let Some(name) = path.split_once('/').map(|(_, name)| name) else {
            if method == Method::GET {
                return (StatusCode::OK, self.list(path, query));
            }
            let name = body["metadata"]["name"].as_str().unwrap().to_owned();
            let path = format!("{path}/{name}");
            if self.objects.contains_key(&path) {
                return failure(StatusCode::CONFLICT);
            }
            body["metadata"]["uid"] = format!("uid-{}", self.version).into();
            body["metadata"]["creationTimestamp"] = "2026-11-22T20:00:00Z".into();
            return (StatusCode::CREATED, self.store(path, body));
        };
        if name == "version" {
            return (StatusCode::OK, json!({}));
        }
        let Some(found) = self.objects.get(path).cloned() else {
            return failure(StatusCode::NOT_FOUND);
        };
        let meets =
            |key: &str, wanted: &Value| wanted.is_null() || &found["metadata"][key] == wanted;
        if method == Method::PUT {
            if !meets("resourceVersion", &body["metadata"]["resourceVersion"]) {
                return failure(StatusCode::CONFLICT);
            }
            return (StatusCode::OK, self.store(path.to_owned(), body));
        }
        if method == Method::DELETE {
            let guard = &body["preconditions"];
            if !meets("uid", &guard["uid"]) || !meets("resourceVersion", &guard["resourceVersion"])
            {
                return failure(StatusCode::CONFLICT);
            }
            let kept = found["metadata"]["finalizers"].as_array();
            if kept.is_some_and(|finalizers| !finalizers.is_empty()) {
                let mut going = found;
                going["metadata"]["deletionTimestamp"] = "2026-11-22T20:30:00Z".into();
                return (StatusCode::OK, self.store(path.to_owned(), going));
            }
            self.objects.remove(path);
            return (
                StatusCode::OK,
                json!({"kind": "Status", "status": "Success"}),
            );
        }
        (StatusCode::OK, found)
    }

    fn store(&mut self, path: String, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["namespace"] = NAMESPACE.into();
        self.objects.insert(path, object.clone());
        object
    }

    /// With a selector of one label, and in pages.
    fn list(&self, resource: &str, query: Option<&str>) -> Value {
        let query = query.unwrap_or_default();
        let selector = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("labelSelector="))
            .map(|selector| selector.replace("%2F", "/").replace("%3D", "="));
        let selected = |object: &&Value| {
            let Some((label, value)) = selector.as_deref().and_then(|one| one.split_once('='))
            else {
                return true;
            };
            object["metadata"]["labels"][label] == value
        };
        let prefix = format!("{resource}/");
        let of_resource = self
            .objects
            .iter()
            .filter(|(path, _)| path.starts_with(&prefix));
        let items: Vec<&Value> = of_resource
            .map(|(_, object)| object)
            .filter(selected)
            .collect();
        let number = |parameter: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(name, _)| *name == parameter);
            found.map(|(_, value)| value.parse::<usize>().unwrap())
        };
        let begin = number("continue").unwrap_or_default();
        let end = number("limit").map_or(items.len(), |limit| items.len().min(begin + limit));
        let more = (end < items.len()).then(|| end.to_string());
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"continue": more}, "items": items[begin..end]})
    }
}

/// `pods/a` of `/api/v1/namespaces/cpd/pods/a`; `/version` stays.
fn resource_path(path: &str) -> String {
    let inside = path.split_once(&format!("/namespaces/{NAMESPACE}/"));
    inside.map_or(path, |(_, rest)| rest).to_owned()
}

fn failure(status: StatusCode) -> (StatusCode, Value) {
    let reason = match status {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::FORBIDDEN => "Forbidden",
        _ => "Timeout",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("refused: {status}"), "reason": reason, "code": status.as_u16(),
    });
    (status, body)
}
