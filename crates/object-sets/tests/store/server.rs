//! An S3 server on a directory, which goes wrong on purpose; and so for the two others.
//!
//! Google's store is asked in its XML API, the dialect of S3 that the client speaks. There is no server of that to be had that is
//! kept, so the same S3 server answers, behind a look at the token: how the client and its store agree is tried so, and not what
//! Google's own store does beyond S3, such as its generations. Azure's is Azurite, Microsoft's emulator, behind a proxy.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
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
use tokio::net::{TcpListener, TcpStream};

#[path = "azurite.rs"]
pub(crate) mod azurite;

use azurite::Azurite;

pub(crate) const BUCKET: &str = "backups";
/// S3's least, which the server holds to.
pub(crate) const PART_BYTES: u64 = 5 << 20;

/// Of two parts, none of which is known.
const OTHER_TAG: &str = "\"00000000000000000000000000000000-2\"";

/// What Google's store is asked with.
pub(crate) const TOKEN: &str = "a-token";

/// What takes http://, of each of the clouds.
const ALLOWING: [&str; 3] = ["AWS_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP", "AZURE_ALLOW_HTTP"];

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    Amazon,
    Google,
    Azure,
}

/// What answers behind the faults.
#[derive(Clone)]
enum Behind {
    S3(S3Service),
    /// Without the check of S3's signatures.
    Google(S3Service),
    /// A server at this port.
    Azurite(u16),
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Part,
    Complete,
    Abort,
    /// Deletes one object. Many at once are of another kind: S3 answers to that with 200, whatever comes of each.
    Delete,
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
    /// Done; in a listing, one object has a name that is no path.
    OddName,
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
    cloud: Cloud,
    plan: Arc<Mutex<Plan>>,
    _azurite: Option<Azurite>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::of(Cloud::Amazon).unwrap()
    }

    /// None where there is no such server on this machine.
    pub(crate) fn of(cloud: Cloud) -> Option<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        let mut azurite = None;
        let behind = match cloud {
            Cloud::Amazon => {
                service.set_auth(SimpleAuth::from_single("key", "secret"));
                Behind::S3(service.build())
            }
            Cloud::Google => Behind::Google(service.build()),
            Cloud::Azure => {
                let azurite = azurite.insert(Azurite::start()?);
                azurite.create_container(BUCKET);
                Behind::Azurite(azurite.port)
            }
        };
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
                    let (behind, plan) = (behind.clone(), Arc::clone(&shared));
                    let answer = move |request| answer(request, behind.clone(), Arc::clone(&plan));
                    let serve = http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service_fn(answer));
                    tokio::spawn(serve);
                }
            });
        });
        let account = match cloud {
            Cloud::Azure => format!("/{}", azurite::ACCOUNT),
            Cloud::Amazon | Cloud::Google => String::new(),
        };
        Some(Self {
            root,
            endpoint: format!("http://{}{account}", address.recv().unwrap()),
            cloud,
            plan,
            _azurite: azurite,
        })
    }

    /// What programs that use it have in their environment.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &str)> {
        let endpoint = self.endpoint.as_str();
        match self.cloud {
            Cloud::Amazon => vec![
                ("AWS_ENDPOINT_URL", endpoint),
                (ALLOWING[0], "true"),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("AWS_REGION", "us-east-1"),
            ],
            Cloud::Google => vec![
                ("GOOGLE_BASE_URL", endpoint),
                (ALLOWING[1], "true"),
                ("GOOGLE_BEARER_TOKEN", TOKEN),
            ],
            Cloud::Azure => vec![
                ("AZURE_STORAGE_ENDPOINT", endpoint),
                (ALLOWING[2], "true"),
                ("AZURE_STORAGE_ACCOUNT_NAME", azurite::ACCOUNT),
                ("AZURE_STORAGE_ACCOUNT_KEY", azurite::KEY),
            ],
        }
    }

    /// The same, but for what an option of a store says.
    pub(crate) fn settings(&self) -> Vec<(&'static str, &str)> {
        let mut settings = self.variables();
        settings.retain(|(name, _)| !ALLOWING.contains(name));
        settings
    }

    /// Where sets are kept in tests.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.cloud {
            Cloud::Amazon => "s3",
            Cloud::Google => "gs",
            Cloud::Azure => "az",
        };
        format!("{scheme}://{BUCKET}/wa")
    }

    pub(crate) fn store_with(&self, change: impl FnOnce(&mut Options)) -> ObjectStore {
        self.store_at(self.url().parse().unwrap(), change)
    }

    pub(crate) fn store_at(
        &self,
        location: Location,
        change: impl FnOnce(&mut Options),
    ) -> ObjectStore {
        let settings = self.settings().into_iter();
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut options = Options {
            patience: Patience {
                outage: Duration::from_millis(500),
                first_pause: Duration::from_millis(1),
                longest_pause: Duration::from_millis(5),
            },
            least_part_bytes: PART_BYTES,
            allow_http: true,
            settings: settings.collect::<Vec<_>>().into(),
            environment: false,
            ..Options::default()
        };
        change(&mut options);
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
    // Google's client encodes whatever is no letter or digit.
    let path = request.uri().path();
    let path = path.replace("%2F", "/").replace("%2E", ".");
    match *request.method() {
        Method::PUT if query.contains("comp=blocklist") => Kind::Complete,
        Method::PUT if query.contains("comp=block") => Kind::Part,
        Method::GET if query.contains("comp=list") => Kind::Other,
        Method::POST if query.contains("uploads") => Kind::Create,
        Method::POST if query.contains("uploadId=") => Kind::Complete,
        Method::PUT if query.contains("partNumber=") => Kind::Part,
        Method::DELETE if query.contains("uploadId=") => Kind::Abort,
        Method::DELETE => Kind::Delete,
        Method::PUT if path.ends_with("/backup.json") => Kind::Manifest,
        Method::GET if path.contains("/store.dump") => Kind::Dump,
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
    behind: Behind,
    plan: Arc<Mutex<Plan>>,
) -> io::Result<Response<Body>> {
    let fault = plan.lock().unwrap().fault(kind_of(&request));
    let broken = || Err(io::Error::other("the line broke"));
    let done = async |request| behind.answer(request).await;
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
        Some(Fault::OddName) => {
            let (mut head, body) = done(request).await?.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let text = String::from_utf8(body.to_vec()).map_err(io::Error::other)?;
            let text = text.replace("/0700.jpg<", "/0700.jpg//x<");
            head.headers.remove(http::header::CONTENT_LENGTH);
            let body = http_body_util::Full::new(bytes::Bytes::from(text));
            let body = body.map_err(|never: Infallible| match never {}).boxed();
            Ok(Response::from_parts(head, body))
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

impl Behind {
    async fn answer(&self, mut request: Request<Incoming>) -> io::Result<Response<Body>> {
        let service = match self {
            Self::S3(service) => service,
            Self::Google(service) => {
                let token = request.headers_mut().remove(http::header::AUTHORIZATION);
                if token.is_none_or(|token| token != format!("Bearer {TOKEN}")) {
                    let _ = request.into_body().collect().await;
                    return Ok(error(StatusCode::UNAUTHORIZED, "AuthenticationRequired"));
                }
                service
            }
            Self::Azurite(port) => {
                let socket = TcpStream::connect(("127.0.0.1", *port)).await?;
                let connection = client::handshake(TokioIo::new(socket)).await;
                let (mut sender, connection) = connection.map_err(io::Error::other)?;
                tokio::spawn(connection);
                let answered = sender.send_request(request).await;
                let response = answered.map_err(io::Error::other)?;
                return Ok(response.map(|body| body.map_err(Into::into).boxed()));
            }
        };
        match hyper::service::Service::call(service, request).await {
            Ok(response) => Ok(response.map(|body| body.map_err(Into::into).boxed())),
            Err(error) => Err(io::Error::other(format!("{error:?}"))),
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
