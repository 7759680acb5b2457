//! An S3 server on a directory, which goes wrong on purpose.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use object_sets::{Location, ObjectStore, Options, Patience};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::time::Duration;
use tokio::net::TcpListener;

pub(crate) const BUCKET: &str = "backups";
/// S3's least, which the server holds to.
pub(crate) const PART_BYTES: u64 = 5 << 20;

/// Of two parts, none of which is known.
const OTHER_TAG: &str = "\"00000000000000000000000000000000-2\"";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Part,
    Complete,
    Abort,
    Manifest,
    /// Reads a dump, or a part of it.
    Dump,
    /// Reads another object, or a part of it.
    Get,
    /// Asks what an object is.
    Head,
    Other,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done, and nobody hears of it.
    LostAnswer,
    /// The line breaks before it is done.
    Cut,
    /// Not done: 503.
    Busy,
    /// Not done: 500.
    Failed,
    /// Not done: 200, blanks, and an error.
    ErrorIn200,
    /// Done: 200, blanks, and an error.
    ErrorIn200Done,
    /// Done: 500.
    FailedDone,
    /// Not done: 403.
    Denied,
    /// Not done: 403, for the clock of who asks.
    Skewed,
    /// Nothing, for ever.
    Hang,
    /// Done, and answered with the ETag of something else.
    OtherTag,
    /// Nothing goes wrong: it is for a later one.
    Pass,
}

#[derive(Debug, Default)]
struct Plan {
    /// The next request of a kind goes wrong so.
    next: VecDeque<(Kind, Fault)>,
    /// One in so many goes wrong at random.
    random: Option<(SmallRng, u32)>,
    seen: Vec<Kind>,
}

/// The server, until it is dropped with the process.
pub(crate) struct Server {
    pub(crate) root: tempfile::TempDir,
    pub(crate) endpoint: String,
    plan: Arc<Mutex<Plan>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        let plan = Arc::<Mutex<Plan>>::default();
        let (sender, address) = std::sync::mpsc::channel();
        let shared = Arc::clone(&plan);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let (service, plan) = (service.clone(), Arc::clone(&shared));
                    let answer = move |request| answer(request, service.clone(), Arc::clone(&plan));
                    let serve = http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service_fn(answer));
                    tokio::spawn(serve);
                }
            });
        });
        let endpoint = format!("http://{}", address.recv().unwrap());
        Self {
            root,
            endpoint,
            plan,
        }
    }

    /// What programs that use it have in their environment.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 5] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
        ]
    }

    pub(crate) fn store_with(&self, change: impl FnOnce(&mut Options)) -> ObjectStore {
        let setting = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut options = Options {
            patience: Patience {
                outage: Duration::from_millis(500),
                first_pause: Duration::from_millis(1),
                longest_pause: Duration::from_millis(5),
            },
            least_part_bytes: PART_BYTES,
            allow_http: true,
            settings: self.variables().map(setting).to_vec().into(),
            ..Options::default()
        };
        change(&mut options);
        let location: Location = format!("s3://{BUCKET}/wa").parse().unwrap();
        ObjectStore::new(location, &options).unwrap()
    }

    pub(crate) fn store(&self) -> ObjectStore {
        self.store_with(|_| {})
    }

    /// The next requests of these kinds go wrong.
    pub(crate) fn fail(&self, faults: &[(Kind, Fault)]) {
        self.plan.lock().unwrap().next.extend(faults);
    }

    pub(crate) fn fail_at_random(&self, seed: u64, one_in: u32) {
        self.plan.lock().unwrap().random = Some((SmallRng::seed_from_u64(seed), one_in));
    }

    /// From here on, nothing goes wrong.
    pub(crate) fn recover(&self) {
        let mut plan = self.plan.lock().unwrap();
        plan.next.clear();
        plan.random = None;
    }

    pub(crate) fn seen(&self, kind: Kind) -> usize {
        self.plan
            .lock()
            .unwrap()
            .seen
            .iter()
            .filter(|seen| **seen == kind)
            .count()
    }

    /// The parts and uploads that were begun and neither completed nor aborted.
    pub(crate) fn unfinished(&self) -> usize {
        let names = std::fs::read_dir(self.root.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.starts_with(".upload-") || name.starts_with(".upload_id-"))
            .count()
    }

    /// The ids of the uploads that were begun and neither completed nor aborted.
    pub(crate) fn upload_ids(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.root.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let ids = names.filter_map(|name| Some(name.strip_prefix(".upload-")?.to_owned()));
        ids.filter_map(|name| Some(name.split_once(".json")?.0.to_owned()))
            .collect()
    }

    pub(crate) fn object(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.root.path())
            .join(BUCKET)
            .join("wa")
            .join(name)
    }
}

