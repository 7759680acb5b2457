//! Writes archives, sound ones and others: every part can be changed before it is serialized.

use std::io::Write;

use flate2::write::ZlibEncoder;
use pg_archive::Compression;

pub(crate) const DATA: u8 = 1;
pub(crate) const LARGE_OBJECTS: u8 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Dump {
    pub(crate) minor: u8,
    pub(crate) int_bytes: u8,
    pub(crate) offset_bytes: u8,
    pub(crate) format: u8,
    pub(crate) compression: Compression,
    /// As a dump to a file has them, unlike a dump to a pipe.
    pub(crate) records_offsets: bool,
    /// Written where pg_dump can only append: the offsets are in a second table of contents, after the blocks.
    pub(crate) appended: bool,
    /// How the compressed streams are cut.
    pub(crate) chunk_bytes: usize,
    pub(crate) entries: Vec<Entry>,
    pub(crate) blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) dump_id: i32,
    pub(crate) kind: &'static str,
    pub(crate) schema: &'static str,
    pub(crate) tag: String,
    pub(crate) definition: String,
    pub(crate) relation_kind: char,
    pub(crate) copy_statement: Option<String>,
    pub(crate) has_data: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) kind: u8,
    pub(crate) dump_id: i32,
    /// Compressed content with, for large objects, its oid before it.
    pub(crate) streams: Vec<(Option<u32>, Vec<u8>)>,
}

