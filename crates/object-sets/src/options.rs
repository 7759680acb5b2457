//! How a bucket is reached.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::retry::Patience;
use crate::teller::Teller;

/// How long a request may say nothing. There is no limit for all of it.
pub(crate) const SILENCE: Duration = Duration::from_mins(5);
pub(crate) const CONNECT: Duration = Duration::from_secs(15);

/// How a bucket is reached, beside what the environment says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Certificates to be trusted, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// How long a request is tried again.
    pub patience: Patience,
    /// The size that a file is expected to have at most, which decides the size of its parts.
    pub expected_bytes: u64,
    /// The size of the parts of a file, at the least. Stores take no less than 5 MiB.
    pub least_part_bytes: u64,
    /// Whether an endpoint may be http://, over which everybody on the way can read what is sent.
    pub allow_http: bool,
    /// Who is told of what could not be tidied up.
    pub teller: Teller,
    /// Whether the environment says how the bucket is reached, as far as `settings` do not.
    pub environment: bool,
    /// Settings as environment variables have them, in place of those: `AWS_ENDPOINT_URL`.
    pub settings: Settings,
    /// Another way to the endpoint than the network's.
    pub through: Option<Through>,
}

/// Settings, keys among them: their values are not shown.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Their names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds one, which counts before those of the same name.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

impl From<Vec<(String, String)>> for Settings {
    fn from(settings: Vec<(String, String)>) -> Self {
        Self(settings)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// A way to an endpoint by an address of this machine. What the endpoint is called stays: its certificate is for that name,
/// and so are signatures.
#[derive(Clone)]
pub struct Through {
    /// What the endpoint is called.
    pub host: String,
    /// Where it is reached, whatever that name and a proxy of the environment say.
    pub address: SocketAddr,
    /// What keeps the way open, for as long as there is a store that goes there.
    pub keeper: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.host, self.address)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ca_pem: None,
            patience: Patience::default(),
            expected_bytes: 0,
            // Fewer, larger ones are faster.
            least_part_bytes: 8 << 20,
            allow_http: false,
            teller: Teller::default(),
            environment: true,
            settings: Settings::default(),
            through: None,
        }
    }
}
