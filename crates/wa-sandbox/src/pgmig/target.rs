//! The resource controller of the target cluster, which knows the instances that are provisioned there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use uuid::Uuid;

use crate::settings::ResourceControllerFile;

const PATIENCE: Duration = Duration::from_secs(30);
/// More than any list of instances.
const ANSWER_BYTES: u64 = 1 << 20;

/// An instance of the target cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Provisioned {
    pub(crate) id: Uuid,
    pub(crate) name: String,
}

/// What the resource controller answers.
#[derive(Deserialize)]
struct Answer {
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    guid: String,
    #[serde(default)]
    name: String,
}

/// The resource controller, as its file describes it.
pub(crate) struct ResourceController {
    file: ResourceControllerFile,
}

impl ResourceController {
    pub(crate) fn new(file: ResourceControllerFile) -> Self {
        Self { file }
    }

    /// Every instance that one of the tokens shows.
    pub(crate) fn instances(&self) -> anyhow::Result<Vec<Provisioned>> {
        let mut all: Vec<Provisioned> = Vec::new();
        for token in &self.file.access_tokens {
            let seen = self.ask(token).with_context(|| {
                let ResourceControllerFile { host, port, .. } = &self.file;
                format!("the Resource Controller at {host}:{port} cannot be used")
            })?;
            for instance in seen {
                if all.iter().all(|known| known.id != instance.id) {
                    all.push(instance);
                }
            }
        }
        Ok(all)
    }

    fn ask(&self, token: &str) -> anyhow::Result<Vec<Provisioned>> {
        ensure!(
            token.bytes().all(|byte| byte.is_ascii_graphic()),
            "an access token holds characters that no token has"
        );
        let path = match &self.file.kind {
            None => "/api/ibmcloud/resource-controller/resource_instances".to_owned(),
            Some(kind) => format!("/v3/service_instances?type={kind}"),
        };
        let host = self.file.host.as_str();
        let mut stream =
            TcpStream::connect((host, self.file.port)).context("connection refused")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // HTTP/1.0: the answer ends with the connection.
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("the answer is no HTTP")?;
        match head.split(' ').nth(1) {
            Some("200") => {}
            Some("401") => bail!("401 Unauthorized: the access token is not valid"),
            status => bail!("status {}", status.unwrap_or("missing")),
        }
        let answer: Answer = serde_json::from_str(body).context("the answer is no list")?;
        let provisioned = answer.resources.into_iter().map(|Resource { guid, name }| {
            let id = guid.parse().context("an instance has no id")?;
            Ok(Provisioned { id, name })
        });
        provisioned.collect()
    }
}
