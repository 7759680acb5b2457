//! Where the object storage of a claim is, as its ConfigMap says.

use anyhow::{Context as _, bail, ensure};

/// The address of the object storage, as it is called in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A Service of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl Endpoint {
    /// From `BUCKET_HOST`, which may carry a scheme, and `BUCKET_PORT`.
    pub(crate) fn parse(host: &str, port: &str) -> anyhow::Result<Self> {
        let (scheme, host) = match host.split_once("://") {
            Some((scheme, host)) => (Some(scheme), host),
            None => (None, host),
        };
        let host = host.trim_end_matches('/');
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        ensure!(
            !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed),
            "its BUCKET_HOST is no name of a host"
        );
        let port = match (port, scheme) {
            ("", Some("http")) => 80,
            ("", _) => 443,
            (port, _) => port.parse().ok().context("its BUCKET_PORT is no port")?,
        };
        let is_tls = match scheme {
            Some("https") => true,
            Some("http") => false,
            Some(_) => bail!("its BUCKET_HOST is neither http:// nor https://"),
            // 80, and what stands in its place where that is taken: 8080, 50080.
            None => port % 1000 != 80,
        };
        Ok(Self {
            is_tls,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    /// As a URL, to be connected with as it is.
    pub(crate) fn url(&self) -> String {
        let usual = if self.is_tls { 443 } else { 80 };
        if self.port == usual {
            self.url_without_port()
        } else {
            format!("{}:{}", self.url_without_port(), self.port)
        }
    }

    /// As a URL, where the port is known otherwise.
    pub(crate) fn url_without_port(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }

    /// The Service that it is, by its name: `s3.openshift-storage.svc`.
    pub(crate) fn service(&self) -> Option<ServiceName> {
        let mut labels = self.host.split('.');
        let (name, namespace) = (labels.next()?, labels.next()?);
        (labels.next()? == "svc").then(|| ServiceName {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_provisioners_write_becomes_an_address_and_the_service_behind_it() {
        let of = |host: &str, port: &str| Endpoint::parse(host, port).unwrap();
        let noobaa = of("s3.openshift-storage.svc", "443");
        assert_eq!(noobaa.url(), "https://s3.openshift-storage.svc");
        let service = noobaa.service().unwrap();
        assert_eq!(
            (service.name.as_str(), service.namespace.as_str()),
            ("s3", "openshift-storage")
        );
        for (host, port, url) in [
            ("rgw.ns.svc", "80", "http://rgw.ns.svc"),
            ("rgw.ns.svc", "50080", "http://rgw.ns.svc:50080"),
            ("rgw.ns.svc", "50443", "https://rgw.ns.svc:50443"),
            ("https://rgw.ns.svc/", "", "https://rgw.ns.svc"),
            ("http://rgw.ns.svc", "", "http://rgw.ns.svc"),
            ("https://rgw.ns.svc", "8080", "https://rgw.ns.svc:8080"),
            ("192.0.2.7", "8443", "https://192.0.2.7:8443"),
        ] {
            assert_eq!(of(host, port).url(), url);
        }
        assert_eq!(
            of("rgw.ns.svc.cluster.local", "").service().unwrap().name,
            "rgw"
        );
        assert_eq!(of("s3.example.com", "443").service(), None);
        for (host, port) in [
            ("", "443"),
            ("a b", "443"),
            ("key@host", "443"),
            ("ftp://host", "21"),
            ("host", "x"),
            ("host", "70000"),
        ] {
            assert!(Endpoint::parse(host, port).is_err(), "{host} {port}");
        }
    }
}
