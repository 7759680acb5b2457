//! HTTP to an endpoint that is reached in another way than by the network, and whether an endpoint answers.

use std::io;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};

use crate::error::{deepest, untrusted};
use crate::options::{CONNECT, Options, SILENCE};

/// Makes the connections of a store.
#[derive(Debug)]
pub(crate) struct Http(pub(crate) Options);

impl HttpConnector for Http {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = builder(&self.0).and_then(ClientBuilder::build);
        let client = client.map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: Box::new(error),
        })?;
        Ok(HttpClient::new(client))
    }
}

fn builder(options: &Options) -> reqwest::Result<ClientBuilder> {
    let mut builder = Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .http1_only()
        // Another host is not what was asked for.
        .redirect(Policy::none())
        .https_only(!options.allow_http);
    if let Some(pem) = &options.ca_pem {
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem)?);
    }
    if let Some(through) = &options.through {
        builder = builder.no_proxy().resolve(&through.host, through.address);
    }
    Ok(builder)
}

/// Whether anything at `url` answers within the time, whatever it says; the error is why not, in a few words.
pub async fn answers(url: &str, options: &Options, within: Duration) -> io::Result<()> {
    let in_words = |error: reqwest::Error| {
        let why = deepest(&error);
        let is_untrusted = why.contains("certificate");
        io::Error::other(if is_untrusted { untrusted(&why) } else { why })
    };
    let client = builder(options).and_then(ClientBuilder::build);
    let asked = client.map_err(in_words)?.get(url).timeout(within).send();
    asked.await.map(drop).map_err(|error| {
        if error.is_timeout() {
            let words = format!("no answer within {} s", within.as_secs());
            return io::Error::new(io::ErrorKind::TimedOut, words);
        }
        in_words(error)
    })
}
