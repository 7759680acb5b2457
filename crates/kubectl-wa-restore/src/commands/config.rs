//! `config`: the files that pgmig is configured with.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use kube_transfer::Secret;
use owo_colors::OwoColorize as _;
use serde::Serialize;
use store_restore::config::{
    self, CA_FILE, POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, RcForm, ResourceController,
};
use store_restore::release::Release;
use store_restore::target::{self, PostgresCluster};
use wa_common::assistant::{Datastore, Instance};
use wa_common::cli::{Context, Exit, Render, ask_secret};
use wa_common::cluster::Cluster;
use wa_common::report::{Event, Styles};

/// More than any token takes.
const TOKEN_LIMIT_BYTES: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The files hold the password of the database and tokens: each is readable by you alone. Keep them no longer than \
the restore takes.

Before 5.2.1, resourceController.yaml holds a bearer token of every user who owns service instances. In the web client: My \
instances, Provisioned instances, the instance, Access information, Bearer token. Give a file with each, or be asked. From 5.2.1 \
on it holds the token of the service broker, which is read from the cluster. 5.2.0 and 5.2.1 differ in nothing else: where \
pgmig --testRCConnection fails, try the other form with --rc-form."
)]
pub(super) struct Args {
    /// Directory for the files; made if it is not there
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Form of resourceController.yaml, where the release does not tell, or tells wrong
    #[arg(long, value_name = "FORM")]
    rc_form: Option<RcFormArg>,
    /// File with the bearer token of a user who owns service instances; repeatable
    #[arg(long, value_name = "FILE")]
    token_file: Vec<PathBuf>,
    /// What the target belongs to, where that is not clear from the cluster
    #[arg(long, value_name = "TYPE")]
    target_type: Option<TargetType>,
    /// Replace files that are there already
    #[arg(long)]
    overwrite: bool,
}

/// The form of resourceController.yaml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RcFormArg {
    /// Bearer tokens of users, before 5.2.1
    UserTokens,
    /// The service broker's token, from 5.2.1 on
    ServiceToken,
}

