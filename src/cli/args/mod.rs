//! The command line: definitions and help. Nothing is done here.

mod completions;
mod env;
mod exec;
mod hook;
mod start;
mod status;
mod stop;

use super::emulator_args::{EmulatorOptions, span};
use crate::config::{Choice, Entry};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, error::ErrorKind};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

pub use completions::{Completions, Man};
pub use env::{Env, Format};
pub use exec::Exec;
pub use hook::{Hook, Shell};
pub use start::Start;
pub use status::Status;
pub use stop::Stop;

const EXIT_CODES: &str = "\
Exit codes:
   0  done
  64  the command line is wrong
  69  a service is unavailable
  70  a fault of apim-agent or of this machine
  75  try again later (such as: an agent for this workspace runs already)
  77  refused by policy: federation, roles, consent, a configuration that nobody has allowed
  78  the configuration is wrong, or what it points at
  exec exits as its command does.

First steps:
  apim-agent run --emulator     everything on this machine, no Azure needed";

/// `apim-agent` with its global flags and one command.
#[derive(Debug, Parser)]
#[command(
    name = "apim-agent",
    version,
    about = "Short-lived, scoped Azure API Management credentials for cloud workspaces",
    after_help = EXIT_CODES,
    arg_required_else_help = true
)]
pub struct Args {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes, before or after its name.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Settings")]
pub struct Global {
    /// Read this configuration instead of searching for apim-agent.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this workspace [default: the platform's id for it, else the host's name]
    #[arg(long, global = true, value_name = "NAME")]
    pub workspace: Option<String>,
    /// Folder for the env file; has to be in RAM [default: one that is]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub runtime_dir: Option<String>,
    /// PEM certificates to trust besides the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Any setting, such as gateway.url=https://contoso.azure-api.net; repeatable
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Log on stderr: off, error, warn, info, debug or trace
    #[arg(long, global = true, value_name = "LEVEL", value_enum, default_value_t = Log::Warn, hide_possible_values = true)]
    pub log: Log,
}

impl Global {
    /// The settings given here, in the order in which later ones win: a flag of its own beats `--set`.
    pub fn settings(&self) -> Vec<Entry> {
        let named = [
            ("--workspace", "workspace", &self.workspace),
            ("--runtime-dir", "runtime_dir", &self.runtime_dir),
            ("--ca-file", "ca_file", &self.ca_file),
        ];
        let sets = self.set.iter().filter_map(|text| text.split_once('='));
        let sets = sets.map(|(key, value)| Entry::flag("--set", key.trim(), value));
        let named =
            named.into_iter().filter_map(|(flag, key, value)| Some(Entry::flag(flag, key, value.as_ref()?)));
        sets.chain(named).collect()
    }

    /// The first flag given that says something about the configuration.
    fn first_setting(&self) -> Option<&'static str> {
        let given = [
            (self.config.is_some(), "--config"),
            (self.workspace.is_some(), "--workspace"),
            (self.runtime_dir.is_some(), "--runtime-dir"),
            (self.ca_file.is_some(), "--ca-file"),
            (!self.set.is_empty(), "--set"),
        ];
        given.into_iter().find_map(|(given, name)| given.then_some(name))
    }

