//! How the program was called: through kubectl or oc, or by a name of its own.

use std::ffi::OsString;
use std::path::Path;

/// In the name of the program that kubectl and oc ask for the ends of a command line: `kubectl_complete-wa_backup`.
pub(super) const ASKED: &str = "_complete-";

/// What started the program, as far as it tells.
#[derive(Debug, Clone)]
pub(super) struct Called {
    /// What it was started as.
    as_program: OsString,
    /// What most shells say that the user called: kubectl becomes the plugin, which then finds kubectl's path here.
    by_user: Option<OsString>,
}

impl Called {
    /// This process.
    pub(super) fn now() -> Self {
        Self {
            as_program: std::env::args_os().next().unwrap_or_default(),
            by_user: std::env::var_os("_"),
        }
    }

    /// As the help of every plugin shows it.
    pub(super) fn usual() -> Self {
        Self {
            as_program: OsString::new(),
            by_user: None,
        }
    }

    /// The path, or the bare name, that the program was started as.
    pub(super) fn program(&self) -> &Path {
        Path::new(&self.as_program)
    }

    /// The name of the file that it was started as; `otherwise` where that is none of a plugin.
    pub(super) fn file_name<'a>(&'a self, otherwise: &'a str) -> &'a str {
        let name = file_name(&self.as_program);
        // Completion that was registered for kubectl itself would break kubectl's own.
        name.filter(|name| name.starts_with("kubectl-") || name.starts_with("oc-"))
            .unwrap_or(otherwise)
    }

    /// Whether kubectl or oc asks how a command line may go on.
    pub(super) fn is_asked_for_completion(&self) -> bool {
        file_name(&self.as_program).is_some_and(|name| name.contains(ASKED))
    }

    /// How a user calls the program that is also called `usual`, such as `kubectl wa-backup`: that, the same with `oc`, or
    /// the name of its file.
    pub(super) fn shown(&self, usual: &str) -> String {
        let through_oc = || usual.replacen("kubectl ", "oc ", 1);
        match self.by_user.as_ref().and_then(file_name) {
            Some("oc") => return through_oc(),
            Some("kubectl") => return usual.to_owned(),
            _ => {}
        }
        let name = self.file_name("");
        // kubectl starts its plugins by their paths.
        let by_shell = self.program().components().count() == 1
            || self.by_user.as_deref() == Some(&self.as_program);
        match name {
            "" => usual.to_owned(),
            name if by_shell => name.to_owned(),
            name if name.starts_with("oc-") => through_oc(),
            _ => usual.to_owned(),
        }
    }
}

fn file_name(path: &OsString) -> Option<&str> {
    Path::new(path).file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(as_program: &str, by_user: Option<&str>) -> Called {
        Called {
            as_program: as_program.into(),
            by_user: by_user.map(OsString::from),
        }
    }

    #[test]
    fn a_program_is_shown_as_its_user_called_it() {
        let plugin = "/home/me/.krew/bin/kubectl-wa_backup";
        for (as_program, by_user, shown) in [
            (plugin, Some("/usr/bin/kubectl"), "kubectl wa-backup"),
            (plugin, Some("/usr/bin/oc"), "oc wa-backup"),
            (plugin, None, "kubectl wa-backup"),
            (plugin, Some("/usr/bin/make"), "kubectl wa-backup"),
            (plugin, Some(plugin), "kubectl-wa_backup"),
            ("kubectl-wa-backup", None, "kubectl-wa-backup"),
            ("/usr/bin/oc-wa_backup", None, "oc wa-backup"),
            ("/usr/bin/kubectl", None, "kubectl wa-backup"),
            ("", None, "kubectl wa-backup"),
        ] {
            let called = called(as_program, by_user);
            assert_eq!(called.shown("kubectl wa-backup"), shown, "{called:?}");
        }
    }

    #[test]
    fn completion_is_asked_for_by_name() {
        for (program, asked) in [
            ("/usr/bin/kubectl_complete-wa_backup", true),
            ("oc_complete-wa-backup", true),
            ("kubectl-wa_backup", false),
            ("/opt/kubectl_complete-x/kubectl-wa_backup", false),
        ] {
            assert_eq!(called(program, None).is_asked_for_completion(), asked);
        }
    }

    #[test]
    fn nothing_is_registered_for_kubectl_itself() {
        for program in ["kubectl", "/usr/bin/oc", ""] {
            let called = called(program, None);
            assert_eq!(called.file_name("kubectl-wa-backup"), "kubectl-wa-backup");
        }
    }
}