impl From<RcFormArg> for RcForm {
    fn from(form: RcFormArg) -> Self {
        match form {
            RcFormArg::UserTokens => Self::UserTokens,
            RcFormArg::ServiceToken => Self::ServiceToken,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TargetType {
    /// Watson Assistant that stands by itself
    Assistant,
    /// Part of watsonx Orchestrate
    Orchestrate,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    files: Vec<PathBuf>,
    rc_form: RcForm,
    host: String,
    port: u16,
    orchestrate: bool,
    enable_icp: bool,
    #[serde(skip)]
    directory: PathBuf,
}

pub(super) async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let names = [POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, CA_FILE];
    config::require_free(&args.to, names.into_iter(), args.overwrite)?;
    let cluster = context.connect()?;
    let instance = Instance::find(&cluster, context.global.instance.as_deref()).await?;
    let datastore = Datastore::read(&cluster, &instance).await?;
    let postgres = PostgresCluster::find(&cluster, &instance, &datastore).await?;
    let controller = controller(&args, &cluster, &instance, context).await?;
    let files = config::write_files(
        &args.to,
        &[
            (POSTGRES_FILE, config::postgres_yaml(&datastore).as_bytes()),
            (RESOURCE_CONTROLLER_FILE, controller.to_yaml().as_bytes()),
            (CA_FILE, &postgres.ca),
        ],
        args.overwrite,
    )?;
    context.print(&Written {
        files,
        rc_form: controller.form,
        host: controller.address.host,
        port: controller.address.port,
        orchestrate: controller.orchestrate,
        enable_icp: postgres.needs_enable_icp(),
        directory: args.to,
    })?;
    Ok(Exit::Done)
}

async fn controller(
    args: &Args,
    cluster: &Cluster,
    instance: &Instance,
    context: &Context,
) -> anyhow::Result<ResourceController> {
    let form = rc_form(args.rc_form, instance)?;
    let orchestrate = match args.target_type {
        Some(given) => given == TargetType::Orchestrate,
        None => instance.is_of_orchestrate(cluster).await?,
    };
    let (address, tokens) = match form {
        RcForm::ServiceToken => {
            if !args.token_file.is_empty() {
                let message = format!(
                    "--token-file is not used: release {} wants the service broker's token (--rc-form user-tokens forces the other form)",
                    instance.release.as_deref().unwrap_or("unknown")
                );
                context.reporter.report(&Event::Warning { message });
            }
            let token = config::broker_token(cluster).await?;
            (config::broker_address(&instance.namespace), vec![token])
        }
        RcForm::UserTokens => {
            let address = target::resource_controller(cluster, instance).await?;
            (address, user_tokens(&args.token_file).await?)
        }
    };
    Ok(ResourceController {
        form,
        tokens,
        address,
        orchestrate,
    })
}

/// The form asked for, else that of the release.
pub(super) fn rc_form(given: Option<RcFormArg>, instance: &Instance) -> anyhow::Result<RcForm> {
    if let Some(given) = given {
        return Ok(given.into());
    }
    let Some(release) = &instance.release else {
        bail!(
            "the WatsonAssistant resource does not tell its release, which decides the form of {RESOURCE_CONTROLLER_FILE}: give --rc-form user-tokens (before 5.2.1) or service-token"
        );
    };
    let release: Release = release
        .parse()
        .with_context(|| format!("give --rc-form, since the release does not decide the form of {RESOURCE_CONTROLLER_FILE}"))?;
    Ok(RcForm::from_release(release))
}

/// The tokens in files.
pub(super) fn tokens_in(files: &[PathBuf]) -> anyhow::Result<Vec<Secret>> {
    files.iter().map(|file| token_in(file)).collect()
}

/// The tokens in files; where there are none, they are asked for.
pub(super) async fn user_tokens(files: &[PathBuf]) -> anyhow::Result<Vec<Secret>> {
    if !files.is_empty() {
        return tokens_in(files);
    }
    let mut tokens = Vec::new();
    loop {
        let question = if tokens.is_empty() {
            "Bearer token of a user who owns service instances (not shown): "
        } else {
            "Bearer token of the next user, or Enter if that was the last: "
        };
        let answer = ask_secret(question, "give --token-file FILE, once for each user").await?;
        if answer.expose().trim().is_empty() && !tokens.is_empty() {
            return Ok(tokens);
        }
        tokens.push(config::require_token(answer.expose()).context("the token that was entered")?);
    }
}

fn token_in(path: &Path) -> anyhow::Result<Secret> {
    let mut text = String::new();
    let file = File::open(path);
    file.and_then(|file| file.take(TOKEN_LIMIT_BYTES).read_to_string(&mut text))
        .with_context(|| format!("cannot read the token in {}", path.display()))?;
    config::require_token(&text).with_context(|| format!("the token in {}", path.display()))
}

impl Render for Written {
    fn human(&self, out: &mut dyn Write, styles: &Styles, _wide: bool) -> io::Result<()> {
        for file in &self.files {
            writeln!(out, "{} {}", file.display(), "written".style(styles.good))?;
        }
        writeln!(
            out,
            "\nIn the pod, in the directory with these files and pgmig, before anything is stopped:"
        )?;
        let wxo = if self.orchestrate { " --wxo" } else { "" };
        writeln!(out, "  export PG_CA_FILE=$PWD/{CA_FILE}")?;
        if self.enable_icp {
            writeln!(out, "  export ENABLE_ICP=true")?;
        }
        writeln!(
            out,
            "  ./pgmig --target {POSTGRES_FILE} --testPGConnection\n  ./pgmig --resourceController {RESOURCE_CONTROLLER_FILE}{wxo} --testRCConnection"
        )?;
        writeln!(
            out,
            "\nThey hold a password and tokens: delete {} when the restore is done.",
            self.directory.display()
        )
    }

    fn names(&self) -> Vec<String> {
        let files = self.files.iter();
        files.map(|file| file.display().to_string()).collect()
    }
}
