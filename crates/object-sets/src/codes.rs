//! What the stores' own codes of errors mean, in words for a user, and what to look at. The stores have few of them in common,
//! and mean the same by those.

/// In words.
pub(crate) fn words(code: &str) -> Option<&'static str> {
    let all = [COMMON, AMAZON, GOOGLE, AZURE];
    let mut all = all.iter().copied().flatten();
    all.find(|(known, _)| *known == code)
        .map(|(_, words)| *words)
}

/// Pairs of a code and what it means.
type Codes = &'static [(&'static str, &'static str)];

const COMMON: Codes = &[
    ("NoSuchBucket", "there is no such bucket"),
    ("AccessDenied", "these keys may not do that"),
    ("SlowDown", "the store is busy"),
    (
        "ExpiredToken",
        "the session has expired: get a new token (AWS_SESSION_TOKEN, for s3://)",
    ),
    (
        "InvalidToken",
        "the store does not take the session's token (AWS_SESSION_TOKEN, for s3://)",
    ),
    (
        "QuotaExceeded",
        "the bucket is full, or may not become larger",
    ),
];

const AMAZON: Codes = &[
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
        "AuthorizationHeaderMalformed",
        "the bucket is in another region: look at AWS_REGION",
    ),
    (
        "PermanentRedirect",
        "the bucket is in another region: look at AWS_REGION and AWS_ENDPOINT_URL",
    ),
    (
        "XAmzContentSHA256Mismatch",
        "what arrived there is not what was sent",
    ),
];

const GOOGLE: Codes = &[
    (
        "AuthenticationRequired",
        "the store does not take the keys: look at GOOGLE_APPLICATION_CREDENTIALS, and at the clock of this machine",
    ),
    (
        "UserProjectMissing",
        "who asks has to pay for this bucket, which is not supported",
    ),
    (
        "RetentionPolicyNotMet",
        "the bucket's retention policy keeps it",
    ),
    ("ObjectUnderActiveHold", "a hold keeps it"),
];

const AZURE: Codes = &[
    ("ContainerNotFound", "there is no such container"),
    ("ContainerBeingDeleted", "the container is being deleted"),
    (
        "AuthenticationFailed",
        "the key or the SAS does not fit the account, or has expired: look at AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, and at the clock of this machine",
    ),
    (
        "InvalidAuthenticationInfo",
        "the store does not take the key, SAS or token: look at AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    ),
    (
        "NoAuthenticationInformation",
        "the store wants to know who asks: set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
    ),
    (
        "KeyBasedAuthenticationNotPermitted",
        "the account takes no keys: use a role (AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE)",
    ),
    (
        "AuthorizationFailure",
        "the key or the SAS (AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN) does not fit or may not do that, or the account's firewall does not let this machine in",
    ),
    (
        "AuthorizationPermissionMismatch",
        "the role or the SAS does not allow that",
    ),
    (
        "AuthorizationResourceTypeMismatch",
        "the SAS is not for containers and objects",
    ),
    (
        "AuthorizationServiceMismatch",
        "the SAS is not for Blob Storage",
    ),
    (
        "AuthorizationSourceIPMismatch",
        "the SAS is not for this machine's address",
    ),
    (
        "InsufficientAccountPermissions",
        "the account may only be read",
    ),
    ("AccountIsDisabled", "the account is disabled"),
    ("ServerBusy", "the store is busy"),
    (
        "InvalidBlockList",
        "blocks of this upload are gone: is another command writing there?",
    ),
    (
        "BlobImmutableDueToPolicy",
        "an immutability policy keeps it",
    ),
    ("BlobArchived", "it is in the archive tier: rehydrate it"),
];
