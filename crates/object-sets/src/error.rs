//! What an error of the store means, and what to do about it.

use std::io;

use human_text::printable;
use object_store::Error;
use thiserror::Error as ThisError;

/// How much of a server's own words is told.
const TOLD_CHARACTERS: usize = 300;

/// An error of the store, in words. The server's own are in it as far as they are of use: whole answers are XML, of any length.
#[derive(Debug, ThisError)]
#[error("{0}")]
struct InWords(String);

/// What the codes of S3 mean.
const CODES: [(&str, &str); 13] = [
    ("NoSuchBucket", "there is no such bucket"),
    (
        "InvalidAccessKeyId",
        "the store does not know the access key: look at AWS_ACCESS_KEY_ID",
    ),
    (
        "NotSignedUp",
        "the store does not know the account: look at AWS_ACCESS_KEY_ID",
    ),
    (
        "SignatureDoesNotMatch",
        "the keys do not fit: look at AWS_SECRET_ACCESS_KEY and AWS_REGION",
    ),
    (
        "RequestTimeTooSkewed",
        "the clock of this machine differs too much from the store's: set it",
    ),
    (
        "ExpiredToken",
        "the session has expired: get a new AWS_SESSION_TOKEN",
    ),
    (
        "InvalidToken",
        "the store does not take the session: look at AWS_SESSION_TOKEN",
    ),
    (
        "AuthorizationHeaderMalformed",
        "the bucket is in another region: look at AWS_REGION",
    ),
    (
        "PermanentRedirect",
        "the bucket is in another region: look at AWS_REGION and AWS_ENDPOINT_URL",
    ),
    ("AccessDenied", "these keys may not do that"),
    ("SlowDown", "the store is busy"),
    (
        "QuotaExceeded",
        "the bucket is full, or may not become larger",
    ),
    (
        "XAmzContentSHA256Mismatch",
        "what arrived there is not what was sent",
    ),
];

/// The error as the standard library's kinds tell it, in words for a user.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(crate) fn to_io(error: Error) -> io::Error {
    tracing::debug!(error = %chain(&error), "the object store");
    io::Error::new(kind(&error), InWords(in_words(&error)))
}

fn kind(error: &Error) -> io::ErrorKind {
    match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        _ => match status(&chain(error)) {
            Some(404) => io::ErrorKind::NotFound,
            Some(401 | 403) => io::ErrorKind::PermissionDenied,
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
    let code = element(&text, "Code");
    let known = code.and_then(|code| CODES.iter().find(|(known, _)| *known == code));
    let status = status(&text);
    match (known, code, status) {
        (Some((_, words)), Some(code), _) => format!("{words} ({code})"),
        (None, Some(code), _) => {
            let message = element(&text, "Message").unwrap_or_default();
            format!("the store answers {}: {}", told(code), told(message))
        }
        (_, None, Some(404)) => "it is not there (404)".to_owned(),
        (_, None, Some(status @ (401 | 403))) => {
            format!("the keys are wrong, or may not do that ({status})")
        }
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
    format!(
        "no answer from the store: {deepest}; look at its address (AWS_ENDPOINT_URL, for s3://)"
    )
}

/// Of a store whose certificate is not trusted.
pub(crate) fn untrusted(why: &str) -> String {
    format!("the store's certificate is not trusted: {why}; give its CA with --ca-file")
}

/// The cause of all others, in its own words.
pub(crate) fn deepest(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    told(&causes.last().map(ToString::to_string).unwrap_or_default())
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
        ]
        .iter()
        .any(|lasting| text.contains(lasting)),
    }
}

/// The status in an error's text: the type that knows it is private.
fn status(text: &str) -> Option<u16> {
    let digits = text.split("status code: ").nth(1)?.get(..3)?;
    digits.parse().ok()
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
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
        let odd = to_io(answer("Odd", &"\u{1b}[2J".repeat(1000))).to_string();
        assert!(!odd.contains('\u{1b}') && odd.len() < 500, "{odd}");
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
