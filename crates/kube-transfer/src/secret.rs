//! Text that must not be seen.

use std::fmt;

use zeroize::Zeroizing;

/// One line of text that is shown nowhere: not by `Debug`, not in errors, not in a URL.
///
/// Its memory is overwritten when it is dropped. That is best effort: buffers of the TLS and WebSocket layers, and
/// whatever the caller made it from, are not under its control.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// Why a text cannot be sent as a secret: it is sent as one line to a shell's `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret contains {0}, which a line of shell input cannot carry; change the secret")]
pub struct InvalidSecret(&'static str);

impl Secret {
    /// Takes any text without a line break or NUL; quotes, `$`, backslashes and spaces arrive as they are.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSecret> {
        let text = Zeroizing::new(text.into());
        if text.contains('\n') {
            Err(InvalidSecret("a line break"))
        } else if text.contains('\0') {
            Err(InvalidSecret("a NUL character"))
        } else {
            Ok(Self(text))
        }
    }

    /// A line of a text of this crate, which is as little seen as one.
    pub(crate) fn from_line(line: &str) -> Self {
        Self(Zeroizing::new(line.to_owned()))
    }

    /// The text itself, for handing it on over a protected channel.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_text() {
        let secret = Secret::new("hunter2").expect("one line");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn line_breaks_and_nul_are_refused_without_showing_the_text() {
        for text in ["hunter2\nx", "hunter2\0"] {
            let error = Secret::new(text).expect_err("must be refused");
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
