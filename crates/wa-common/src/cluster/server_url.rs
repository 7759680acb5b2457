//! The address of an API server, read as kubectl reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};

/// An address.
#[derive(Debug, PartialEq)]
pub(super) struct ServerUrl {
    /// Scheme, host, port, and the path that goes before each request's; nothing secret.
    pub(super) url: Uri,
    /// A user and password in the address, as a header.
    pub(super) basic: Option<HeaderValue>,
}

impl ServerUrl {
    /// Reads an address; says what is wrong with it, without a password that may be in it.
    ///
    /// kubectl takes `host:port` for `http://`, without TLS and credentials.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => ("http".to_owned(), text),
        };
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err("it is neither http nor https: write https://HOST:PORT".to_owned());
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let has_scheme = text.len() != rest.len();
        if authority.is_empty() || !has_scheme && !matches!(path, "" | "/") {
            return Err("it is neither a URL nor HOST:PORT: write https://HOST:PORT".to_owned());
        }
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let address = checked(address)?;
        let url = format!(
            "{scheme}://{address}{}",
            escaped(path.trim_end_matches('/'))
        );
        let url = url
            .parse()
            .map_err(|error| format!("it is not valid: {error}"))?;
        Ok(Self {
            url,
            basic: user.and_then(basic),
        })
    }

    pub(super) fn is_https(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }
}

/// Host and port, without an empty port.
fn checked(address: &str) -> Result<String, String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest
                .split_once(']')
                .ok_or("a bracket of its IPv6 address is missing")?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err("what stands in brackets is no IPv6 address".to_owned());
            }
            (
                format!("[{host}]"),
                port.strip_prefix(':').or((port.is_empty()).then_some("")),
            )
        }
        None => match address.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address must stand in brackets: https://[::1]:6443".to_owned());
            }
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (address.to_owned(), Some("")),
        },
    };
    let port = match port {
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .map(Some)
            .ok_or("its port is not between 1 and 65535")?,
        _ => return Err("its port is not a number".to_owned()),
    };
    if host.is_empty() {
        return Err("it names no host: write https://HOST:PORT".to_owned());
    }
    Ok(match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

/// A path as a URL can hold it.
fn escaped(path: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte);
    let escape = |byte: u8| {
        if allowed(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    path.bytes().map(escape).collect()
}

/// A text as the name of a header can hold it.
pub(super) fn escaped_token(text: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    let escape = |byte: u8| {
        if allowed(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(escape).collect()
}

/// What stands before the `@` of an address, as Go sends it.
pub(super) fn basic(user: &str) -> Option<HeaderValue> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    basic_header(&percent_decoded(name), &percent_decoded(password))
}

/// A header with a user and a password.
pub(super) fn basic_header(user: &str, password: &str) -> Option<HeaderValue> {
    let pair = zeroize::Zeroizing::new(format!("{user}:{password}"));
    let mut header =
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair.as_bytes()))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = escaped
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;

    #[test]
    fn addresses_are_read_as_kubectl_reads_them() {
        for (text, expected) in [
            ("https://api.example:6443", "https://api.example:6443/"),
            ("HTTPS://Api.Example:6443/", "https://Api.Example:6443/"),
            (
                "https://api.example/k8s/c-1/",
                "https://api.example/k8s/c-1",
            ),
            ("https://api.example/a b", "https://api.example/a%20b"),
            ("https://api.example/?a=b#c", "https://api.example/"),
            ("https://[::1]:6443", "https://[::1]:6443/"),
            ("https://[::1]", "https://[::1]/"),
            ("https://api.example:", "https://api.example/"),
            ("127.0.0.1:6443", "http://127.0.0.1:6443/"),
            ("localhost", "http://localhost/"),
            ("https://user:p%40ss@api.example", "https://api.example/"),
        ] {
            let read = ServerUrl::parse(text).unwrap();
            assert_eq!(read.url, expected, "{text}");
        }
    }

    #[test]
    fn a_password_in_the_address_becomes_a_header_and_is_not_shown() {
        let read = ServerUrl::parse("https://user:p%40ss@api.example").unwrap();
        let header = read.basic.as_ref().unwrap();
        assert_eq!(header.as_bytes(), b"Basic dXNlcjpwQHNz");
        assert!(!format!("{read:?}").contains("dXNlc"), "{read:?}");
        let error = ServerUrl::parse("https://user:hunter2@").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_refused_with_how_to_write_one() {
        for (text, expected) in [
            ("", "HOST:PORT"),
            ("/tmp/x", "HOST:PORT"),
            ("//127.0.0.1:6443", "HOST:PORT"),
            ("127.0.0.1:6443/x", "HOST:PORT"),
            ("https://", "HOST:PORT"),
            ("https://:6443", "names no host"),
            ("ftp://api.example", "neither http nor https"),
            ("https://api.example:0", "its port"),
            ("https://api.example:99999", "its port"),
            ("https://api.example:x", "its port is not a number"),
            ("https://[::1:6443", "bracket"),
            ("https://[x]:6443", "no IPv6 address"),
            ("https://::1:6443", "brackets"),
            ("https://a b", "it is not valid"),
        ] {
            let error = ServerUrl::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn no_text_makes_it_panic_or_accept_what_has_no_host() {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
        let mut runner = TestRunner::new_with_rng(Config::with_cases(2000), rng);
        let texts = "(https?://)?[\\[\\]a1:@/%?# \\\\é]{0,12}";
        runner
            .run(&texts, |text| {
                if let Ok(read) = ServerUrl::parse(&text) {
                    prop_assert!(read.url.host().is_some_and(|host| !host.is_empty()));
                }
                Ok(())
            })
            .unwrap();
    }
}
