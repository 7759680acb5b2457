//! What a kubeconfig says of a cluster.

use super::world::{NONE, Refused, SELF, TOKEN, Works, world};

#[test]
fn clusters_are_read_as_kubectl_reads_them() {
    world().cases(&[
        ("plain", SELF, TOKEN, NONE, Works),
        ("insecure", "server: 'https://{no-san}', insecure-skip-tls-verify: true", TOKEN, NONE, Works),
        ("insecure: yes", "server: 'https://{no-san}', insecure-skip-tls-verify: yes", TOKEN, NONE, Works),
        ("insecure as text", "server: 'https://{no-san}', insecure-skip-tls-verify: 'a'", TOKEN, NONE, Refused("clusters[0].cluster.insecure-skip-tls-verify")),
        ("an empty CA and insecure", "server: 'https://{self}', certificate-authority-data: '', certificate-authority: '', insecure-skip-tls-verify: true", TOKEN, NONE, Works),
        ("a CA and insecure", "server: 'https://{self}', certificate-authority: self.crt, insecure-skip-tls-verify: true", TOKEN, NONE, Refused("contradict each other")),
        ("a CA's data and insecure", "server: 'https://{self}', certificate-authority-data: {data:self.crt}, insecure-skip-tls-verify: true", TOKEN, NONE, Refused("contradict each other")),
        ("a CA twice", "server: 'https://{self}', certificate-authority: self.crt, certificate-authority-data: {data:self.crt}", TOKEN, NONE, Refused("both given")),
        ("a CA that is no base64", "server: 'https://{self}', certificate-authority-data: '%%'", TOKEN, NONE, Refused("certificate-authority-data: it is not base64")),
        ("a CA that is none", "server: 'https://{self}', certificate-authority-data: {data:garbage}", TOKEN, NONE, Refused("no certificate in PEM")),
        ("a doubled key", "server: 'https://127.0.0.1:1', server: 'https://{self}', certificate-authority: self.crt", TOKEN, NONE, Works),
        ("unknown fields", "server: 'https://{self}', certificate-authority: self.crt, new: [1]", TOKEN, NONE, Works),
        ("empty texts", "server: 'https://{self}', certificate-authority: self.crt, certificate-authority-data: '', proxy-url: '', tls-server-name: ''", TOKEN, NONE, Works),
        ("a server name that is none", "server: 'https://{self}', certificate-authority: self.crt, tls-server-name: '***'", TOKEN, NONE, Refused("tls-server-name")),
        ("a proxy that is none", "server: 'https://{self}', certificate-authority: self.crt, proxy-url: 'ftp://a'", TOKEN, NONE, Refused("\"ftp\"")),
        ("a proxy without scheme", "server: 'https://{self}', certificate-authority: self.crt, proxy-url: 'a:1'", TOKEN, NONE, Refused("scheme")),
        // Addresses.
        ("upper case", "server: 'HTTPS://{self}', certificate-authority: self.crt", TOKEN, NONE, Works),
        ("a path", "server: 'https://{self}/k8s/c-1/', certificate-authority: self.crt", TOKEN, NONE, Works),
        ("a path with a space", "server: 'http://{plain}/a b'", TOKEN, NONE, Works),
        ("a query", "server: 'https://{self}/?a=b#c', certificate-authority: self.crt", TOKEN, NONE, Works),
        ("without TLS", "server: 'http://{plain}'", TOKEN, NONE, Works),
        ("without TLS, with CA and insecure", "server: 'http://{plain}', certificate-authority: self.crt, insecure-skip-tls-verify: true", TOKEN, NONE, Works),
        ("no scheme, no TLS", "server: '{plain}'", TOKEN, NONE, Works),
        ("no scheme, TLS", "server: '{self}', certificate-authority: self.crt", TOKEN, NONE, Refused("write https://")),
        ("a file", "server: /tmp/x", TOKEN, NONE, Refused("is not the address of an API server")),
        ("no host", "server: 'https://'", TOKEN, NONE, Refused("is not the address of an API server")),
        ("no scheme but slashes", "server: '//{plain}'", TOKEN, NONE, Refused("is not the address of an API server")),
        ("ftp", "server: 'ftp://{plain}'", TOKEN, NONE, Refused("neither http nor https")),
        ("port 0", "server: 'https://127.0.0.1:0'", TOKEN, NONE, Refused("its port")),
        ("port 99999", "server: 'https://127.0.0.1:99999'", TOKEN, NONE, Refused("its port")),
        ("a port that is none", "server: 'https://127.0.0.1:x'", TOKEN, NONE, Refused("its port")),
        ("IPv6 without brackets", "server: 'https://::1:1'", TOKEN, NONE, Refused("brackets")),
        ("IPv6", "server: 'https://[::1]:1'", TOKEN, NONE, Refused("[::1]:1")),
        ("a password in the address", "server: 'https://u:p@{self}', certificate-authority: self.crt", "username: u, password: p", NONE, Works),
        ("no address", "server: ''", TOKEN, NONE, Refused("names no cluster with a server")),
        ("null", "server: null", TOKEN, NONE, Refused("names no cluster with a server")),
    ]);
}
