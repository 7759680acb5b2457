//! Frames of SPDY/3.1: eight bytes of header, then up to 16 MiB.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest frame taken from a client; spdystream sends what it is given at once, 32 KiB from kubectl.
const LARGEST_FRAME_BYTES: usize = 1 << 20;

const CONTROL: u8 = 0x80;
const SPDY_3: u16 = 3;
const FLAG_FIN: u8 = 0x01;
const STREAM_ID: u32 = 0x7fff_ffff;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const HEADERS: u16 = 8;

/// What a client sends, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A new stream, with its compressed headers.
    Open {
        stream: u32,
        headers: Bytes,
        fin: bool,
    },
    /// More compressed headers: they must be read for the sake of the compression's state.
    Headers {
        headers: Bytes,
    },
    Data {
        stream: u32,
        bytes: Bytes,
        fin: bool,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// Settings, windows and what a later protocol may add.
    Other,
}

/// Reads one frame; `None` at the end of the connection.
pub(super) async fn read(
    connection: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Received>> {
    let mut header = [0; 8];
    if connection.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    connection.read_exact(&mut header[1..]).await?;
    let length = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
    if length > LARGEST_FRAME_BYTES {
        return Err(invalid("a frame is larger than any client sends"));
    }
    let mut body = BytesMut::zeroed(length);
    connection.read_exact(&mut body).await?;
    parse(header, body.freeze()).map(Some)
}

fn parse(header: [u8; 8], mut body: Bytes) -> io::Result<Received> {
    let fin = header[4] & FLAG_FIN != 0;
    let first = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    if header[0] & CONTROL == 0 {
        return Ok(Received::Data {
            stream: first,
            bytes: body,
            fin,
        });
    }
    let kind = u16::from_be_bytes([header[2], header[3]]);
    let mut number = || {
        body.try_get_u32()
            .map_err(|_| invalid("a control frame is too short"))
    };
    Ok(match kind {
        SYN_STREAM => {
            let stream = number()? & STREAM_ID;
            let _associated_stream = number()?;
            if body.remaining() < 2 {
                return Err(invalid("a control frame is too short"));
            }
            let _priority_and_slot = body.get_u16();
            Received::Open {
                stream,
                headers: body,
                fin,
            }
        }
        HEADERS | SYN_REPLY => {
            let _stream = number()?;
            Received::Headers { headers: body }
        }
        RST_STREAM => Received::Reset {
            stream: number()? & STREAM_ID,
        },
        PING => Received::Ping { id: number()? },
        GO_AWAY => Received::GoAway,
        _ => Received::Other,
    })
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The header of a data frame of that length.
pub(super) fn data_header(stream: u32, length: usize, fin: bool) -> [u8; 8] {
    let mut header = [0; 8];
    header[..4].copy_from_slice(&stream.to_be_bytes());
    header[4..].copy_from_slice(&flags_and_length(if fin { FLAG_FIN } else { 0 }, length));
    header
}

/// Accepts a stream; `headers` is a compressed header block.
pub(super) fn reply(stream: u32, headers: &[u8]) -> Bytes {
    control(SYN_REPLY, |body| {
        body.put_u32(stream);
        body.put_slice(headers);
    })
}

/// Answers a ping.
pub(super) fn pong(id: u32) -> Bytes {
    control(PING, |body| body.put_u32(id))
}

/// Announces the end of the connection, all being well.
pub(super) fn go_away(last_stream: u32) -> Bytes {
    control(GO_AWAY, |body| {
        body.put_u32(last_stream);
        body.put_u32(0);
    })
}

fn control(kind: u16, fill: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut body = BytesMut::new();
    fill(&mut body);
    let mut frame = BytesMut::with_capacity(8 + body.len());
    frame.put_u16(u16::from(CONTROL) << 8 | SPDY_3);
    frame.put_u16(kind);
    frame.put_slice(&flags_and_length(0, body.len()));
    frame.put_slice(&body);
    frame.freeze()
}

fn flags_and_length(flags: u8, length: usize) -> [u8; 4] {
    // Frames made here are far below the 24 bits that a length has.
    let [_, high, middle, low] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [flags, high, middle, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_all(bytes: &[u8]) -> io::Result<Vec<Received>> {
        let mut connection = bytes;
        let mut frames = Vec::new();
        while let Some(frame) = read(&mut connection).await? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[tokio::test]
    async fn frames_that_are_written_can_be_read() {
        let mut bytes = pong(7).to_vec();
        bytes.extend_from_slice(&data_header(5, 3, true));
        bytes.extend_from_slice(b"abc");
        bytes.extend_from_slice(&go_away(5));
        let data = Received::Data {
            stream: 5,
            bytes: Bytes::from_static(b"abc"),
            fin: true,
        };
        assert_eq!(
            read_all(&bytes).await.unwrap(),
            [Received::Ping { id: 7 }, data, Received::GoAway]
        );
    }

    #[tokio::test]
    async fn frames_that_are_cut_or_too_large_are_errors() {
        for bytes in [
            &[0, 0, 0, 1, 0, 0xff, 0xff, 0xff][..],
            &[0, 0, 0, 1, 0, 0, 0, 9, 1],
            &[0x80, 3, 0, 1, 0, 0, 0, 2, 0, 1],
            &[0x80],
        ] {
            assert!(read_all(bytes).await.is_err(), "{bytes:?}");
        }
    }
}