fn kind_of(request: &Request<Incoming>) -> Kind {
    let query = request.uri().query().unwrap_or_default();
    match *request.method() {
        Method::POST if query.contains("uploads") => Kind::Create,
        Method::POST if query.contains("uploadId=") => Kind::Complete,
        Method::PUT if query.contains("partNumber=") => Kind::Part,
        Method::DELETE if query.contains("uploadId=") => Kind::Abort,
        Method::PUT if request.uri().path().ends_with("/backup.json") => Kind::Manifest,
        Method::GET if request.uri().path().contains("/store.dump") => Kind::Dump,
        Method::GET if !query.contains("list-type") => Kind::Get,
        Method::HEAD => Kind::Head,
        _ => Kind::Other,
    }
}

impl Plan {
    fn fault(&mut self, kind: Kind) -> Option<Fault> {
        self.seen.push(kind);
        if self
            .next
            .front()
            .is_some_and(|(expected, _)| *expected == kind)
        {
            return self.next.pop_front().map(|(_, fault)| fault);
        }
        let (random, one_in) = self.random.as_mut()?;
        if random.random_range(0..*one_in) > 0 {
            return None;
        }
        let faults = [
            Fault::LostAnswer,
            Fault::Cut,
            Fault::Busy,
            Fault::Failed,
            Fault::FailedDone,
            Fault::Denied,
        ];
        let fault = faults[random.random_range(0..faults.len())];
        // Stores answer so to a complete alone.
        let in_200 = [Fault::ErrorIn200, Fault::ErrorIn200Done];
        Some(if kind == Kind::Complete && random.random_bool(0.5) {
            in_200[random.random_range(0..2)]
        } else {
            fault
        })
    }
}

type Body =
    http_body_util::combinators::BoxBody<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;

async fn answer(
    request: Request<Incoming>,
    service: S3Service,
    plan: Arc<Mutex<Plan>>,
) -> io::Result<Response<Body>> {
    let fault = plan.lock().unwrap().fault(kind_of(&request));
    let broken = || Err(io::Error::other("the line broke"));
    let done = async |request| match hyper::service::Service::call(&service, request).await {
        Ok(response) => Ok(response.map(|body| body.map_err(Into::into).boxed())),
        Err(error) => Err(io::Error::other(format!("{error:?}"))),
    };
    // A server that answers before it has read everything breaks the line.
    let refuse = async |request: Request<Incoming>, status, code| {
        let _ = request.into_body().collect().await;
        Ok(error(status, code))
    };
    match fault {
        None | Some(Fault::Pass) => done(request).await,
        Some(Fault::OtherTag) => {
            let mut response = done(request).await?;
            let tag = http::HeaderValue::from_static(OTHER_TAG);
            response.headers_mut().insert(http::header::ETAG, tag);
            Ok(response)
        }
        Some(Fault::LostAnswer) => {
            // To its end: the server may write while it is read.
            let _ = done(request).await?.into_body().collect().await;
            broken()
        }
        Some(Fault::Cut) => {
            let mut body = request.into_body();
            let _ = body.frame().await;
            broken()
        }
        Some(Fault::Busy) => refuse(request, StatusCode::SERVICE_UNAVAILABLE, "SlowDown").await,
        Some(Fault::Failed) => {
            refuse(request, StatusCode::INTERNAL_SERVER_ERROR, "InternalError").await
        }
        Some(Fault::Denied) => refuse(request, StatusCode::FORBIDDEN, "AccessDenied").await,
        Some(Fault::Skewed) => refuse(request, StatusCode::FORBIDDEN, "RequestTimeTooSkewed").await,
        Some(Fault::Hang) => {
            let _ = request.into_body().collect().await;
            std::future::pending().await
        }
        Some(Fault::ErrorIn200) => refuse(request, StatusCode::OK, "InternalError").await,
        Some(Fault::ErrorIn200Done) => {
            let _ = done(request).await?.into_body().collect().await;
            Ok(error(StatusCode::OK, "InternalError"))
        }
        Some(Fault::FailedDone) => {
            let _ = done(request).await?.into_body().collect().await;
            Ok(error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"))
        }
    }
}

fn error(status: StatusCode, code: &str) -> Response<Body> {
    let xml = format!(
        "   \n<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"
    );
    let body = http_body_util::Full::new(bytes::Bytes::from(xml));
    let body = body.map_err(|never: Infallible| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
