//! kubectl's connection flags, by kubectl's names.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use secrecy::SecretString;

use crate::cluster::ConnectionOptions;

/// How to reach the cluster, and as whom: the flags of `kubectl options`.
///
/// What is not given comes from the kubeconfig: `--kubeconfig`, else the files of `KUBECONFIG`, else `~/.kube/config`,
/// else, inside a pod, its service account.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection options, as kubectl's")]
pub struct ConnectionArgs {
    /// Namespace of the Watson Assistant operands
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Path of the kubeconfig file
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub kubeconfig: Option<PathBuf>,
    /// Kubeconfig context to use
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Kubeconfig cluster to use
    #[arg(long, global = true)]
    pub cluster: Option<String>,
    /// Kubeconfig user to use
    #[arg(long, global = true)]
    pub user: Option<String>,
    /// Address and port of the API server
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token (other users of this machine can read arguments: prefer the kubeconfig)
    // Any text is taken: clap shows what it refuses.
    #[arg(long, global = true, hide_env_values = true, value_parser = |text: &str| Ok::<SecretString, Infallible>(text.into()))]
    pub token: Option<SecretString>,
    /// User to impersonate
    #[arg(long = "as", global = true, value_name = "USERNAME")]
    pub impersonate: Option<String>,
    /// UID to impersonate, with --as
    #[arg(long = "as-uid", global = true, value_name = "UID")]
    pub impersonate_uid: Option<String>,
    /// Group to impersonate, repeatable
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_groups: Vec<String>,
    /// CA certificate file of the API server
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub certificate_authority: Option<PathBuf>,
    /// Client certificate file
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub client_certificate: Option<PathBuf>,
    /// Client key file
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub client_key: Option<PathBuf>,
    /// Name to expect in the API server's certificate
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Do not check the API server's certificate
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub insecure_skip_tls_verify: Option<bool>,
    /// Longest wait for one answer, e.g. 10s or 2m; 0 waits forever [default: 30s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub request_timeout: Option<TimeLimit>,
    /// Flags of kubectl that change nothing here.
    #[command(flatten)]
    pub ignored: IgnoredArgs,
}

/// Flags that scripts pass to every kubectl command, and that say nothing to this program: it keeps no cache, reads no
/// preferences, and is not profiled.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Taken for kubectl's sake, without effect")]
pub struct IgnoredArgs {
    /// Directory of kubectl's cache
    #[arg(long, global = true, value_name = "DIR", value_parser = path())]
    pub cache_dir: Option<PathBuf>,
    /// File of kubectl's preferences
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub kuberc: Option<PathBuf>,
    /// Whether answers may come compressed
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub disable_compression: Option<bool>,
    /// How often kubectl writes its log
    #[arg(long, global = true, value_name = "DURATION")]
    pub log_flush_frequency: Option<String>,
    /// Log levels of kubectl's files
    #[arg(long, global = true, value_name = "LEVELS")]
    pub vmodule: Option<String>,
    /// Profile of kubectl to capture
    #[arg(long, global = true, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// File for the profile
    #[arg(long, global = true, value_name = "FILE", value_parser = path())]
    pub profile_output: Option<PathBuf>,
}

impl From<ConnectionArgs> for ConnectionOptions {
    fn from(args: ConnectionArgs) -> Self {
        let TimeLimit(request_timeout) = args.request_timeout.unwrap_or_default();
        Self {
            namespace: args.namespace,
            kubeconfig: args.kubeconfig,
            context: args.context,
            cluster: args.cluster,
            user: args.user,
            server: args.server,
            token: args.token,
            impersonate: args.impersonate,
            impersonate_uid: args.impersonate_uid,
            impersonate_groups: args.impersonate_groups,
            certificate_authority: args.certificate_authority,
            client_certificate: args.client_certificate,
            client_key: args.client_key,
            tls_server_name: args.tls_server_name,
            insecure_skip_tls_verify: args.insecure_skip_tls_verify,
            request_timeout,
        }
    }
}

/// Longer than any command runs: no limit. Added to a time, a longer one would be more than a time can be.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);

/// A duration in kubectl's notation, a number of seconds or `1h2m3s`; `0` is no limit. The default is that of
/// `--request-timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit(pub Option<Duration>);

impl Default for TimeLimit {
    /// 30 s: a slow API server must not look like a hanging tool.
    fn default() -> Self {
        Self(Some(Duration::from_secs(30)))
    }
}

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // An unset variable of a script.
        if text.is_empty() {
            return Ok(Self::default());
        }
        let duration = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => parse_duration(text).ok_or_else(|| {
                format!("`{text}` is not a duration: write 30s, 2m, 1h30m or a number of seconds")
            })?,
        };
        let is_limit = !duration.is_zero() && duration < FOR_EVER;
        Ok(Self(is_limit.then_some(duration)))
    }
}

/// Takes an empty path too: scripts pass variables that are not set, and kubectl takes those for flags not given.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn parse_duration(text: &str) -> Option<Duration> {
    // jiff's friendly notation is a superset of Go's for the units kubectl documents.
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_may_be_empty() {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            connection: ConnectionArgs,
        }
        let names = [
            "kubeconfig",
            "context",
            "cluster",
            "user",
            "server",
            "namespace",
            "token",
            "as",
            "as-uid",
            "as-group",
            "certificate-authority",
            "client-certificate",
            "client-key",
            "tls-server-name",
            "request-timeout",
            "cache-dir",
            "kuberc",
            "log-flush-frequency",
            "vmodule",
            "profile",
            "profile-output",
        ];
        let flags = names.iter().map(|name| format!("--{name}="));
        let flags = <Flags as clap::Parser>::try_parse_from(
            std::iter::once("test".to_owned()).chain(flags),
        )
        .unwrap();
        assert_eq!(flags.connection.request_timeout, Some(TimeLimit::default()));
    }

    #[test]
    fn request_timeouts_are_read_as_kubectl_reads_them() {
        let read = |text: &str| text.parse::<TimeLimit>().map(|timeout| timeout.0);
        assert_eq!(read("5"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(read("1m30s"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(read("250ms"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(read("0"), Ok(None));
        assert_eq!(read("0s"), Ok(None));
        // More than can be counted, or added to a time, limits nothing.
        assert_eq!(read(&u64::MAX.to_string()), Ok(None));
        assert_eq!(read("9999999999h"), Ok(None));
        assert!(read("99999999999999999999h").is_err());
        assert!(read("soon").unwrap_err().contains("not a duration"));
        assert!(read("-3s").is_err());
    }
}