    /// Which file to read.
    pub fn file(&self) -> Choice<'_> {
        Choice::Usual(self.config.as_deref().map(Path::new))
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[allow(missing_docs)] // the names say it
pub enum Log {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch credentials, keep them fresh, and wipe and revoke them at the end
    #[command(after_help = "\
It stays in the foreground until Ctrl-C, SIGTERM or SIGHUP. In a workspace's task, use exec, so that the
signal reaches it:
  exec apim-agent run --config apim-agent.toml
To try it without Azure, and to watch keys being renewed:
  apim-agent run --emulator --short-lives

identity.source says where the identity comes from: auto (the default), command, file, env, ona, gitpod,
github-actions, gitlab, buildkite, circleci, saml, managed-identity, azure-cli, azd, device-code or browser.
Of SAML assertions, Entra takes only those of an AD FS that is federated with the tenant.")]
    Run(Run),
    /// Start the agent behind the scenes, and return when the first credentials are published
    #[command(after_help = "\
It leaves the terminal, and ends by `apim-agent stop`. Where an agent of this workspace runs already, that one is
waited for. Exits with 0 when all that is required is published, with 75 when --timeout is over before (the agent goes
on trying), and as the agent when that ends before. Ctrl-C ends the agent too.
  apim-agent start --config apim-agent.toml")]
    Start(Start),
    /// End the agent that runs, and wait until all is wiped and revoked
    #[command(after_help = "\
Exits with 0 when nothing is left, or when no agent runs, and with 75 when something could not be revoked.
  apim-agent stop")]
    Stop(Stop),
    /// Run a command with the credentials in its environment
    #[command(
        override_usage = "apim-agent exec [OPTIONS] -- <CMD>...",
        after_help = "\
It takes the credentials of the agent that runs; without one it fetches them for this command alone, and
revokes them afterwards. It exits as the command does.
  apim-agent exec -- make integration-test"
    )]
    Exec(Exec),
    /// Print the published credentials, for a shell or a program
    #[command(after_help = "\
Examples, for sh, bash and zsh; for fish; for scripts:
  eval \"$(apim-agent env)\"
  apim-agent env --format fish | source
  apim-agent env --format json | jq -r .ORDERS_TOKEN
For one call, with the header that the credential belongs in:
  apim-agent env --format curl --only orders | curl -K - https://contoso.azure-api.net/orders")]
    Env(Env),
    /// Print code that keeps every shell's variables fresh
    #[command(after_help = "\
For ~/.bashrc, ~/.zshrc, ~/.config/fish/config.fish and ~/.config/direnv/lib/apim_agent.sh, in this order:
  eval \"$(apim-agent hook bash)\"
  eval \"$(apim-agent hook zsh)\"
  apim-agent hook fish | source
  apim-agent hook direnv > ~/.config/direnv/lib/apim_agent.sh
While nothing changes, the hook starts no process. When the agent ends, it unsets what it had set.")]
    Hook(Hook),
    /// Show what is published, until when, and what comes next
    #[command(after_help = "\
Exits with 0 when everything is published, with 75 when something is missing, and with 69 when no agent runs.
  until apim-agent status --ready; do sleep 1; done
  apim-agent status --json | jq .generation")]
    Status(Status),
    /// Renew all credentials now
    #[command(after_help = "\
It asks the agent that runs, and returns at once. To see the outcome:
  apim-agent refresh && apim-agent status")]
    Refresh,
    /// Revoke what an agent that was killed left behind
    #[command(after_help = "\
It proves who it is anew, and needs no configuration: what was minted is in the workspace's journal, in RAM.
Mostly there is nothing to do: a killed agent's guard does this at once, or the next agent of the workspace.
Exits with 0 when nothing is left, and with 75 when something is.
  apim-agent release --workspace payments-dev")]
    Release,
    /// Delete the subscriptions that dead workspaces left behind at an API Management service
    #[command(after_help = "\
For the platform team, in a pipeline, as an application that may list and delete subscriptions. It deletes those
that are the agent's by id and name and past their end, and none that it cannot date. It can be stopped and
started again at any time; it exits with 75 when something was left.
  apim-agent reap --dry-run --service \"$(az apim show --name contoso --resource-group rg-apim --query id --output tsv)\"")]
    Reap(Reap),
    /// Allow the configuration of a repository, as it is now
    #[command(after_help = "\
An apim-agent.toml that is found by searching may be a stranger's: until you have allowed it, it may name no
program, no file with a secret, and no place that gets what the workspace has. It shows what it allows. Each change
of the file needs it again. What --config, flags and variables say needs none.
  apim-agent allow")]
    Allow(Allowed),
    /// Take back what was allowed
    #[command(after_help = "\
It forgets every version of that file that was allowed. An agent that runs already goes on.
  apim-agent deny")]
    Deny(Allowed),
    /// Serve the Azure parts alone, on loopback, for other tools' tests
    #[command(after_help = "\
It serves until Ctrl-C, SIGTERM or SIGHUP, and forgets everything then.
  apim-agent emulator --ready-file ready.json &
  curl --cacert \"$(jq -r .ca_file ready.json)\" \"$(jq -r .gateway ready.json)/echo\"")]
    Emulator(Emulator),
    /// Print what a shell needs to complete commands and flags
    #[command(after_help = "\
