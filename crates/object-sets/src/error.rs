//! What an error of the store means, and what to do about it.

use std::io;

use human_text::printable;
use object_store::Error;
use thiserror::Error as ThisError;

use crate::codes::words;

/// How object_store's error begins where keys are not what they should be. A part of them follows.
const UNREADABLE_KEYS: &str = "Unable to decode service account file";
/// How much of a server's own words is told.
const TOLD_CHARACTERS: usize = 300;

/// An error of the store, in words. The server's own are in it as far as they are of use: whole answers are XML, of any length.
#[derive(Debug, ThisError)]
#[error("{0}")]
struct InWords(String);

/// The error as the standard library's kinds tell it, in words for a user.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(crate) fn to_io(error: Error) -> io::Error {
    tracing::debug!(error = %chain(&error), "the object store");
    io::Error::new(kind(&error), InWords(in_words(&error)))
}

/// Of settings with which no client can be made: `look_at` has those that may be wrong.
pub(crate) fn unusable(error: &Error, look_at: &str) -> io::Error {
    tracing::debug!(error = %chain(error), "no client of the object store");
    if chain(error).contains(UNREADABLE_KEYS) {
        return io::Error::other(in_words(error));
    }
    let why = deepest(error);
    io::Error::other(format!(
        "its keys or settings cannot be used: {why}; look at {look_at}"
    ))
}

fn kind(error: &Error) -> io::ErrorKind {
    match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        _ => match status(&chain(error)) {
            Some(404) => io::ErrorKind::NotFound,
            // Azure answers 409 to who deletes what is locked.
            Some(401 | 403 | 409) => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        },
    }
}

pub(crate) fn in_words(error: &Error) -> String {
    let text = chain(error);
    if text.contains("without LOCATION") {
        return "the bucket is in another region: look at AWS_REGION and AWS_ENDPOINT_URL"
            .to_owned();
    }
    if text.contains("with Object Lock parameters") {
        return "the bucket has an object lock, for which the store wants a checksum of each part: set AWS_CHECKSUM_ALGORITHM=SHA256"
            .to_owned();
    }
    if text.contains(UNREADABLE_KEYS) {
        return "the keys are neither the JSON of a service account nor that of `gcloud auth application-default login`: look at GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT_KEY".to_owned();
    }
    let status = status(&text);
    if let Some(status) = status.filter(|_| text.contains("token request")) {
        return format!(
            "no token was given for these keys ({status}): {}",
            look_at_keys(error)
        );
    }
    let code = element(&text, "Code");
    match (code.and_then(words), code, status) {
        (Some(words), Some(code), _) => format!("{words} ({code})"),
        (None, Some(code), _) => {
            // The first line: Azure's goes on with the number of the request and the time.
            let message = element(&text, "Message").unwrap_or_default();
            let message = message.lines().next().unwrap_or_default();
            format!("the store answers {}: {}", told(code), told(message))
        }
        (_, None, Some(404)) => "it is not there (404)".to_owned(),
        (_, None, Some(status @ (401 | 403))) => {
            format!("the keys are wrong, or may not do that ({status})")
        }
        (_, None, Some(409)) => "the store keeps it: it is locked, or in use (409)".to_owned(),
        (_, None, Some(status)) => format!("the store answers {status}"),
        (_, None, None) if text.contains("URL scheme is not allowed") => {
            "its endpoint is http://".to_owned()
        }
        (_, None, None) => of_the_line(error, &text),
    }
}

/// Of an error that is no answer of the store.
fn of_the_line(error: &Error, text: &str) -> String {
    let deepest = deepest(error);
    if text.contains("certificate") || text.contains("UnknownIssuer") {
        return untrusted(&deepest);
    }
    if !text.contains("Error performing") {
        return deepest;
    }
    let address = match store(error) {
        Some("GCS") => "GOOGLE_BASE_URL, where it is not Google's own",
        Some("MicrosoftAzure") => "AZURE_STORAGE_ACCOUNT_NAME, or AZURE_STORAGE_ENDPOINT",
        _ => "AWS_ENDPOINT_URL, for s3://",
    };
    format!("no answer from the store: {deepest}; look at its address ({address})")
}

/// What object_store calls the kind of store.
fn store(error: &Error) -> Option<&'static str> {
    match error {
        Error::Generic { store, .. } => Some(store),
        _ => None,
    }
}

fn look_at_keys(error: &Error) -> &'static str {
    match store(error) {
        Some("GCS") => "look at GOOGLE_APPLICATION_CREDENTIALS",
        Some("MicrosoftAzure") => {
            "look at AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE"
        }
        _ => "look at AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE",
    }
}

/// Of a store whose certificate is not trusted.
pub(crate) fn untrusted(why: &str) -> String {
    format!("the store's certificate is not trusted: {why}; give its CA with --ca-file")
}

