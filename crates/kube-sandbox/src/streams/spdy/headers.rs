//! Header blocks of SPDY/3.1: names and values, compressed with zlib over the whole connection and primed with a
//! dictionary that the protocol defines.

use std::{io, sync::LazyLock};

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// A header block of exec is a few dozen bytes; this is what it may grow to.
const LARGEST_BLOCK_BYTES: usize = 16 * 1024;

/// Reads the client's header blocks.
pub(super) struct Decoder(Decompress);

impl Decoder {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The value of the header `name` in the next block.
    pub(super) fn find(&mut self, block: &[u8], name: &str) -> io::Result<Option<String>> {
        let block = self.inflate(block)?;
        let mut rest = block.as_slice();
        let mut count = number(&mut rest)?;
        while count > 0 {
            let (key, value) = (text(&mut rest)?, text(&mut rest)?);
            if key.eq_ignore_ascii_case(name.as_bytes()) {
                return Ok(Some(String::from_utf8_lossy(value).into_owned()));
            }
            count -= 1;
        }
        Ok(None)
    }

    fn inflate(&mut self, block: &[u8]) -> io::Result<Vec<u8>> {
        let mut inflated = Vec::with_capacity(LARGEST_BLOCK_BYTES);
        let mut rest = block;
        while !rest.is_empty() {
            let before = self.0.total_in();
            match self
                .0
                .decompress_vec(rest, &mut inflated, FlushDecompress::Sync)
            {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0
                        .set_dictionary(&DICTIONARY)
                        .map_err(io::Error::other)?;
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            let consumed = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            if consumed == 0 {
                return Err(invalid());
            }
            rest = rest.get(consumed..).unwrap_or_default();
        }
        Ok(inflated)
    }
}

/// Writes header blocks.
pub(super) struct Encoder(Compress);

impl Encoder {
    pub(super) fn new() -> io::Result<Self> {
        let mut compress = Compress::new(Compression::fast(), true);
        compress
            .set_dictionary(&DICTIONARY)
            .map_err(io::Error::other)?;
        Ok(Self(compress))
    }

    /// A block of one header.
    pub(super) fn encode(&mut self, name: &str, value: &str) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        plain.put_u32(1);
        put_text(&mut plain, name);
        put_text(&mut plain, value);
        let mut block = Vec::with_capacity(LARGEST_BLOCK_BYTES);
        self.0
            .compress_vec(&plain, &mut block, FlushCompress::Sync)?;
        Ok(block)
    }
}

/// Puts a text with its length in front; the texts written here are short.
fn put_text(block: &mut Vec<u8>, text: &str) {
    block.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    block.put_slice(text.as_bytes());
}

fn number(rest: &mut &[u8]) -> io::Result<u32> {
    rest.try_get_u32().map_err(|_| invalid())
}

fn text<'a>(rest: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let length = number(rest)? as usize;
    let (text, after) = rest.split_at_checked(length).ok_or_else(invalid)?;
    *rest = after;
    Ok(text)
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a header block makes no sense")
}

/// What every block's compression starts from (SPDY/3.1, section 2.6.10.1): these words with their lengths, then this text.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dictionary = Vec::new();
    for word in DICTIONARY_WORDS.split(';') {
        put_text(&mut dictionary, word);
    }
    dictionary.extend_from_slice(DICTIONARY_TEXT.as_bytes());
    dictionary
});

const DICTIONARY_WORDS: &str = "options;head;post;put;delete;trace;accept;accept-charset;accept-encoding;accept-language;\
    accept-ranges;age;allow;authorization;cache-control;connection;content-base;\
    content-encoding;content-language;content-length;content-location;content-md5;content-range;\
    content-type;date;etag;expect;expires;from;host;if-match;if-modified-since;if-none-match;\
    if-range;if-unmodified-since;last-modified;location;max-forwards;pragma;proxy-authenticate;\
    proxy-authorization;range;referer;retry-after;server;te;trailer;transfer-encoding;upgrade;\
    user-agent;vary;via;warning;www-authenticate;method;get;status;200 OK;version;HTTP/1.1;url;\
    public;set-cookie;keep-alive;origin";

const DICTIONARY_TEXT: &str = "\
    100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, \
    Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
    application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,\
    deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_share_one_compression_state() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new());
        for kind in ["error", "stdin", "stdout"] {
            let block = encoder.encode("streamtype", kind).unwrap();
            assert_eq!(
                decoder.find(&block, "Streamtype").unwrap().as_deref(),
                Some(kind)
            );
        }
    }

    #[test]
    fn the_dictionary_is_the_one_every_client_has() {
        let block = Encoder::new()
            .unwrap()
            .encode("streamtype", "error")
            .unwrap();
        // A zlib stream names its dictionary by checksum after two bytes of header.
        assert_eq!(block[2..6], 0xe3c6_a7c2_u32.to_be_bytes());
    }

    #[test]
    fn blocks_that_make_no_sense_are_errors() {
        assert!(Decoder::new().find(b"no zlib stream", "x").is_err());
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(&DICTIONARY).unwrap();
        let mut block = Vec::with_capacity(100);
        let lies_about_its_length = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        compress
            .compress_vec(&lies_about_its_length, &mut block, FlushCompress::Sync)
            .unwrap();
        assert!(Decoder::new().find(&block, "x").is_err());
    }
}
