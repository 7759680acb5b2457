//! Who the user is, put into each request: tokens that are renewed, and credential plugins.

mod plugin;
mod token_file;

use std::path::PathBuf;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::tls::{IdentityError, Presented};
pub(super) use plugin::{ClusterInfo, Plugin, PluginError, VERSIONS};
pub(super) use token_file::TokenFile;

/// Why there are no credentials. No secret is in the message.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error("the client certificate that the credential plugin gave: {0}")]
    PluginIdentity(IdentityError),
    #[error(
        "the token {0} holds characters that no token has, such as a line break; copy it again, or log in again"
    )]
    Token(&'static str),
    #[error("cannot read the token file {}: {why}; log in again", path.display())]
    TokenFile { path: PathBuf, why: std::io::Error },
    #[error("the token file {} is empty; log in again", .0.display())]
    EmptyTokenFile(PathBuf),
}

/// Where the credentials of requests come from.
pub(super) enum Credentials {
    /// From the TLS certificate, or from nowhere.
    None,
    /// Always the same header.
    Fixed(HeaderValue),
    File(TokenFile),
    Plugin(Box<PluginCredentials>),
}

impl Credentials {
    /// Gets the credentials ready, however long a plugin takes to log the user in.
    pub(super) async fn prepare(&self) -> Result<(), CredentialError> {
        match self {
            Self::Plugin(plugin) => plugin.current().await.map(drop),
            Self::None | Self::Fixed(_) | Self::File(_) => Ok(()),
        }
    }

    /// Writes the credentials into a request; says which ones they are.
    pub(super) async fn authorize(&self, headers: &mut HeaderMap) -> Result<Used, CredentialError> {
        let (header, used) = match self {
            Self::None => (None, Used(0)),
            Self::Fixed(header) => (Some(header.clone()), Used(0)),
            Self::File(file) => (Some(bearer(&file.token(), "of the token file")?), Used(0)),
            Self::Plugin(plugin) => plugin.current().await?,
        };
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header);
        }
        Ok(used)
    }

    /// The server has taken a request with these credentials.
    pub(super) async fn accepted(&self, used: Used) {
        if let Self::Plugin(plugin) = self {
            plugin.accepted(used).await;
        }
    }

    /// The server has refused these credentials: whether there are others now, to try once more with.
    pub(super) async fn refused(&self, used: Used) -> Result<bool, CredentialError> {
        match self {
            Self::Plugin(plugin) => plugin.refused(used).await,
            Self::None | Self::Fixed(_) | Self::File(_) => Ok(false),
        }
    }
}

/// Which of the credentials that a plugin gave in turn a request was sent with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used(u64);

/// A header with a token.
pub(super) fn bearer(
    token: &SecretString,
    whose: &'static str,
) -> Result<HeaderValue, CredentialError> {
    let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose_secret()));
    let mut header =
        HeaderValue::from_bytes(text.as_bytes()).map_err(|_| CredentialError::Token(whose))?;
    header.set_sensitive(true);
    Ok(header)
}

/// What a plugin gave, kept until it expires or the server refuses it.
pub(super) struct PluginCredentials {
    plugin: Plugin,
    presented: Presented,
    /// Told when connections made with the former certificate must not be used any more.
    changed: Box<dyn Fn() + Send + Sync>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    given: Option<Given>,
    /// How often the plugin was started.
    starts: u64,
    /// Whether the server has taken what it gave last.
    accepted: bool,
}

/// What a plugin printed, made ready for use.
struct Given {
    header: Option<HeaderValue>,
    expires: Option<Timestamp>,
}

impl PluginCredentials {
    pub(super) fn new(
        plugin: Plugin,
        presented: Presented,
        changed: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            plugin,
            presented,
            changed,
            held: Mutex::default(),
        }
    }

    async fn current(&self) -> Result<(Option<HeaderValue>, Used), CredentialError> {
        let mut held = self.held.lock().await;
        let expired = |given: &Given| given.expires.is_some_and(|end| end <= Timestamp::now());
        if held.given.as_ref().is_none_or(expired) {
            self.start(&mut held).await?;
        }
        let header = held.given.as_ref().and_then(|given| given.header.clone());
        Ok((header, Used(held.starts)))
    }

    async fn accepted(&self, used: Used) {
        let mut held = self.held.lock().await;
        held.accepted |= used.0 == held.starts;
    }

    async fn refused(&self, used: Used) -> Result<bool, CredentialError> {
        let mut held = self.held.lock().await;
        if used.0 != held.starts {
            return Ok(true);
        }
        // What is refused as soon as it was given anew will be refused again.
        if held.starts > 1 && !held.accepted {
            return Ok(false);
        }
        self.start(&mut held).await?;
        Ok(true)
    }

    async fn start(&self, held: &mut Held) -> Result<(), CredentialError> {
        held.starts += 1;
        held.accepted = false;
        held.given = None;
        let printed = self.plugin.run().await?;
        let header = printed
            .token
            .as_ref()
            .map(|token| bearer(token, "of the credential plugin"))
            .transpose()?;
        if let Some((certificate, key)) = &printed.identity {
            let identity: Arc<CertifiedKey> =
                super::tls::identity(certificate.as_bytes(), key.expose_secret().as_bytes())
                    .map_err(CredentialError::PluginIdentity)?;
            self.presented.set(Some(identity));
            (self.changed)();
        }
        held.given = Some(Given {
            header,
            expires: printed.expires,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