/// The cause of all others, in its own words.
pub(crate) fn deepest(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let last = causes.last().map(ToString::to_string);
    told(&without_secrets(&last.unwrap_or_default()))
}

fn told(text: &str) -> String {
    let text = printable(text.trim());
    text.chars().take(TOLD_CHARACTERS).collect()
}

/// The text of the first element of this name in what may be XML.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (found, _) = rest.split_once(&format!("</{name}>"))?;
    Some(found)
}

/// Whether trying again may help: the network, or a server that is busy or down.
pub(crate) fn is_transient(error: &Error) -> bool {
    let Error::Generic { .. } = error else {
        return false;
    };
    let text = chain(error);
    match status(&text) {
        Some(408 | 429) => true,
        Some(status) => !(400..500).contains(&status) || text.contains("RequestTimeout<"),
        None => ![
            "URL scheme is not allowed",
            "builder error",
            "certificate",
            "without LOCATION",
            "federated token file",
            UNREADABLE_KEYS,
        ]
        .iter()
        .any(|lasting| text.contains(lasting)),
    }
}

/// The status in an error's text: the type that knows it is private. The second is of one object of several that Azure was
/// asked to delete.
fn status(text: &str) -> Option<u16> {
    let told = ["status code: ", "(code: "].map(|before| text.split(before).nth(1)?.get(..3));
    told.into_iter().flatten().next()?.parse().ok()
}

/// An error and its causes, for whoever looks for what is behind it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    without_secrets(&causes.join(": "))
}

/// Without the signature of an Azure SAS, which object_store keeps out of its errors where it knows of it, and without what
/// was read where keys were expected.
fn without_secrets(text: &str) -> String {
    let text = match text.find(UNREADABLE_KEYS) {
        Some(at) => &text[..at + UNREADABLE_KEYS.len()],
        None => text,
    };
    let mut pieces = text.split("sig=");
    let mut shown = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end =
            piece.find(|one: char| one == '&' || one.is_whitespace() || "\"'<>)".contains(one));
        shown.push_str("sig=…");
        shown.push_str(end.map_or("", |end| &piece[end..]));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }

    #[test]
    fn an_answer_of_the_store_is_told_in_words_and_never_as_xml() {
        let answer = |code: &str, message: &str| {
            generic(&format!(
                "Server returned non-2xx status code: 403 Forbidden: <Error><Code>{code}</Code><Message>{message}</Message></Error>"
            ))
        };
        for (code, words) in [
            ("RequestTimeTooSkewed", "the clock of this machine"),
            ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            ("NoSuchBucket", "there is no such bucket"),
        ] {
            let error = to_io(answer(code, "no"));
            let said = error.to_string();
            assert!(said.contains(words) && !said.contains('<'), "{said}");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
        let locked = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Part requests with Object Lock parameters";
        let said = to_io(answer("InvalidRequest", locked)).to_string();
        assert!(said.contains("AWS_CHECKSUM_ALGORITHM=SHA256"), "{said}");
        let odd = to_io(answer("Odd", &"\u{1b}[2J".repeat(1000))).to_string();
        assert!(!odd.contains('\u{1b}') && odd.len() < 500, "{odd}");
    }

    #[test]
    fn no_signature_of_a_sas_and_no_part_of_a_key_is_told_or_logged() {
        let error = |text: &str| Error::Generic {
            store: "MicrosoftAzure",
            source: text.into(),
        };
        let url =
            "builder error for url (https://a.blob/c?sv=2022&sig=s3cr%2Bt%3D&sp=r) and sig=s3cr";
        let keys = format!("{UNREADABLE_KEYS}: invalid type: string \"s3cr\", expected struct");
        for error in [error(url), error(&keys)] {
            for text in [chain(&error), deepest(&error), in_words(&error)] {
                assert!(!text.contains("s3cr"), "{text}");
            }
        }
    }

    #[test]
    fn one_object_of_a_batch_that_is_locked_is_refused_for_good() {
        let text = "Bulk delete request failed for key wa/x: Conflict (code: 409)";
        let error = generic(text);
        assert!(!is_transient(&error));
        assert_eq!(to_io(error).kind(), io::ErrorKind::PermissionDenied);
        assert!(is_transient(&generic(&text.replace("409", "503"))));
    }

    #[test]
    fn what_lasts_is_not_tried_again() {
        let answer =
            |status: &str| generic(&format!("Server returned non-2xx status code: {status}: "));
        for passing in ["503 Service Unavailable", "500 x", "429 x", "408 x"] {
            assert!(is_transient(&answer(passing)), "{passing}");
        }
        for lasting in ["400 Bad Request", "409 Conflict"] {
            assert!(!is_transient(&answer(lasting)), "{lasting}");
        }
        assert!(is_transient(&generic("connection refused")));
        assert!(!is_transient(&generic(
            "invalid peer certificate: UnknownIssuer"
        )));
    }
}
