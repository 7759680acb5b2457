//! A pseudo-terminal's near end, for `exec -t`.

use std::{
    io,
    os::fd::OwnedFd,
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, unix::AsyncFd};

/// The end that types and watches. Cloning shares it; when the last clone is dropped the far side is hung up.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    near: Arc<AsyncFd<OwnedFd>>,
}

impl Terminal {
    /// A new terminal of 0 by 0 characters, and its far end to be a process's stdin, stdout and stderr.
    pub(crate) fn open() -> io::Result<(Self, [Stdio; 3])> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let name = ptsname(&near, Vec::new())?;
        let far = rustix::fs::open(
            name,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let (second, third) = (far.try_clone()?, far.try_clone()?);
        rustix::io::ioctl_fionbio(&near, true)?;
        let near = Arc::new(watched(near)?);
        Ok((Self { near }, [far.into(), second.into(), third.into()]))
    }

    /// Tells the programs on the terminal its new size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&*self.near, size)?)
    }
}

#[expect(
    deprecated,
    reason = "its replacement is unsafe for the sake of types that are not I/O-safe; an `OwnedFd` is"
)]
fn watched(near: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(near)
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.near.poll_read_ready(cx))?;
            let space = buffer.initialize_unfilled();
            match ready.try_io(|near| Ok(rustix::io::read(near, space)?)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Linux's way to say that no process has the terminal open any more.
                Ok(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.near.poll_write_ready(cx))?;
            if let Ok(written) = ready.try_io(|near| Ok(rustix::io::write(near, bytes)?)) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