impl Dump {
    pub(crate) fn new(minor: u8, compression: Compression) -> Self {
        Self {
            minor,
            int_bytes: 4,
            offset_bytes: 8,
            format: 1,
            compression,
            records_offsets: true,
            appended: false,
            chunk_bytes: 4096,
            entries: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// Adds a table of schema `public` with this COPY data, which includes its end.
    pub(crate) fn table(mut self, name: &str, columns: &[&str], copy_data: &[u8]) -> Self {
        let dump_id = self.next_dump_id();
        self.entries.push(Entry {
            dump_id,
            kind: "TABLE DATA",
            schema: "public",
            tag: name.to_owned(),
            definition: String::new(),
            relation_kind: '\0',
            copy_statement: Some(format!(
                "COPY public.{name} ({}) FROM stdin;\n",
                columns.join(", ")
            )),
            has_data: true,
        });
        self.blocks.push(Block {
            kind: DATA,
            dump_id,
            streams: vec![(None, compress(self.compression, copy_data))],
        });
        self
    }

    /// Adds an entry of schema `public` without data.
    pub(crate) fn define(mut self, kind: &'static str, name: &str, definition: &str) -> Self {
        self.entries.push(Entry {
            dump_id: self.next_dump_id(),
            kind,
            schema: "public",
            tag: name.to_owned(),
            definition: definition.to_owned(),
            relation_kind: 'r',
            copy_statement: None,
            has_data: false,
        });
        self
    }

    pub(crate) fn large_objects(mut self, objects: &[(u32, &[u8])]) -> Self {
        let dump_id = self.next_dump_id();
        self.entries.push(Entry {
            dump_id,
            kind: "BLOBS",
            schema: "",
            tag: "BLOBS".to_owned(),
            definition: String::new(),
            relation_kind: '\0',
            copy_statement: None,
            has_data: true,
        });
        let streams = objects
            .iter()
            .map(|(oid, data)| (Some(*oid), compress(self.compression, data)))
            .collect();
        self.blocks.push(Block {
            kind: LARGE_OBJECTS,
            dump_id,
            streams,
        });
        self
    }

    fn next_dump_id(&self) -> i32 {
        i32::try_from(self.entries.len()).unwrap() * 2 + 5
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Offsets have a fixed size, so a first pass with any values tells how long the table of contents is.
        let begin = self.head(|_| Some(0)).len();
        let mut offsets = Vec::new();
        let mut blocks = Output::new(self);
        for block in &self.blocks {
            offsets.push((block.dump_id, (begin + blocks.bytes.len()) as u64));
            blocks.block(block, self.chunk_bytes);
        }
        let offset_of = |dump_id| {
            offsets
                .iter()
                .find(|(id, _)| *id == dump_id)
                .map(|(_, offset)| *offset)
        };
        let mut bytes = self.head(|dump_id| offset_of(dump_id).filter(|_| !self.appended));
        bytes.extend(blocks.bytes);
        if self.appended {
            let mut out = Output::new(self);
            self.contents(&mut out, offset_of, true);
            bytes.extend(out.bytes);
        }
        bytes
    }

    fn contents(&self, out: &mut Output, offset_of: impl Fn(i32) -> Option<u64>, again: bool) {
        out.int(i32::try_from(self.entries.len()).unwrap());
        for entry in &self.entries {
            out.entry(entry, self, offset_of(entry.dump_id), again);
        }
    }

    fn head(&self, offset_of: impl Fn(i32) -> Option<u64>) -> Vec<u8> {
        let mut out = Output::new(self);
        out.bytes.extend(b"PGDMP");
        out.bytes.extend([
            1,
            self.minor,
            0,
            self.int_bytes,
            self.offset_bytes,
            self.format,
        ]);
        match self.compression {
            Compression::None if self.minor < 15 => out.int(0),
            _ if self.minor < 15 => out.int(-1),
            compression => out.bytes.push(compression as u8),
        }
        // 2024-03-11 19:40:05.
        for part in [5, 40, 19, 11, 2, 124, 0] {
            out.int(part);
        }
        for text in ["store", "15.18", "15.18"] {
            out.string(Some(text));
        }
        self.contents(&mut out, offset_of, false);
        out.bytes
    }
}

struct Output {
    bytes: Vec<u8>,
    int_bytes: usize,
}

impl Output {
    fn new(dump: &Dump) -> Self {
        Self {
            bytes: Vec::new(),
            int_bytes: dump.int_bytes.into(),
        }
    }

    fn int(&mut self, value: i32) {
        self.bytes.push(u8::from(value < 0));
        let magnitude = u64::from(value.unsigned_abs()).to_le_bytes();
        self.bytes.extend(&magnitude[..self.int_bytes]);
    }

    fn string(&mut self, text: Option<&str>) {
        self.int(text.map_or(-1, |text| i32::try_from(text.len()).unwrap()));
        self.bytes.extend(text.unwrap_or_default().as_bytes());
    }

    fn entry(&mut self, entry: &Entry, dump: &Dump, offset: Option<u64>, again: bool) {
        self.int(entry.dump_id);
        self.int(entry.has_data.into());
        self.string(Some("0"));
        self.string(Some("16390"));
        self.string(Some(&entry.tag));
        self.string(Some(entry.kind));
        self.int(3);
        // pg_dump 18 passes over them where it can.
        if !(again && entry.kind == "STATISTICS DATA") {
            self.string(Some(&entry.definition));
        }
        self.string(Some(""));
        self.string(entry.copy_statement.as_deref());
        self.string(Some(entry.schema));
        self.string(Some(""));
        if dump.minor >= 14 {
            self.string(None);
        }
        if dump.minor >= 16 {
            self.int(i32::try_from(u32::from(entry.relation_kind)).unwrap());
        }
        self.string(Some("postgres"));
        self.string(Some("false"));
        self.string(Some("3"));
        self.string(None);
        let (state, offset) = match offset {
            _ if !entry.has_data => (3, 0),
            Some(offset) if dump.records_offsets || dump.appended => (2, offset),
            _ => (1, 0),
        };
        self.bytes.push(state);
        self.bytes
            .extend(&offset.to_le_bytes()[..dump.offset_bytes.into()]);
    }

    fn block(&mut self, block: &Block, chunk_bytes: usize) {
        self.bytes.push(block.kind);
        self.int(block.dump_id);
        for (oid, stream) in &block.streams {
            if let Some(oid) = oid {
                self.int(oid.cast_signed());
            }
            for chunk in stream.chunks(chunk_bytes) {
                self.int(i32::try_from(chunk.len()).unwrap());
                self.bytes.extend(chunk);
            }
            self.int(0);
        }
        if block.kind == LARGE_OBJECTS {
            self.int(0);
        }
    }
}

pub(crate) fn compress(compression: Compression, data: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => data.to_vec(),
        Compression::Gzip => {
            let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(data, 3).unwrap(),
    }
}

/// Rows as COPY writes them, and the end-of-data mark.
pub(crate) fn copy_data(rows: &[Vec<Option<String>>]) -> Vec<u8> {
    let mut data = Vec::new();
    for row in rows {
        let fields: Vec<_> = row
            .iter()
            .map(|field| field.as_deref().map_or("\\N".to_owned(), escape))
            .collect();
        data.extend(fields.join("\t").as_bytes());
        data.push(b'\n');
    }
    data.extend(b"\\.\n\n\n");
    data
}

fn escape(field: &str) -> String {
    let mut escaped = String::new();
    for c in field.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{b}' => escaped.push_str("\\v"),
            '\u{c}' => escaped.push_str("\\f"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            other => escaped.push(other),
        }
    }
    escaped
}