scripts/install puts them where each shell looks. By hand, for bash, zsh and fish:
  source <(apim-agent completions bash)
  apim-agent completions zsh > \"${fpath[1]}/_apim-agent\"
  apim-agent completions fish > ~/.config/fish/completions/apim-agent.fish")]
    Completions(Completions),
    /// Print the manual page, or write one for each command
    #[command(after_help = "\
Examples:
  apim-agent man | man -l -
  apim-agent man --folder ~/.local/share/man/man1 && man apim-agent-exec")]
    Man(Man),
    /// Print the JSON Schema of apim-agent.toml, for editors
    #[command(after_help = "\
An editor with a TOML language server completes and checks the file, if its first line names the schema:
  apim-agent schema > apim-agent.schema.json
  sed -i '1i #:schema ./apim-agent.schema.json' apim-agent.toml")]
    Schema,
}

/// `run`.
#[derive(clap::Args, Clone, Debug)]
pub struct Run {
    /// Bring an emulated Azure along, on loopback, and use it instead of apim-agent.toml
    #[arg(long)]
    pub emulator: bool,
    /// Write where everything is, as JSON, when the first credentials are published
    #[arg(long, value_name = "FILE", requires = "emulator")]
    pub ready_file: Option<PathBuf>,
    /// How the emulator behaves.
    #[command(flatten)]
    pub options: EmulatorOptions,
}

/// `allow` and `deny`.
#[derive(clap::Args, Clone, Debug)]
pub struct Allowed {
    /// Which apim-agent.toml [default: the one that a search finds]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `reap`.
#[derive(clap::Args, Clone, Debug)]
pub struct Reap {
    /// ARM resource id of the API Management service
    #[arg(long, value_name = "ID")]
    pub service: String,
    /// List what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long one has to be past its end
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = span)]
    pub grace: Duration,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `emulator`.
#[derive(clap::Args, Clone, Debug)]
pub struct Emulator {
    /// Write where everything is, as JSON, when every port listens
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// How it behaves.
    #[command(flatten)]
    pub options: EmulatorOptions,
}

/// Reads the command line, the program's name first.
///
/// # Errors
/// What clap found wrong, and also `--help` and `--version`: print it with [`clap::Error::print`] and exit with
/// [`exit_code`].
pub fn parse<A>(args: impl IntoIterator<Item = A>) -> Result<Args, clap::Error>
where
    A: Into<OsString> + Clone,
{
    let args = Args::from_arg_matches(&command().try_get_matches_from(args)?)?;
    // Here rather than in a value parser, whose errors repeat the value: that may be a secret without its key.
    if args.global.set.iter().any(|text| text.find('=').is_none_or(|at| at == 0)) {
        let text = "--set wants KEY=VALUE, such as --set gateway.url=https://contoso.azure-api.net";
        return Err(command().error(ErrorKind::InvalidValue, text));
    }
    if let (Command::Emulator(_), Some(flag)) = (&args.command, args.global.first_setting()) {
        let text = format!(
            "{flag} has no effect on the emulator alone, which reads no configuration\n\nto run the agent on one of its own: \
             apim-agent run --emulator {flag} …"
        );
        return Err(command().error(ErrorKind::ArgumentConflict, text));
    }
    // `requires` cannot say it: the same options stand alone in `apim-agent emulator`.
    let run = match &args.command {
        Command::Run(run) => Some(run),
        Command::Start(start) => Some(&start.run),
        _ => None,
    };
    if let Some(run) = run
        && !run.emulator
        && let Some(option) = run.options.first_given()
    {
        let text = format!(
            "{option} only makes sense with --emulator\n\nfor example: apim-agent run --emulator --short-lives"
        );
        return Err(command().error(ErrorKind::MissingRequiredArgument, text));
    }
    Ok(args)
}

/// The exit code for an error of [`parse`]: 0 where help or the version was asked for, else 64.
pub fn exit_code(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
        _ => 64,
    }
}

/// The definition that parsing, help and completions share.
pub fn command() -> clap::Command {
    Args::command()
}
