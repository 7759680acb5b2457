//! What the environment says of how a bucket is reached; refused where that cannot work.

use std::env::var_os;

use anyhow::ensure;

/// A variable of the environment that says something.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

/// Without keys the library would ask an address that only machines of Amazon have, and wait for it.
pub(crate) fn require_keys() -> anyhow::Result<()> {
    let has = |name: &str| variable(name).is_some();
    let has_keys = has("AWS_ACCESS_KEY_ID") && has("AWS_SECRET_ACCESS_KEY");
    let has_role = has("AWS_WEB_IDENTITY_TOKEN_FILE")
        || has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        || has("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let profile = if has("AWS_PROFILE") {
        "; AWS_PROFILE is set, but profiles are not read"
    } else {
        ""
    };
    ensure!(
        has_keys || has_role,
        "there are no keys for the object storage: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY{profile}"
    );
    Ok(())
}

/// Whether http:// is asked for.
pub(crate) fn asks_for_http() -> bool {
    let asked = variable("AWS_ALLOW_HTTP");
    asked.is_some_and(|value| ["true", "1"].contains(&&*value.to_ascii_lowercase()))
}

/// An error where the endpoint is http:// and that was not `asked` for.
pub(crate) fn refuse_http(asked: bool) -> anyhow::Result<()> {
    let names = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    for name in names {
        let Some(endpoint) = variable(name) else {
            continue;
        };
        ensure!(
            !endpoint.contains('@'),
            "{name} has a user or password in it: keys are given by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        );
        ensure!(
            asked || !endpoint.starts_with("http://"),
            "{name} is http://, over which everybody on the way can read the backup: use https://, or set AWS_ALLOW_HTTP=true"
        );
    }
    Ok(())
}
