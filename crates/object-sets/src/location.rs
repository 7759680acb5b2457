//! `s3://bucket/prefix`: where sets are, and how that is reached.

use std::fmt;
use std::path::Path as FilePath;
use std::str::FromStr;

use object_store::path::Path;
use thiserror::Error;

/// A prefix in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// What the names of the objects begin with; may be empty.
    pub(crate) prefix: Path,
}

/// Why something is no location.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given} is no place in object storage: {why}")]
pub struct LocationError {
    given: String,
    why: &'static str,
}

const SCHEME: &str = "s3://";

/// Whether it is meant to be a place in object storage, and no path of this machine.
pub fn is_location(given: &FilePath) -> bool {
    given.to_str().is_some_and(|text| text.starts_with(SCHEME))
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let refused = |why| LocationError {
            // What may be a key is not shown.
            given: if text.contains('@') {
                format!("{SCHEME}…")
            } else {
                text.to_owned()
            },
            why,
        };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| refused("write s3://BUCKET/PREFIX"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(refused("the bucket's name is missing"));
        }
        // Keys and passwords do not belong into what is shown and stored.
        if bucket.contains(['@', ':', '?', '#', '%']) || prefix.contains(['?', '#']) {
            return Err(refused(
                "it is s3://BUCKET/PREFIX alone; keys and endpoint come from the environment",
            ));
        }
        if prefix.starts_with('/') {
            return Err(refused("the prefix has an empty part"));
        }
        let prefix =
            Path::parse(prefix).map_err(|_| refused("the prefix has an empty or odd part"))?;
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.bucket)?;
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
        for bad in [
            "s3://",
            "s3:///p",
            "b/p",
            "s3://key:secret@b/p",
            "s3://b/p?x=y",
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
