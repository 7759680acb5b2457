//! An S3 server of one bucket that holds the same set very many times: what `cargo xtask bench` measures `list` with.
//!
//! It keeps all names in order, as real object storage does; s3s-fs goes through all of its files for every 1000 names that it
//! tells. And it answers each request after a pause, as a store does that is reached over a network.
//!
//! ```text
//! many-sets MANIFEST SETS PAUSE_MS ACCESS_KEY SECRET_KEY
//! ```
//!
//! prints its address and serves until it is stopped. The bucket may be called anything.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::{
    ETag, GetObjectInput, GetObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
    StreamingBlob,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;

/// The most names that S3 tells at once.
const PAGE: i32 = 1000;
/// What stands for a dump: its first bytes.
const DUMP: &[u8] = b"PGDMP";

/// The objects of the bucket by their names.
struct Sets {
    objects: BTreeMap<String, Bytes>,
    written: SystemTime,
    pause: Duration,
}

impl Sets {
    fn new(manifest: &Bytes, sets: usize, pause: Duration) -> Self {
        let objects = (0..sets).flat_map(|number| {
            let set = format!("many/wa-cpd-{number:06}");
            [
                (format!("{set}/backup.json"), manifest.clone()),
                (format!("{set}/store.dump"), Bytes::from_static(DUMP)),
            ]
        });
        Self {
            objects: objects.collect(),
            written: SystemTime::now(),
            pause,
        }
    }
}

fn e_tag(content: &Bytes) -> ETag {
    // Not its MD5: nothing here is compared.
    ETag::Strong(format!("{:032x}", content.len()))
}

fn length(content: &Bytes) -> i64 {
    i64::try_from(content.len()).unwrap_or(i64::MAX)
}

#[async_trait::async_trait]
impl S3 for Sets {
    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        tokio::time::sleep(self.pause).await;
        let input = request.input;
        let prefix = input.prefix.unwrap_or_default();
        let after = input.continuation_token.or(input.start_after);
        let from = match &after {
            Some(name) if *name >= prefix => Bound::Excluded(name.as_str()),
            _ => Bound::Included(prefix.as_str()),
        };
        let most = input.max_keys.unwrap_or(PAGE).clamp(0, PAGE);
        let mut rest = self
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(&prefix));
        let page: Vec<Object> = rest
            .by_ref()
            .take(usize::try_from(most).unwrap_or_default())
            .map(|(name, content)| Object {
                key: Some(name.clone()),
                size: Some(length(content)),
                e_tag: Some(e_tag(content)),
                last_modified: Some(self.written.into()),
                ..Object::default()
            })
            .collect();
        let is_truncated = rest.next().is_some();
        let last = page.last().and_then(|object| object.key.clone());
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(prefix),
            max_keys: Some(most),
            key_count: i32::try_from(page.len()).ok(),
            next_continuation_token: last.filter(|_| is_truncated),
            is_truncated: Some(is_truncated),
            contents: Some(page),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        tokio::time::sleep(self.pause).await;
        let Some(content) = self.objects.get(&request.input.key) else {
            return Err(s3_error!(NoSuchKey));
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(length(content)),
            e_tag: Some(e_tag(content)),
            last_modified: Some(self.written.into()),
            body: Some(StreamingBlob::from(Body::from(content.clone()))),
            ..GetObjectOutput::default()
        }))
    }
}

/// What is started with.
fn arguments() -> Option<(String, usize, Duration, SimpleAuth)> {
    let mut arguments = std::env::args().skip(1);
    let (manifest, sets) = (arguments.next()?, arguments.next()?.parse().ok()?);
    let pause = Duration::from_millis(arguments.next()?.parse().ok()?);
    let key = SimpleAuth::from_single(arguments.next()?, arguments.next()?);
    Some((manifest, sets, pause, key))
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its address, for who started it")]
async fn main() -> io::Result<()> {
    let Some((manifest, sets, pause, key)) = arguments() else {
        return Err(io::Error::other(
            "usage: many-sets MANIFEST SETS PAUSE_MS ACCESS_KEY SECRET_KEY",
        ));
    };
    let manifest = Bytes::from(std::fs::read(manifest)?);
    let mut service = S3ServiceBuilder::new(Sets::new(&manifest, sets, pause));
    service.set_auth(key);
    let service: S3Service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
        // A client that goes away early ends its connection with an error.
        tokio::spawn(async move { drop(connection.await) });
    }
}
