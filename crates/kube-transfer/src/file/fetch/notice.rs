//! What is told to the observer of a fetch by what runs beside it.

use super::{FetchError, FetchEvent, RangeError};

pub(super) enum Notice {
    Retrying {
        stream: usize,
        attempt: u32,
        error: RangeError,
    },
    AskingAgain(FetchError),
}

impl Notice {
    pub(super) fn tell(&self, observe: &mut impl FnMut(FetchEvent<'_>)) {
        match self {
            Self::Retrying {
                stream,
                attempt,
                error,
            } => observe(FetchEvent::Retrying {
                stream: *stream,
                attempt: *attempt,
                error,
            }),
            Self::AskingAgain(error) => observe(FetchEvent::AskingAgain { error }),
        }
    }
}
