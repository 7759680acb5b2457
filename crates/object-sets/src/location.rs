//! `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `obc://claim/prefix`: where sets are.

use std::fmt;
use std::path::Path as FilePath;
use std::str::FromStr;

use object_store::path::Path;
use thiserror::Error;

/// What stands before `://`: how the bucket is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// A bucket of S3 by its name; keys and endpoint are the environment's.
    S3,
    /// A bucket of Google Cloud Storage by its name; keys and endpoint are the environment's.
    Gs,
    /// A container of Azure Blob Storage by its name; account, keys and endpoint are the environment's.
    Az,
    /// The bucket of an ObjectBucketClaim of the cluster, by the claim's name; keys and endpoint are the claim's.
    Obc,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::S3, Self::Gs, Self::Az, Self::Obc];

    /// What a location begins with.
    fn prefix(self) -> &'static str {
        match self {
            Self::S3 => "s3://",
            Self::Gs => "gs://",
            Self::Az => "az://",
            Self::Obc => "obc://",
        }
    }

    /// What a location is to be written as.
    fn written(self) -> &'static str {
        match self {
            Self::S3 => "s3://BUCKET/PREFIX",
            Self::Gs => "gs://BUCKET/PREFIX",
            Self::Az => "az://CONTAINER/PREFIX",
            Self::Obc => "obc://CLAIM/PREFIX",
        }
    }

    fn of(text: &str) -> Option<(Self, &str)> {
        let of = |scheme: Self| Some((scheme, text.strip_prefix(scheme.prefix())?));
        Self::ALL.into_iter().find_map(of)
    }
}

/// A prefix in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// How the bucket is known.
    pub scheme: Scheme,
    /// The bucket, or the claim that stands for one.
    pub bucket: String,
    /// What the names of the objects begin with; may be empty.
    pub(crate) prefix: Path,
}

/// Why something is no location.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given} is no place in object storage: {why}")]
pub struct LocationError {
    given: String,
    why: String,
}

/// Whether it is meant to be a place in object storage, and no path of this machine.
pub fn is_location(given: &FilePath) -> bool {
    given
        .to_str()
        .is_some_and(|text| Scheme::of(text).is_some())
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let refused = |why: &str| LocationError {
            // What may be a key is not shown.
            given: match text.split_once("://") {
                Some((scheme, rest)) if rest.contains(['@', '?']) => format!("{scheme}://…"),
                _ => text.to_owned(),
            },
            why: why.to_owned(),
        };
        let (scheme, rest) = Scheme::of(text).ok_or_else(|| {
            let written = Scheme::ALL.map(Scheme::written);
            refused(&format!("write one of {}", written.join(", ")))
        })?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(refused(match scheme {
                Scheme::S3 | Scheme::Gs => "the bucket's name is missing",
                Scheme::Az => "the container's name is missing",
                Scheme::Obc => "the name of the ObjectBucketClaim is missing",
            }));
        }
        // Keys and passwords do not belong into what is shown and stored.
        if bucket.contains(['@', ':', '?', '#', '%']) || prefix.contains(['?', '#']) {
            let others = match scheme {
                Scheme::S3 | Scheme::Gs => "keys and endpoint come from the environment",
                Scheme::Az => "account, keys and endpoint come from the environment",
                Scheme::Obc => "keys and endpoint are the claim's",
            };
            return Err(refused(&format!(
                "it is {} alone; {others}",
                scheme.written()
            )));
        }
        if prefix.starts_with('/') {
            return Err(refused("the prefix has an empty part"));
        }
        let prefix =
            Path::parse(prefix).map_err(|_| refused("the prefix has an empty or odd part"))?;
        Ok(Self {
            scheme,
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme.prefix(), self.bucket)?;
        if self.prefix.as_ref().is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.prefix)
    }
}

impl Location {
    /// The place that contains it, and its last part: of a set, where it is and its name.
    pub fn split(&self) -> Option<(Self, String)> {
        let mut parts: Vec<_> = self.prefix.parts().collect();
        let name = parts.pop()?.as_ref().to_owned();
        let parent = Self {
            scheme: self.scheme,
            bucket: self.bucket.clone(),
            prefix: parts.into_iter().collect(),
        };
        Some((parent, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_a_bucket_and_no_secret() {
        let shown = |text: &str| {
            text.parse::<Location>()
                .map(|location| location.to_string())
        };
        assert_eq!(shown("s3://b"), Ok("s3://b".to_owned()));
        assert_eq!(shown("s3://b/"), Ok("s3://b".to_owned()));
        assert_eq!(shown("s3://b/p/q/"), Ok("s3://b/p/q".to_owned()));
        assert_eq!(shown("obc://c/p/"), Ok("obc://c/p".to_owned()));
        assert_eq!(shown("gs://b/p/"), Ok("gs://b/p".to_owned()));
        assert_eq!(shown("az://c/p/"), Ok("az://c/p".to_owned()));
        assert_ne!("s3://b".parse::<Location>(), "obc://b".parse());
        for bad in [
            "s3://",
            "s3:///p",
            "b/p",
            "s3://key:secret@b/p",
            "obc://",
            "obc://key:secret@b/p",
            "s3://b/p?x=y",
            "gs://",
            "az:///p",
            "az://c/p?sv=2022-11-02&sig=secret",
            "az://c@account.blob.core.windows.net/p?sig=secret",
            "s3://b//p",
        ] {
            let said = shown(bad).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
        let (parent, name) = "s3://b/p/set".parse::<Location>().unwrap().split().unwrap();
        assert_eq!(
            (parent.to_string().as_str(), name.as_str()),
            ("s3://b/p", "set")
        );
        assert!("s3://b".parse::<Location>().unwrap().split().is_none());
    }
}
