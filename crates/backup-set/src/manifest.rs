//! `backup.json`: what a set holds, where it came from, and how to know that it is whole.
//!
//! Version 2 tells of each file what it is as it is stored and, apart from that, what its plaintext is, and what the backup
//! was made for. Version 1, which knew neither, is read as what it meant: files that are stored as they are, of a backup.
//!
//! Within a version, what a newer tool adds does no harm to an older one: fields that it does not know are passed over, and
//! a role, method or purpose that it does not know is `Other`. A newer version is not judged at all.

use std::io;

use jiff::Timestamp;
use pg_archive::Contents;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::instances::TENANT_TABLE;
use crate::{ServiceInstance, Verified};

/// The version of the manifest's format that this code writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 2;

/// The largest manifest that is written, or read: more than 10,000 tables and as many instances take.
pub(crate) const MANIFEST_LIMIT_BYTES: usize = 8 << 20;

/// The manifest of a backup set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the tool that wrote it.
    pub format_version: u32,
    /// The tool that made the backup.
    pub tool: ToolRecord,
    /// The cluster it came from.
    pub cluster: ClusterRecord,
    /// The namespace of the operands.
    pub namespace: String,
    /// The Watson Assistant instance.
    pub instance: String,
    /// The uid of its WatsonAssistant, where that could be read: whose the backup is, whatever the API server is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_uid: Option<String>,
    /// The product release, where the installation told it.
    pub release: Option<String>,
    /// What the backup was made for.
    #[serde(default, deserialize_with = "known_or_other")]
    pub purpose: Purpose,
    /// How the dump was taken.
    #[serde(deserialize_with = "known_or_other")]
    pub method: Method,
    /// When the backup began: the dump, or its copying from the volume.
    pub started_at: Timestamp,
    /// When its last byte was stored.
    pub finished_at: Timestamp,
    /// When the dump was verified; absent where that was declined.
    pub verified_at: Option<Timestamp>,
    /// Why the dump could not be judged, where that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_judged: Option<String>,
    /// PostgreSQL's side.
    pub pg_dump: PgDumpRecord,
    /// Where on a volume the dump was, with [`Method::Volume`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeRecord>,
    /// The files of the set, this one aside. Only sealing a set fills it, with the files that it was given.
    pub(crate) files: Vec<FileRecord>,
    /// The tables in the dump; empty where it was not verified.
    pub tables: Vec<TableRecord>,
    /// The service instances in the dump; empty where it was not verified.
    pub instances: Vec<ServiceInstance>,
    /// Whether tables and instances are left out: with them the manifest would be larger than any that is read, or tell
    /// everybody what is encrypted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub abridged: bool,
}

/// A backup that is being taken, as far as that is known from its beginning.
pub struct Origin {
    /// The tool that takes it.
    pub tool: ToolRecord,
    /// The cluster it comes from.
    pub cluster: ClusterRecord,
    /// The namespace of the operands.
    pub namespace: String,
    /// The Watson Assistant instance.
    pub instance: String,
    /// How the dump is taken.
    pub method: Method,
    /// When it began.
    pub started_at: Timestamp,
}

impl Manifest {
    /// The manifest of a backup that has just been stored; [`SetWriter::seal`](crate::SetWriter::seal) adds the files. Of
    /// PostgreSQL's side it knows what a `verified` dump tells itself; whoever knows more adds it.
    pub fn new(origin: Origin, verified: Option<&Verified>) -> Self {
        let now = Timestamp::now();
        let contents = verified.map(|verified| &verified.contents);
        let header = contents.map(|contents| &contents.header);
        Self {
            format_version: FORMAT_VERSION,
            tool: origin.tool,
            cluster: origin.cluster,
            namespace: origin.namespace,
            instance: origin.instance,
            instance_uid: None,
            release: None,
            purpose: Purpose::Backup,
            method: origin.method,
            started_at: origin.started_at,
            finished_at: now,
            verified_at: verified.map(|_| now),
            not_judged: None,
            pg_dump: PgDumpRecord {
                pod: None,
                version: header.and_then(|header| header.pg_dump_version.clone()),
                server_version: header.and_then(|header| header.server_version.clone()),
                database: header.and_then(|header| header.database.clone()),
            },
            volume: None,
            files: Vec::new(),
            tables: contents.map(TableRecord::from_contents).unwrap_or_default(),
            instances: verified
                .map(|verified| verified.instances.clone())
                .unwrap_or_default(),
            abridged: false,
        }
    }

    /// The files of the set.
    pub fn files(&self) -> &[FileRecord] {
        &self.files
    }

    /// With these files, and no others.
    pub(crate) fn with_files(self, files: Vec<FileRecord>) -> Self {
        Self { files, ..self }
    }

    /// What everybody may know of a set that is encrypted: whose it is, how old, and what its files are like.
    pub(crate) fn reduced(&self) -> Self {
        Self {
            cluster: ClusterRecord {
                context: None,
                ..self.cluster.clone()
            },
            pg_dump: PgDumpRecord {
                pod: None,
                version: None,
                server_version: None,
                database: None,
            },
            tables: Vec::new(),
            instances: Vec::new(),
            abridged: true,
            ..self.clone()
        }
    }

    /// The content of the file. A dump with more tables and instances than a manifest can hold is a backup all the same.
    pub(crate) fn to_json(&self) -> io::Result<Vec<u8>> {
        let whole = self.pretty()?;
        if whole.len() <= MANIFEST_LIMIT_BYTES {
            return Ok(whole);
        }
        let abridged = Self {
            tables: Vec::new(),
            instances: Vec::new(),
            abridged: true,
            ..self.clone()
        };
        let json = abridged.pretty()?;
        if json.len() > MANIFEST_LIMIT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(json)
    }

