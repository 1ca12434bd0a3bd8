//! `run`: the agent in the foreground, on Azure or on an emulator of its own.

use super::{
    ambient::Ambient,
    args::{self, Global},
    block_on, directory,
    emulator::{ReadyFile, start},
    emulator_args::EmulatorOptions,
    outlet,
    report::{self, Frame},
    signals::Signals,
    tell,
    timeline::{Detail, Timeline},
};
use crate::{
    clock,
    config::{Config, Entry, duration, trust::store::Store},
    emulator::{self, Ready, gateway},
    error::{Class, Error, Result},
    identity::prebuild,
    lifecycle::driver::{Command, Outcome},
    run::{Agent, Beyond, Reload, bound},
    sink::swap::swap_in_use,
    sys::confine::Reach,
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::SystemTime,
};
use tokio::sync::{mpsc, oneshot};

pub(super) fn run(command: &args::Run, global: &Global, ambient: &Ambient) -> Result<ExitCode> {
    let started = clock::now();
    block_on(async {
        // Before there is anything to wipe, remove or revoke: from here on every ending is ours to handle.
        let signals = Signals::catch()?;
        if command.emulator {
            Box::pin(on_emulator(command, global, ambient, signals, started)).await
        } else {
            let reload = Reload {
                file: ambient.file(global),
                allowed: ambient.places().store.as_ref().map(Store::folder),
                load: Box::new(|| ambient.load(global)),
            };
            let config = ambient.load(global)?;
            Box::pin(foreground(&config, ambient, signals, started, reload, Beyond::Written, None)).await
        }
    })
}

async fn on_emulator(
    command: &args::Run,
    global: &Global,
    ambient: &Ambient,
    signals: Signals,
    started: SystemTime,
) -> Result<ExitCode> {
    let workspace = ambient.place(global)?.workspace;
    let emulator = start(emulator_options(&command.options), command.ready_file.as_deref()).await?;
    let mut settings = settings(emulator.ready(), &command.options, global.config.is_none());
    // The other shell's `status` looks for this workspace, whatever file lies there.
    settings.push(Entry::flag("--emulator", "workspace", workspace));
    let load = || ambient.load_with(global, settings.clone());
    let config = load()?;
    let reload = Reload { file: ambient.file_with(global), allowed: None, load: Box::new(load) };
    let ready = command.ready_file.clone().map(|path| (path, emulator.ready().clone()));
    let lived = foreground(&config, ambient, signals, started, reload, Beyond::Nothing, ready);
    let code = Box::pin(lived).await;
    emulator.stop();
    code
}

/// The emulator that these flags describe.
pub(super) fn emulator_options(flags: &EmulatorOptions) -> emulator::Options {
    let mut options = emulator::Options::default();
    let (lives, world) = (flags.lives(), &mut options.world);
    world.access_token_life = lives.access_token.or(world.access_token_life);
    world.id_token_life = lives.id_token.unwrap_or(world.id_token_life);
    world.broker_life = lives.key.unwrap_or(world.broker_life);
    world.key_delay = flags.key_delay.unwrap_or(world.key_delay);
    world.rate_limit = flags.rate_limit.unwrap_or(world.rate_limit);
    if !flags.role_action.is_empty() {
        world.role_actions.clone_from(&flags.role_action);
    }
    if !flags.data_action.is_empty() {
        world.data_actions.clone_from(&flags.data_action);
    }
    options.latency = flags.latency.unwrap_or_default();
    options.ports = emulator::Ports {
        identity: flags.port_identity.unwrap_or_default(),
        entra: flags.port_entra.unwrap_or_default(),
        arm: flags.port_arm.unwrap_or_default(),
        key_vault: flags.port_key_vault.unwrap_or_default(),
        gateway: flags.port_gateway.unwrap_or_default(),
        proxy: flags.port_proxy.unwrap_or_default(),
        control: flags.port_control.unwrap_or_default(),
        imds: flags.port_imds.unwrap_or_default(),
        supervisor: flags.port_supervisor.unwrap_or_default(),
    };
    options.trust = flags
        .trust_issuer
        .iter()
        .map(|issuer| emulator::TrustedIssuer { url: issuer.url.clone(), subject: issuer.subject.clone() })
        .collect();
    options
}

/// The settings that lead to this emulator; with `credentials` also what opens its echo API.
fn settings(ready: &Ready, flags: &EmulatorOptions, credentials: bool) -> Vec<Entry> {
    let service = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ApiManagement/service/{}",
        ready.subscription_id, ready.resource_group, ready.service_name
    );
    let path = |path: &Path| path.display().to_string();
    let mut settings = vec![
        ("ca_file", path(&ready.ca_file)),
        ("identity.source", "ona".to_owned()),
        ("identity.url", ready.identity.clone()),
        ("identity.bearer_file", path(&ready.identity_token_file)),
        ("entra.tenant_id", ready.tenant_id.clone()),
        ("entra.client_id", ready.client_id.clone()),
        ("entra.authority", ready.authority.clone()),
        ("arm.url", ready.arm.clone()),
        ("gateway.url", ready.gateway.clone()),
        ("gateway.service", service),
        ("gateway.probe", gateway::API_PATH.to_owned()),
    ];
    if credentials {
        settings.extend([
            ("credentials.key.kind", "subscription-key".to_owned()),
            ("credentials.key.scope", format!("/products/{}", ready.product)),
            ("credentials.key.env", "APIM_SUBSCRIPTION_KEY".to_owned()),
            ("credentials.token.kind", "access-token".to_owned()),
            ("credentials.token.scope", ready.api_scope.clone()),
            ("credentials.token.env", "APIM_ACCESS_TOKEN".to_owned()),
        ]);
        let lives = flags.lives();
        let spans = [("credentials.key.lifetime", lives.key), ("credentials.key.grace", lives.grace)];
        settings.extend(spans.into_iter().filter_map(|(key, span)| Some((key, duration::show(span?)))));
    }
    settings.into_iter().map(|(key, text)| Entry::flag("--emulator", key, text)).collect()
}

