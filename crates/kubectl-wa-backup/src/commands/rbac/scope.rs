//! What roles are asked for: plugins, or single commands of theirs.

use std::str::FromStr;

use wa_common::preflight::{Access, CommandAccess, Place, to_search_instances, to_search_operator};

/// The plugins, by their short names, and what each command of theirs may need.
const PLUGINS: [(&str, &[&[CommandAccess]]); 4] = [
    (
        "backup",
        &[&store_backup::COMMANDS, &backup_jobs::permissions::COMMANDS],
    ),
    ("pvc", &[&backup_volume::permissions::COMMANDS]),
    ("restore", &[&store_restore::permissions::COMMANDS]),
    ("retrain", &[&retraining::checks::COMMANDS]),
];

/// A value of `--for`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Every plugin.
    All,
    /// One of them, or a command of it.
    Plugin(PluginScope),
}

/// A plugin, or one command of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PluginScope {
    plugin: &'static str,
    command: Option<&'static str>,
}

/// Every value that `--for` takes.
pub(super) fn all() -> Vec<String> {
    let mut all = vec!["all".to_owned()];
    for (plugin, _) in PLUGINS {
        all.push(plugin.to_owned());
        let commands = commands_of(plugin);
        all.extend(commands.map(|one| format!("{plugin}:{}", hyphened(one.command))));
    }
    all
}

/// What `rbac` itself may need.
pub(super) fn to_look() -> Vec<Access> {
    vec![
        Access::always(Place::Instance, to_search_instances()).when("without -i"),
        Access::always(Place::Everywhere, to_search_operator())
            .when("without --operators-namespace"),
    ]
}

fn commands_of(plugin: &str) -> impl Iterator<Item = &'static CommandAccess> {
    let lists = PLUGINS.into_iter().filter(move |(name, _)| *name == plugin);
    lists.flat_map(|(_, lists)| lists.iter().copied().flatten())
}

/// A command as one word.
fn hyphened(command: &str) -> String {
    command.replace(' ', "-")
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        let (plugin, command) = match text.split_once(':') {
            Some((plugin, command)) => (plugin, Some(command)),
            None => (text, None),
        };
        let plugin = plugin.strip_prefix("wa-").unwrap_or(plugin);
        let mut plugins = PLUGINS.into_iter();
        let Some((plugin, _)) = plugins.find(|(name, _)| *name == plugin) else {
            return Err("expected backup, pvc, restore, retrain or all".to_owned());
        };
        let command = match command {
            None => None,
            Some(wanted) => {
                let found = commands_of(plugin).find(|one| hyphened(one.command) == wanted);
                Some(found.ok_or_else(|| unknown(plugin))?.command)
            }
        };
        Ok(Self::Plugin(PluginScope { plugin, command }))
    }
}

fn unknown(plugin: &str) -> String {
    let commands: Vec<String> = commands_of(plugin)
        .map(|one| hyphened(one.command))
        .collect();
    format!(
        "the commands of {plugin} that ask a cluster are {}",
        commands.join(", ")
    )
}

impl Scope {
    /// What it stands for.
    pub(super) fn plugins(&self) -> Vec<PluginScope> {
        match self {
            Self::All => {
                let whole = |(plugin, _)| PluginScope {
                    plugin,
                    command: None,
                };
                PLUGINS.into_iter().map(whole).collect()
            }
            Self::Plugin(one) => vec![one.clone()],
        }
    }
}

impl PluginScope {
    /// The commands, with what each may need.
    pub(super) fn commands(&self) -> Vec<&'static CommandAccess> {
        let wanted = |one: &&CommandAccess| self.command.is_none_or(|name| name == one.command);
        commands_of(self.plugin).filter(wanted).collect()
    }

    /// Such as `wa-backup` or `wa-backup-schedule-show`.
    pub(super) fn role_name(&self) -> String {
        match self.command {
            None => format!("wa-{}", self.plugin),
            Some(command) => format!("wa-{}-{}", self.plugin, hyphened(command)),
        }
    }
}
