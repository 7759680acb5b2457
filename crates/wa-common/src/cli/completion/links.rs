//! The links by which kubectl and oc find out how a command line goes on: krew, which installs plugins, makes none.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Command;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::super::Render;
use super::super::called::{ASKED, Called};
use crate::report::Styles;

/// What `completion install` did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Links {
    directory: PathBuf,
    /// Whether kubectl will find them.
    on_path: bool,
    #[serde(rename = "links")]
    all: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Link {
    name: String,
    target: PathBuf,
    /// Whether it was not there.
    created: bool,
}

impl Links {
    /// Makes them beside the program, where kubectl has found that; else, where the user may not write there, in
    /// `~/.local/bin`.
    pub(in crate::cli) fn install(command: &Command, called: &Called) -> anyhow::Result<Self> {
        let path = search_path();
        let program = located(called.program(), &path)?;
        let own = std::env::home_dir().map(|home| home.join(".local/bin"));
        Self::install_near(&program, &names(command), own.as_deref(), &path)
    }

    fn install_near(
        program: &Path,
        names: &[String],
        own: Option<&Path>,
        path: &[PathBuf],
    ) -> anyhow::Result<Self> {
        let beside = program
            .parent()
            .filter(|beside| path.iter().any(|one| one == beside));
        let mut refused = None;
        for directory in beside.into_iter().chain(own) {
            // Relative, so that it leads to what is there after an upgrade.
            let target = match program.file_name() {
                Some(name) if Some(directory) == program.parent() => Path::new(name),
                _ => program,
            };
            match make_all(directory, names, target) {
                Ok(links) => {
                    return Ok(Self {
                        on_path: path.iter().any(|one| one == directory),
                        directory: directory.to_owned(),
                        all: links,
                    });
                }
                Err(error) if is_refused(&error) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => bail!(
                "HOME is not set, and {} is in no directory of PATH: there is no place for the links",
                program.display()
            ),
        }
    }
}

/// For both ways to call the plugin, `kubectl wa-backup` and `kubectl wa backup`.
fn names(command: &Command) -> Vec<String> {
    let name = command.get_name();
    let name = name.strip_prefix("kubectl-").unwrap_or(name);
    let spellings = [name.to_owned(), name.replace('_', "-")];
    let programs = ["kubectl", "oc"].into_iter();
    programs
        .flat_map(|program| {
            spellings
                .iter()
                .map(move |name| format!("{program}{ASKED}{name}"))
        })
        .collect()
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

/// Where the program is that was started as `called`; links are not followed, since krew's lead to one version.
fn located(called: &Path, path: &[PathBuf]) -> anyhow::Result<PathBuf> {
    if called.components().count() > 1 {
        return Ok(std::path::absolute(called)?);
    }
    let found = path.iter().map(|directory| directory.join(called));
    found
        .into_iter()
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "cannot find {} in the directories of PATH",
                called.display()
            )
        })
}

fn make_all(directory: &Path, names: &[String], target: &Path) -> anyhow::Result<Vec<Link>> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create directory {}", directory.display()))?;
    names
        .iter()
        .map(|name| {
            Ok(Link {
                created: make(&directory.join(name), target)?,
                name: name.clone(),
                target: target.to_owned(),
            })
        })
        .collect()
}

/// Makes a link, or has an older one lead to `target`; returns whether it had to.
fn make(link: &Path, target: &Path) -> anyhow::Result<bool> {
    let cannot = || format!("cannot create the link {}", link.display());
    match fs::symlink_metadata(link) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            symlink(target, link).with_context(cannot)?;
        }
        Err(error) => return Err(error).with_context(cannot),
        Ok(found) if !found.is_symlink() => bail!(
            "{} is there and is no link: move it away, and try again",
            link.display()
        ),
        Ok(_) if fs::read_link(link).is_ok_and(|found| found == target) => return Ok(false),
        Ok(_) => {
            fs::remove_file(link).with_context(cannot)?;
            symlink(target, link).with_context(cannot)?;
        }
    }
    Ok(true)
}

fn is_refused(error: &anyhow::Error) -> bool {
    let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind.is_some_and(|kind| kinds.contains(&kind))
}

impl Render for Links {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        for Link {
            name,
            target,
            created,
        } in &self.all
        {
            let (word, style) = if *created {
                ("created", styles.good)
            } else {
                ("unchanged", styles.faint)
            };
            writeln!(
                out,
                "{} {}, leads to {}",
                self.directory.join(name).display(),
                word.style(style),
                target.display()
            )?;
        }
        if !self.on_path {
            writeln!(
                out,
                "kubectl looks for them in the directories of PATH: add {} to it",
                self.directory.display()
            )?;
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let links = self.all.iter();
        links
            .map(|link| self.directory.join(&link.name).display().to_string())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        /// With a plugin as krew installs it.
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            fs::create_dir(home.bin()).unwrap();
            symlink("../store/kubectl-wa-backup", home.program()).unwrap();
            home
        }

        fn bin(&self) -> PathBuf {
            self.0.path().join("bin")
        }

        fn program(&self) -> PathBuf {
            self.bin().join("kubectl-wa_backup")
        }

        fn own(&self) -> PathBuf {
            self.0.path().join("own")
        }

        fn install(&self, path: &[PathBuf]) -> anyhow::Result<Links> {
            let names = names(&Command::new("kubectl-wa_backup"));
            Links::install_near(&self.program(), &names, Some(&self.own()), path)
        }
    }

    #[test]
    fn links_stand_beside_the_plugin_and_lead_to_what_is_there() {
        let home = Home::new();
        let links = home.install(&[home.bin()]).unwrap();
        assert!(links.on_path && links.all.iter().all(|link| link.created));
        for name in [
            "kubectl_complete-wa_backup",
            "kubectl_complete-wa-backup",
            "oc_complete-wa_backup",
            "oc_complete-wa-backup",
        ] {
            let target = fs::read_link(home.bin().join(name)).unwrap();
            assert_eq!(target, Path::new("kubectl-wa_backup"));
        }
        let again = home.install(&[home.bin()]).unwrap();
        assert!(again.all.iter().all(|link| !link.created));
    }

    #[test]
    fn where_kubectl_does_not_look_they_stand_in_the_users_own_directory() {
        let home = Home::new();
        let links = home.install(&[]).unwrap();
        assert!(!links.on_path);
        assert_eq!(links.directory, home.own());
        let target = fs::read_link(home.own().join("oc_complete-wa_backup")).unwrap();
        assert_eq!(target, home.program());
    }

    #[test]
    fn links_of_an_earlier_place_are_renewed_and_anything_else_stays() {
        let home = Home::new();
        let link = home.bin().join("kubectl_complete-wa_backup");
        symlink("/gone/kubectl-wa_backup", &link).unwrap();
        home.install(&[home.bin()]).unwrap();
        assert_eq!(
            fs::read_link(&link).unwrap(),
            Path::new("kubectl-wa_backup")
        );
        fs::remove_file(&link).unwrap();
        fs::write(&link, "somebody's").unwrap();
        let error = home.install(&[home.bin()]).unwrap_err().to_string();
        assert!(error.contains("is no link"), "{error}");
        assert_eq!(fs::read_to_string(&link).unwrap(), "somebody's");
    }
}
