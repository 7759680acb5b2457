//! Which proxy leads to the API server.
//!
//! kube 5.0 compares `NO_PROXY` with the proxy's own address; the rules here are those of Go's `httpproxy`, which
//! kubectl follows: a kubeconfig's `proxy-url` always applies, the environment's proxy not to hosts `NO_PROXY` names.

use std::net::IpAddr;

use http::Uri;

use super::ClusterError;

/// The proxy for requests to `server`, if any.
pub(super) fn for_server(server: &Uri, from_kubeconfig: &str) -> Result<Option<Uri>, ClusterError> {
    let variable = |upper: &str, lower: &str| {
        [upper, lower]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    };
    let (upper, lower) = match server.scheme_str() {
        Some("http") => ("HTTP_PROXY", "http_proxy"),
        _ => ("HTTPS_PROXY", "https_proxy"),
    };
    let proxy = match from_kubeconfig {
        // Only variables may leave the scheme out.
        url if !url.is_empty() && !url.contains("://") => {
            return Err(ClusterError::ProxyScheme {
                scheme: String::new(),
            });
        }
        url if !url.is_empty() => Some(url.to_owned()),
        _ if is_excluded(
            server,
            &variable("NO_PROXY", "no_proxy").unwrap_or_default(),
        ) =>
        {
            None
        }
        _ => variable(upper, lower),
    };
    proxy
        .map(|url| {
            let with_scheme = if url.contains("://") {
                url
            } else {
                format!("http://{url}")
            };
            // Names are resolved by the proxy in either case, as Go's socks5 does too.
            let url: Uri = with_scheme
                .replacen("socks5h://", "socks5://", 1)
                .parse()
                .map_err(ClusterError::Proxy)?;
            match url.scheme_str() {
                Some("http" | "https" | "socks5") => Ok(url),
                scheme => Err(ClusterError::ProxyScheme {
                    scheme: scheme.unwrap_or_default().to_owned(),
                }),
            }
        })
        .transpose()
}

fn is_excluded(server: &Uri, no_proxy: &str) -> bool {
    let Some(host) = server.host() else {
        return false;
    };
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    no_proxy
        .split(',')
        .map(|rule| rule.trim().to_ascii_lowercase())
        .filter(|rule| !rule.is_empty())
        .any(|rule| rule == "*" || matches(&rule, &host, address, port(server)))
}

fn port(server: &Uri) -> u16 {
    let usual = if server.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    server.port_u16().unwrap_or(usual)
}

fn matches(rule: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if let (Some(address), Ok(network)) = (address, rule.parse::<ipnet::IpNet>()) {
        return network.contains(&address);
    }
    let (name, wanted_port) = match rule.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => (name, digits.parse::<u16>().ok()),
        _ => (rule, None),
    };
    if wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let (Some(address), Ok(wanted)) = (address, name.parse::<IpAddr>()) {
        return address == wanted;
    }
    let domain = name.trim_start_matches('*').trim_start_matches('.');
    let leading_dot = domain.len() != name.len();
    (!leading_dot && host == domain)
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(server: &str, no_proxy: &str) -> bool {
        is_excluded(&server.parse().unwrap(), no_proxy)
    }

    #[test]
    fn no_proxy_follows_the_rules_kubectl_follows() {
        assert!(excluded("https://api.ocp.example:6443", "example"));
        assert!(excluded("https://api.ocp.example:6443", ".ocp.example"));
        assert!(excluded("https://api.ocp.example:6443", "x, *"));
        assert!(excluded(
            "https://api.ocp.example:6443",
            "api.ocp.example:6443"
        ));
        assert!(!excluded(
            "https://api.ocp.example:6443",
            "api.ocp.example:443"
        ));
        assert!(!excluded("https://ocp.example:6443", ".ocp.example"));
        assert!(!excluded("https://notocp.example", "ocp.example"));
        assert!(excluded("https://10.1.2.3:6443", "10.0.0.0/8"));
        assert!(!excluded("https://11.1.2.3:6443", "10.0.0.0/8"));
        assert!(excluded("https://10.1.2.3:6443", "10.1.2.3"));
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused_without_its_password() {
        let server = "https://api.example".parse().unwrap();
        let error = for_server(&server, "ftp://user:hunter2@proxy").unwrap_err();
        assert!(error.to_string().contains("\"ftp\""), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let socks = for_server(&server, "socks5h://proxy:1080").unwrap();
        assert_eq!(socks.unwrap().scheme_str(), Some("socks5"));
        assert!(for_server(&server, "proxy:3128").is_err(), "as kubectl");
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        assert!(excluded("https://127.0.0.1:6443", ""));
        assert!(excluded("https://localhost:6443", ""));
        assert!(excluded("https://[::1]:6443", ""));
    }
}
