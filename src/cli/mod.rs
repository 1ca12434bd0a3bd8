//! Flags to plain data; one file a command.

mod allow;
pub mod ambient;
pub mod args;
mod completions;
mod directory;
pub mod emulator;
pub mod emulator_args;
mod env;
mod exec;
mod guard;
mod hook;
mod man;
mod outlet;
mod print;
mod reap;
mod release;
mod report;
mod run;
mod schema;
mod signals;
mod start;
mod status;
mod stop;
mod timeline;

use crate::{
    error::{Class, Error, Result},
    lifecycle::{control::Client, guard::Post},
    sys,
};
use ambient::Ambient;
use args::{Args, Command, Global, Log};
use std::{fmt::Write as _, process::ExitCode};
use tracing_subscriber::filter::LevelFilter;

/// Runs the command line.
pub fn main() -> ExitCode {
    // Before anything else: it waits for most of its life, and is to be small.
    if let Some(post) = Post::read(std::env::args_os()) {
        return guard::main(&post);
    }
    let (detached, line) = start::read(std::env::args_os());
    if detached && let Err(error) = start::detach() {
        tell(&error);
        outlet::flush();
        return error.exit_code().into();
    }
    let args = match args::parse(line) {
        Ok(args) => args,
        Err(error) => {
            // Nobody may be reading; the exit code tells all the same.
            let _ = error.print();
            return args::exit_code(&error).into();
        }
    };
    log_to_stderr(args.global.log);
    let done = dispatch(&args);
    let code = done.as_ref().map_or_else(Error::exit_code, |_| 0);
    let done = done.unwrap_or_else(|error| {
        tell(&error);
        error.exit_code().into()
    });
    outlet::flush();
    report::finish(code);
    done
}

fn dispatch(args: &Args) -> Result<ExitCode> {
    let before = sys::harden()?;
    outlet::start().map_err(|error| {
        Error::new(Class::Internal, "cannot start the threads that print").why(error.to_string())
    })?;
    let ambient = Ambient::read()?;
    let global = &args.global;
    match &args.command {
        Command::Run(command) => run::run(command, global, &ambient),
        Command::Start(command) if report::is_kept() => run::run(&command.run, global, &ambient),
        Command::Start(command) => start::start(command, global, &ambient),
        Command::Stop(command) => stop::stop(*command, global, &ambient),
        Command::Exec(command) => exec::exec(command, global, &ambient, before),
        Command::Env(command) => env::env(command, global, &ambient),
        Command::Hook(command) => hook::hook(*command, global, &ambient),
        Command::Status(command) => status::status(*command, global, &ambient),
        Command::Refresh => status::refresh(global, &ambient),
        Command::Release => release::release(global, &ambient),
        Command::Reap(command) => reap::reap(command, global, &ambient),
        Command::Allow(command) => allow::allow(command, &ambient),
        Command::Deny(command) => allow::deny(command, &ambient),
        Command::Emulator(command) => {
            emulator::run(run::emulator_options(&command.options), command.ready_file.clone())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions(command) => completions::completions(*command),
        Command::Man(command) => man::man(command),
        Command::Schema => schema::schema(),
    }
}

/// A failure in its three parts, each on lines of its own.
fn tell(error: &Error) {
    let mut text = format!("apim-agent: {}\n", error.what);
    for (label, part) in [("why", &error.why), ("fix", &error.fix)] {
        if let Some(part) = part {
            let _ = writeln!(
                text,
                "  {label}: {}",
                part.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n       ")
            );
        }
    }
    outlet::stderr().push(text.as_bytes());
}

fn log_to_stderr(log: Log) {
    let level = match log {
        Log::Off => LevelFilter::OFF,
        Log::Error => LevelFilter::ERROR,
        Log::Warn => LevelFilter::WARN,
        Log::Info => LevelFilter::INFO,
        Log::Debug => LevelFilter::DEBUG,
        Log::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt().with_max_level(level).with_writer(outlet::stderr).with_ansi(false).init();
}

/// Runs to the end of `work`, on this thread, and to nothing else's end: a look-up of a name blocks a thread of its own
/// that cannot be called off, and nobody waits for it any more.
fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let failed = |error: std::io::Error| {
        Error::new(Class::Internal, "cannot start the event loop").why(error.to_string())
    };
    // The runtime takes six descriptors, and panics where those of its signals are lacking. These eight are closed at once.
    (0..4).map(|_| std::io::pipe()).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    done
}

/// The agent that runs for this workspace, if one does.
fn running(global: &Global, ambient: &Ambient) -> Result<Option<Client>> {
    let place = ambient.place(global)?;
    Client::find(place.runtime_dir.as_deref(), ambient.xdg_runtime_dir().as_deref(), &place.workspace)
}

/// The agent that runs for this workspace, or why there is none.
fn must_run(global: &Global, ambient: &Ambient) -> Result<Client> {
    let place = ambient.place(global)?;
    let xdg = ambient.xdg_runtime_dir();
    Client::find(place.runtime_dir.as_deref(), xdg.as_deref(), &place.workspace)?.ok_or_else(|| {
        let error =
            Error::new(Class::Unavailable, format!("no agent runs for workspace {}", place.workspace))
                .fix("start one: apim-agent run (or, without Azure: apim-agent run --emulator); that of another workspace is \
                     found with --workspace NAME");
        match place.doubt {
            Some(doubt) => error.why(format!("the configuration could not be read: {doubt}")),
            None => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_end_does_not_wait_for_a_look_up_that_hangs() {
        let (hanging, hangs) = mpsc::channel::<()>();
        let (started, starts) = mpsc::channel();
        let done = block_on(async move {
            tokio::task::spawn_blocking(move || {
                started.send(()).unwrap();
                hangs.recv()
            });
            starts.recv().unwrap();
            Ok(7)
        });
        assert_eq!(done.unwrap(), 7);
        drop(hanging);
    }
}
