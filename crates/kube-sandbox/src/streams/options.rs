//! Query parameters of exec, log and portforward, read as the API server reads them.

use std::time::Duration;

use jiff::Timestamp;

use crate::meta::{Cause, Status};
use crate::node::{ExecRequest, LogOptions};

/// The parameters of a URL, percent-decoded and in order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let decode = |text: &str| percent_decode(&text.replace('+', " "));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Kubernetes takes every value but `false` and `0` for true.
    fn flag(&self, name: &str) -> bool {
        self.first(name)
            .is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.first(name) else {
            return Ok(None);
        };
        let parsed = text.parse::<i64>().map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {text:?}: invalid syntax"
            ))
        })?;
        Ok(Some(parsed))
    }

    /// The container asked for, if one is.
    pub(super) fn container(&self) -> Option<&str> {
        self.first("container").filter(|name| !name.is_empty())
    }

    /// The ports to connect with (`v1.PodPortForwardOptions`).
    pub(super) fn ports(&self) -> Result<Vec<u16>, Status> {
        let given = self.all("ports").flat_map(|ports| ports.split(','));
        let ports = given.map(|port| match port.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(Status::bad_request(format!(
                "unable to parse {port:?} as a port"
            ))),
        });
        let ports = ports.collect::<Result<Vec<u16>, _>>()?;
        if ports.is_empty() {
            return Err(Status::bad_request("query parameter \"port\" is required"));
        }
        // Two channels each, whose numbers are bytes.
        if ports.len() > 128 {
            return Err(Status::bad_request("there are too many ports"));
        }
        Ok(ports)
    }

    /// What to run (`v1.PodExecOptions`).
    pub(super) fn exec(&self) -> Result<ExecRequest, Status> {
        let tty = self.flag("tty");
        let request = ExecRequest {
            argv: self.all("command").map(str::to_owned).collect(),
            stdin: self.flag("stdin"),
            stdout: self.flag("stdout"),
            // A terminal has only one output.
            stderr: self.flag("stderr") && !tty,
            tty,
        };
        if !(request.stdin || request.stdout || request.stderr) {
            return Err(Status::bad_request(
                "you must specify at least 1 of stdin, stdout, stderr",
            ));
        }
        Ok(request)
    }

    /// Which part of the log to send (`v1.PodLogOptions`), and whether it is the previous container's.
    pub(super) fn log(&self) -> Result<(LogOptions, bool), Status> {
        let (tail, limit, seconds) = (
            self.number("tailLines")?,
            self.number("limitBytes")?,
            self.number("sinceSeconds")?,
        );
        let time = self
            .first("sinceTime")
            .map(str::parse::<Timestamp>)
            .transpose();
        let time = time.map_err(|error| Status::bad_request(error.to_string()))?;
        let mut causes = Vec::new();
        let mut at_least = |field: &str, value: Option<i64>, least: i64, detail: &str| {
            if let Some(value) = value.filter(|value| *value < least) {
                causes.push(Cause::invalid(field, &value.into(), detail));
            }
        };
        at_least("tailLines", tail, 0, "must be greater than or equal to 0");
        at_least("limitBytes", limit, 1, "must be greater than 0");
        at_least("sinceSeconds", seconds, 1, "must be greater than 0");
        if seconds.is_some() && time.is_some() {
            causes.push(Cause {
                reason: "FieldValueForbidden",
                field: String::new(),
                message: "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
                    .to_owned(),
            });
        }
        if !causes.is_empty() {
            return Err(invalid(&causes));
        }
        let ago = seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs);
        let since = ago.map(|ago| {
            Timestamp::now()
                .saturating_sub(ago)
                .unwrap_or(Timestamp::MIN)
        });
        let options = LogOptions {
            follow: self.flag("follow"),
            tail_lines: tail.and_then(|lines| usize::try_from(lines).ok()),
            since: since.or(time),
            timestamps: self.flag("timestamps"),
            limit_bytes: limit.and_then(|bytes| u64::try_from(bytes).ok()),
        };
        Ok((options, self.flag("previous")))
    }
}

fn invalid(causes: &[Cause]) -> Status {
    let list: Vec<_> = causes
        .iter()
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    let message = format!("PodLogOptions \"\" is invalid: {}", list.join(", "));
    Status::plain(422, "Invalid", message)
}

/// Bytes that are no UTF-8 become the replacement character: no container's command line holds them anyway.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%');
        let value =
            escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(*first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_order_spaces_and_quotes() {
        let query = Query::parse(
            "command=sh&command=-c&command=echo%20%22%24A%22%20%2B+1&stdout=true&container=c",
        );
        let request = query.exec().unwrap();
        assert_eq!(request.argv, ["sh", "-c", "echo \"$A\" + 1"]);
        assert_eq!(query.container(), Some("c"));
    }

    #[test]
    fn a_terminal_takes_no_separate_stderr_and_something_must_be_connected() {
        let request = Query::parse("command=sh&stdin=1&stdout=true&stderr=true&tty=true")
            .exec()
            .unwrap();
        assert!(request.tty && request.stdin && request.stdout && !request.stderr);
        let refused = Query::parse("command=sh&stdout=false").exec().unwrap_err();
        assert_eq!(
            refused.message,
            "you must specify at least 1 of stdin, stdout, stderr"
        );
    }

    #[test]
    fn log_options_that_make_no_sense_are_refused() {
        for query in [
            "tailLines=-1",
            "limitBytes=0",
            "sinceSeconds=0",
            "sinceSeconds=1&sinceTime=2026-11-22T20:00:00Z",
        ] {
            assert_eq!(Query::parse(query).log().unwrap_err().code, 422, "{query}");
        }
        assert_eq!(Query::parse("tailLines=x").log().unwrap_err().code, 400);
        let (options, previous) = Query::parse("tailLines=5&follow=true&previous=true")
            .log()
            .unwrap();
        assert_eq!(
            (options.tail_lines, options.follow, previous),
            (Some(5), true, true)
        );
    }
}
