//! What the environment says of how a bucket is reached; refused where that cannot work.

use std::env::var_os;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use object_sets::{Scheme, Settings};

/// Google's own names for files of keys.
const GOOGLE_FILES: [&str; 3] = [
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
];
/// Where `gcloud auth application-default login` leaves keys, in the home directory.
const GOOGLE_LOGIN: &str = ".config/gcloud/application_default_credentials.json";

/// A variable of the environment that says something.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

fn has(name: &str) -> bool {
    variable(name).is_some()
}

fn is_true(name: &str) -> bool {
    let said = variable(name);
    said.is_some_and(|value| ["true", "1"].contains(&&*value.to_ascii_lowercase()))
}

/// An error where nothing says with which keys a bucket of this kind is reached. Without keys the library would ask an address
/// that only machines of the cloud have, and wait for it.
pub(crate) fn require_keys(scheme: Scheme) -> anyhow::Result<()> {
    match scheme {
        Scheme::S3 => require_amazons(),
        Scheme::Gs => require_googles(),
        Scheme::Az => require_azures(),
        // They are the claim's.
        Scheme::Obc => Ok(()),
    }
}

fn require_amazons() -> anyhow::Result<()> {
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

fn require_googles() -> anyhow::Result<()> {
    if has("GOOGLE_BEARER_TOKEN") || has("GOOGLE_SERVICE_ACCOUNT_KEY") {
        return Ok(());
    }
    for name in GOOGLE_FILES {
        if let Some(file) = variable(name) {
            let opened = File::open(&file);
            opened
                .with_context(|| format!("cannot read the keys in {file}, which {name} names"))?;
            return Ok(());
        }
    }
    let home = var_os("HOME").unwrap_or_default();
    ensure!(
        Path::new(&home).join(GOOGLE_LOGIN).is_file(),
        "there are no keys for the object storage: set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account's key, or run `gcloud auth application-default login`"
    );
    Ok(())
}

fn require_azures() -> anyhow::Result<()> {
    // It knows its own.
    if is_true("AZURE_STORAGE_USE_EMULATOR") {
        return Ok(());
    }
    let unread = if has("AZURE_STORAGE_CONNECTION_STRING") {
        "; AZURE_STORAGE_CONNECTION_STRING is set, but is not read"
    } else {
        ""
    };
    ensure!(
        has("AZURE_STORAGE_ACCOUNT_NAME") || has("AZURE_STORAGE_ACCOUNT"),
        "there is no account for the object storage: set AZURE_STORAGE_ACCOUNT_NAME{unread}"
    );
    let of_account = [
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_MASTER_KEY",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_TOKEN",
    ];
    let of_machine = ["IDENTITY_ENDPOINT", "AZURE_MSI_ENDPOINT"];
    let is_client = ["", "STORAGE_"].iter().any(|of| {
        let has = |name: &str| has(&format!("AZURE_{of}{name}"));
        has("CLIENT_ID")
            && has("TENANT_ID")
            && (has("CLIENT_SECRET") || has("FEDERATED_TOKEN_FILE"))
    });
    let has_keys = of_account.iter().chain(&of_machine).any(|name| has(name));
    ensure!(
        has_keys || is_client || is_true("AZURE_USE_AZURE_CLI"),
        "there are no keys for the object storage: set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN{unread}"
    );
    Ok(())
}

/// What the library knows by another name.
pub(crate) fn settings(scheme: Scheme) -> Settings {
    let mut settings = Settings::default();
    if scheme != Scheme::Az {
        return settings;
    }
    // Those of Microsoft's own program, `az`.
    let others = [
        ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"),
    ];
    for (other, name) in others {
        if let (Some(value), false) = (variable(other), has(name)) {
            settings.add(name, &value);
        }
    }
    settings
}

/// The variable that takes http://, of the kind of store.
fn allowing(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::S3 | Scheme::Obc => "AWS_ALLOW_HTTP",
        Scheme::Gs => "GOOGLE_ALLOW_HTTP",
        Scheme::Az => "AZURE_ALLOW_HTTP",
    }
}

/// Whether http:// is asked for.
pub(crate) fn asks_for_http(scheme: Scheme) -> bool {
    is_true(allowing(scheme))
}

/// An error where the endpoint is http:// and that was not asked for.
pub(crate) fn refuse_http(scheme: Scheme) -> anyhow::Result<()> {
    let (names, keys): (&[&str], _) = match scheme {
        Scheme::S3 | Scheme::Obc => (
            &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        Scheme::Gs => (&["GOOGLE_BASE_URL"], "GOOGLE_APPLICATION_CREDENTIALS"),
        Scheme::Az => (
            &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
            "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
        ),
    };
    let allowing = allowing(scheme);
    for name in names {
        let Some(endpoint) = variable(name) else {
            continue;
        };
        ensure!(
            !endpoint.contains(['@', '?']),
            "{name} has a user, a password or a query in it: keys are given by {keys}"
        );
        ensure!(
            asks_for_http(scheme) || !endpoint.starts_with("http://"),
            "{name} is http://, over which everybody on the way can read the backup: use https://, or set {allowing}=true"
        );
    }
    if scheme == Scheme::Az && is_true("AZURE_STORAGE_USE_EMULATOR") && !asks_for_http(scheme) {
        bail!(
            "the emulator is reached by http://, as AZURE_STORAGE_USE_EMULATOR says: set {allowing}=true as well"
        );
    }
    Ok(())
}
