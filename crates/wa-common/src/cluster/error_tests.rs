//! What errors say, and which of them are transient.

use super::*;

fn api(code: u16, reason: &str, message: &str) -> ClusterError {
    let status = Status {
        code,
        reason: reason.to_owned(),
        message: message.to_owned(),
        ..Status::default()
    };
    ClusterError::from_kube(
        kube::Error::Api(Box::new(status)),
        "https://api.example:6443",
        "list pods",
    )
}

#[test]
fn the_servers_own_words_are_kept_as_kubectl_shows_them() {
    let message = r#"pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "cpd""#;
    assert_eq!(
        api(403, "Forbidden", message).to_string(),
        format!("Error from server (Forbidden): {message}")
    );
}

#[test]
fn an_expired_token_says_to_log_in_again() {
    let text = api(401, "Unauthorized", "Unauthorized").to_string();
    assert!(
        text.contains("you must be logged in") && text.contains("oc login"),
        "{text}"
    );
}

fn connection(error: impl Into<Box<dyn Error + Send + Sync>>) -> ClusterError {
    ClusterError::from_kube(
        kube::Error::Service(error.into()),
        "https://api",
        "list pods",
    )
}

#[test]
fn a_certificate_that_is_not_trusted_says_what_to_give() {
    for (why, advice) in [
        (CertificateError::UnknownIssuer, "--certificate-authority"),
        (CertificateError::NotValidForName, "--tls-server-name"),
        (CertificateError::Expired, "clock"),
    ] {
        let handshake = rustls::Error::InvalidCertificate(why);
        let error = connection(io::Error::other(io::Error::new(
            io::ErrorKind::InvalidData,
            handshake,
        )));
        assert!(
            !error.is_transient() && error.to_string().contains(advice),
            "{error}"
        );
    }
}

#[test]
fn why_there_are_no_credentials_is_reported_and_not_tried_again() {
    let error = connection(CredentialsError::new("the plugin \"x\" failed".to_owned()));
    assert!(!error.is_transient());
    assert!(
        error.to_string().contains("the plugin \"x\" failed"),
        "{error}"
    );
}

#[test]
fn what_a_front_answers_is_explained() {
    let text = api(502, "", "<html><h1>502 Bad Gateway</h1></html>").to_string();
    assert!(
        text.contains("not the API server's own answer") && !text.contains("<h1>"),
        "{text}"
    );
}

#[test]
fn an_address_without_tls_is_reported_when_it_does_not_answer() {
    let refused =
        || kube::Error::Service(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
    let text = |server| ClusterError::from_kube(refused(), server, "get version").to_string();
    assert!(text("http://127.0.0.1:6443").contains("write https://"));
    assert!(!text("https://127.0.0.1:6443").contains("write https://"));
}

#[test]
fn only_answers_that_may_change_are_transient() {
    for (code, transient) in [
        (400, false),
        (403, false),
        (404, false),
        (429, true),
        (500, true),
        (503, true),
        (504, true),
    ] {
        assert_eq!(api(code, "", "").is_transient(), transient, "{code}");
    }
}
