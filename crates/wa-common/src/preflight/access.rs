//! All that a command may need, as data: its long help, the roles made for it and what is asked for before it begins are
//! of this.

use super::{Needed, in_words};

/// Where objects are that a command works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In the namespace of the instance, with the operands.
    Instance,
    /// In the namespace of the Watson Assistant operator.
    Operator,
    /// In the namespace of Portworx's pods.
    Portworx,
    /// In the namespace of the cluster's object storage.
    ObjectStorage,
    /// In no namespace, or in all.
    Everywhere,
}

/// What is needed in one place, and when.
#[derive(Debug, Clone)]
pub struct Access {
    /// Where.
    pub place: Place,
    /// When it is needed, such as `with --wait`; always, where empty.
    pub when: &'static str,
    /// What it takes.
    pub needed: Vec<Needed>,
    /// What becomes of a command that goes on without it; `None` where it does not go on.
    pub without: Option<&'static str>,
}

/// A command and what it may need.
#[derive(Debug, Clone, Copy)]
pub struct CommandAccess {
    /// As it is typed after the plugin's name, such as `schedule set`.
    pub command: &'static str,
    /// What it needs, of an instance of that name.
    pub access: fn(instance: &str) -> Vec<Access>,
}

impl CommandAccess {
    /// What `command` may need.
    pub const fn new(command: &'static str, access: fn(instance: &str) -> Vec<Access>) -> Self {
        Self { command, access }
    }
}

impl Access {
    /// Needed whatever is asked of the command.
    pub fn always(place: Place, needed: Vec<Needed>) -> Self {
        Self {
            place,
            when: "",
            needed,
            without: None,
        }
    }

    /// Needed only then.
    #[must_use]
    pub fn when(self, when: &'static str) -> Self {
        Self { when, ..self }
    }

    /// Something the command can do without, and what becomes of it then.
    #[must_use]
    pub fn or(self, without: &'static str) -> Self {
        Self {
            without: Some(without),
            ..self
        }
    }

    /// As a paragraph of a help text.
    pub fn in_words(&self) -> String {
        let place = match self.place {
            Place::Instance => "",
            Place::Operator => "in the operator's namespace",
            Place::Portworx => "in the namespace of Portworx",
            Place::ObjectStorage => "in the namespace of the object storage",
            Place::Everywhere => "in all namespaces",
        };
        let optional = self.without.map_or("", |_| "optional");
        let words = [optional, self.when, place];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let needed = in_words(&self.needed);
        let without = self
            .without
            .map(|without| format!(" (without it, {without})"));
        let without = without.unwrap_or_default();
        if words.is_empty() {
            format!("{needed}{without}")
        } else {
            format!("{}: {needed}{without}", words.join(", "))
        }
    }
}