    fn pretty(&self) -> io::Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}

impl Manifest {
    /// Whether the backup was made before a change, in order to be able to go back. Who looks for the latest backup passes
    /// over it: it is of what was there when something was about to go wrong.
    pub fn is_safety(&self) -> bool {
        self.purpose == Purpose::Safety
    }

    /// When the data was dumped: a dump from a volume was there before it was copied.
    pub fn data_time(&self) -> Timestamp {
        let dumped = self.volume.as_ref().map(|volume| volume.modified);
        dumped.unwrap_or(self.started_at)
    }

    /// How many service instances a restore needs a target for; none where the dump was not verified, they could not be
    /// counted, or are not told here.
    pub fn live_instances(&self) -> Option<usize> {
        let not_counted = |table: &TableRecord| table.name == TENANT_TABLE && table.rows.is_none();
        let told = self.verified_at.is_some() && !self.abridged;
        let counted = told && !self.tables.iter().any(not_counted);
        counted.then(|| self.instances.iter().filter(|one| one.is_live()).count())
    }
}

/// What a backup was made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Purpose {
    /// To be kept.
    #[default]
    Backup,
    /// To be able to go back, before something is changed.
    Safety,
    /// For something that a newer tool knows.
    #[serde(other)]
    Other,
}

/// How a dump was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// `pg_dump` wrote it when the backup was made.
    PgDump,
    /// The release's own CronJob had written it to its volume, from where it was copied.
    Volume,
    /// In a way that a newer tool knows.
    #[serde(other)]
    Other,
}

/// The file on a volume that a dump was copied from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// The PersistentVolumeClaim.
    pub claim: String,
    /// The file's path within the volume.
    pub file: String,
    /// When it was last changed, by the clock of its node.
    pub modified: Timestamp,
    /// The way it was reached: `pod`, `debug`, `snapshot` or `portworx`.
    pub via: String,
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A cluster, as the kubeconfig knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// The API server's URL.
    pub server: String,
    /// The kubeconfig context, where there was one.
    pub context: Option<String>,
}

/// What PostgreSQL said about itself and the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PgDumpRecord {
    /// The pod whose client was used, where that is known.
    pub pod: Option<String>,
    /// The version of `pg_dump`, where it is known.
    pub version: Option<String>,
    /// The version of the server, where it is known.
    pub server_version: Option<String>,
    /// The database, where it is known.
    pub database: Option<String>,
}

/// One file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileRecord {
    /// Its name within the set.
    pub name: String,
    /// What it is.
    #[serde(deserialize_with = "known_or_other")]
    pub role: FileRole,
    /// Its size in bytes, as it is stored.
    pub bytes: u64,
    /// Its SHA-256, as it is stored, in lower-case hexadecimal.
    pub sha256: String,
    /// What comes out where it is decrypted, or is there at once where it is not encrypted; not told in version 1, which
    /// stores everything as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<PlaintextRecord>,
}

/// The plaintext of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaintextRecord {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

impl FileRecord {
    /// The SHA-256 of its plaintext.
    pub fn plaintext_sha256(&self) -> &str {
        let plaintext = self.plaintext.as_ref();
        plaintext.map_or(&self.sha256, |plaintext| &plaintext.sha256)
    }

    /// The size of its plaintext in bytes.
    pub fn plaintext_bytes(&self) -> u64 {
        let plaintext = self.plaintext.as_ref();
        plaintext.map_or(self.bytes, |plaintext| plaintext.bytes)
    }

    /// Whether the file is its own plaintext, which this tool can read.
    pub(crate) fn is_stored_plain(&self) -> bool {
        self.plaintext.as_ref().is_none_or(|plaintext| {
            plaintext.bytes == self.bytes && plaintext.sha256.eq_ignore_ascii_case(&self.sha256)
        })
    }
}

/// A kind that may be one of a newer tool.
trait Kind: DeserializeOwned {
    const OTHER: Self;
}

impl Kind for Purpose {
    const OTHER: Self = Self::Other;
}

impl Kind for Method {
    const OTHER: Self = Self::Other;
}

impl Kind for FileRole {
    const OTHER: Self = Self::Other;
}

/// Reads a kind; whatever is no word that is known, and be it no word at all, is a newer tool's.
fn known_or_other<'de, K: Kind, D: Deserializer<'de>>(deserializer: D) -> Result<K, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or(K::OTHER))
}

/// What a file of a set is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FileRole {
    /// The database dump.
    StoreDump,
    /// The auth-encryption secret.
    AuthEncryption,
    /// The whole manifest, of a set that is encrypted.
    Manifest,
    /// Something that a newer tool knows.
    #[serde(other)]
    Other,
}

/// A table in the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableRecord {
    /// Its schema.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// Its rows; unknown where it was dumped as INSERTs.
    pub rows: Option<u64>,
    /// The size of its rows in bytes, uncompressed, as COPY writes them.
    pub bytes: u64,
}

impl TableRecord {
    /// Schema and name, as SQL writes them.
    pub fn qualified_name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The tables that a verification counted.
    pub fn from_contents(contents: &Contents) -> Vec<Self> {
        contents
            .tables
            .iter()
            .map(|table| Self {
                schema: table.schema.clone(),
                name: table.name.clone(),
                rows: table.rows,
                bytes: table.bytes,
            })
            .collect()
    }
}