/// Lives until a signal or an order to stop; a second signal ends the wait for revocations. Once everything that is
/// required is published, the ready file says where.
async fn foreground(
    config: &Config,
    ambient: &Ambient,
    mut signals: Signals,
    started: SystemTime,
    reload: Reload<'_>,
    beyond: Beyond,
    ready: Option<(PathBuf, Ready)>,
) -> Result<ExitCode> {
    prebuild::check(ambient.lookup()).await?;
    let directory = directory::take(config, ambient, &mut signals).await?;
    if report::is_kept() {
        report::serve(&directory)?;
    }
    let leftovers = directory.leftovers().to_vec();
    // Before the guard is posted and before any other thread works for the agent.
    let bounds = bound(
        config,
        directory.path(),
        ambient.lookup(),
        surroundings(config, ambient, &reload, beyond, ready.as_ref().map(|(path, _)| path)),
    )?;
    let agent = Agent::assemble(config, ambient.lookup(), directory, beyond, |about| {
        let detail = Detail::Full { ca_file: config.ca_file.clone() };
        let timeline = Timeline::new(about.clone(), detail, started);
        timeline.begin(&leftovers, swap_in_use().as_deref());
        Arc::new(timeline)
    })?
    .within(bounds);
    let env_file = PathBuf::from(&agent.about().env_file);
    let mut announced = Ok(None);
    let outcome = agent.live(Some(reload), async |commands| {
        tokio::select! {
            result = announce(&commands, ready, env_file) => {
                let failed = result.is_err();
                announced = result;
                if !failed {
                    signals.next().await;
                }
            }
            _ = signals.next() => {}
        }
        // The agent may have ended by itself, and then wants no telling.
        let _ = commands.send(Command::Stop).await;
        signals.insist().await;
    });
    let (outcome, _) = outcome.await?;
    announced?;
    let missing = outcome.missing.clone();
    match (ended(outcome), missing) {
        (ended, None) => ended,
        (Ok(_), Some(missing)) => Err(missing),
        (Err(error), Some(missing)) => {
            tell(&error);
            Err(missing)
        }
    }
}

/// The files that the agent needs besides those of its configuration.
fn surroundings(
    config: &Config,
    ambient: &Ambient,
    reload: &Reload<'_>,
    beyond: Beyond,
    ready_file: Option<&PathBuf>,
) -> Reach {
    let folder =
        |path: &Path| path.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned);
    let places = ambient.places();
    // The records may come into being later, in a folder that is there already.
    let records = places.store.as_ref().map(Store::folder);
    let records =
        records.and_then(|path| path.ancestors().take(4).find(|path| path.exists()).map(Path::to_owned));
    let policies = places.policies.iter().filter_map(|path| folder(path));
    let configuration = reload.file.as_deref().and_then(folder);
    // An emulator of its own keeps files of tokens fresh, beside its CA's certificate.
    let emulated = config.ca_file.clone().filter(|_| beyond == Beyond::Nothing);
    let ready_file = ready_file.map(|path| ambient.folder().join(path));
    Reach {
        read: policies.chain(records).chain(configuration).chain([ambient.folder().to_owned()]).collect(),
        // Itself, and not its path: that may be another version's by the time a guard is posted again.
        run: vec![PathBuf::from("/proc/self/exe")],
        write: emulated.iter().chain(&ready_file).filter_map(|path| folder(path)).collect(),
        tidy: Vec::new(),
    }
}

/// Waits until every required credential is published, and writes the ready file then.
async fn announce(
    commands: &mpsc::Sender<Command>,
    ready: Option<(PathBuf, Ready)>,
    env_file: PathBuf,
) -> Result<Option<ReadyFile>> {
    if ready.is_none() && !report::is_kept() {
        return Ok(None);
    }
    let (reply, published) = oneshot::channel();
    if commands.send(Command::Ready(reply)).await.is_err() || published.await.is_err() {
        // It ended before that; its own error says why.
        return Ok(None);
    }
    let Some((path, ready)) = ready else {
        report::add(|| Frame::Ready);
        return Ok(None);
    };
    let ready = Ready { env_file: Some(env_file), pid: Some(std::process::id()), ..ready };
    let written = ReadyFile::write(path.clone(), &ready)?;
    outlet::stdout().push(format!("{:<10} {}\n", "ready", path.display()).as_bytes());
    report::add(|| Frame::Ready);
    Ok(Some(written))
}

/// What the end of an agent means for whoever started it.
pub(super) fn ended(outcome: Outcome) -> Result<ExitCode> {
    if let Some(fatal) = outcome.fatal {
        return Err(fatal);
    }
    if outcome.unreleased.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let lines: Vec<_> = outcome.unreleased.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    Err(Error::new(Class::TryAgain, "not everything could be revoked, the env file is wiped all the same")
        .why(lines.join("\n"))
        .fix(
            "run `apim-agent release` later, or start the agent again, which does the same; a subscription can also be \
             deleted at the APIM service, and a token works until it expires, unless whoever issued it ends it",
        ))
}
