//! A reporter for tests: it keeps what happened.

use std::sync::Mutex;

use super::{Event, Reporter};

/// Keeps what is reported to it.
#[derive(Default)]
pub(crate) struct EventLog(Mutex<Vec<Event>>);

impl Reporter for EventLog {
    fn report(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl EventLog {
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.those(|event| match event {
            Event::Warning { message } => Some(message.clone()),
            _ => None,
        })
    }

    pub(crate) fn steps(&self) -> Vec<String> {
        self.those(|event| match event {
            Event::Step { step, detail } => Some(format!("{step} {detail}")),
            Event::Waiting { what, state, .. } => Some(format!("waiting {what}: {state}")),
            _ => None,
        })
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn those(&self, of: impl Fn(&Event) -> Option<String>) -> Vec<String> {
        self.0.lock().unwrap().iter().filter_map(of).collect()
    }
}
