//! What a plugin is to the one `main`.

use clap::Parser;

use super::{Asked, Candidate, Context, Exit, GlobalArgs, PluginErrors};

/// A plugin's command line.
pub trait Plugin: Parser + Send + 'static {
    /// The flags it shares with the other plugins.
    fn global(&self) -> &GlobalArgs;

    /// What it knows of errors: the exits of its own kinds, and advice.
    fn errors() -> PluginErrors {
        PluginErrors::default()
    }

    /// Whether what was asked prints the rows of a table, which `-o csv` is for.
    fn prints_rows(&self) -> bool {
        false
    }

    /// Values of arguments whose value the help calls `name`, such as `DUMP`, which only the cluster or this machine tells;
    /// those that every plugin has, such as `NAMESPACE`, are known. For a shell that completes a command line: must change
    /// nothing anywhere, and be quick.
    fn values(name: &str, asked: &Asked) -> impl Future<Output = anyhow::Result<Vec<Candidate>>> {
        let _ = (name, asked);
        async { Ok(Vec::new()) }
    }

    /// Does what was asked, on a thread of its own, which it may block. Dropped in the middle when a signal arrives: what
    /// must be undone on this machine is undone by `Drop`, what must be undone in the cluster by what is added to
    /// [`Context::exit_hooks`].
    fn run(self, context: Context) -> impl Future<Output = anyhow::Result<Exit>>;
}
