//! `reap`: the subscriptions of dead workspaces, deleted.

mod progress;
mod summary;

use super::{ambient::Ambient, args, block_on, outlet, signals::Signals, timeline::prompted};
use crate::{
    clock,
    config::{Config, DEFAULT, forms},
    error::{Class, Error, Result},
    exchange,
    gateway::reap::{Budget, Ended, Reaper, Service},
    http,
    identity::{prompt::Person, select},
};
use progress::Progress;
use std::{collections::BTreeMap, process::ExitCode, sync::Arc};
use summary::Summary;
use tokio::time::Instant;

pub(super) fn reap(command: &args::Reap, global: &args::Global, ambient: &Ambient) -> Result<ExitCode> {
    let id = forms::service_id(&command.service).map_err(|complaint| {
        Error::new(Class::Usage, "--service does not name an API Management service").why(complaint.allowed)
    })?;
    let config = ambient.load_for_management(global)?;
    block_on(async {
        let mut signals = Signals::catch()?;
        let (person, _end) = Person::new(Arc::new(|prompt| {
            outlet::stderr().push(format!("{}\n", prompted(prompt, clock::now())).as_bytes());
        }));
        let service = service(&id, &config, ambient, &person)?;
        let reaper = Reaper::new(service, command.grace);
        let started = Instant::now();
        let dead = with_progress(&reaper, &mut signals, reaper.list()).await?;
        let listed = started.elapsed();
        let outcome = if command.dry_run || reaper.is_stopping() {
            Ok(())
        } else {
            with_progress(&reaper, &mut signals, reaper.delete(dead.clone())).await
        };
        let summary = Summary {
            tally: reaper.tally(),
            dry_run: command.dry_run,
            interrupted: reaper.is_stopping() && outcome.is_ok(),
            listed,
            deleted: started.elapsed().saturating_sub(listed),
        };
        let would = if command.dry_run { &dead } else { &BTreeMap::<String, Ended>::new() };
        let text = if command.json { summary.json(would) } else { summary.text(would, clock::now()) };
        outlet::stdout().push(text.as_bytes());
        outcome?;
        summary.verdict()
    })
}

/// The service to reap, by the identity and the exchange of `[entra]`.
fn service(id: &str, config: &Config, ambient: &Ambient, person: &Person) -> Result<Service> {
    let lookup = ambient.lookup();
    let variable = |name: &str| lookup(name).or_else(|| lookup(&name.to_lowercase()));
    let http = http::Client::new(&http::Options {
        ca_file: config.ca_file.clone(),
        timeout: config.request_timeout,
        proxy: variable("HTTPS_PROXY"),
        no_proxy: variable("NO_PROXY"),
    })?;
    let sources = select::sources(config, &http, lookup, person);
    let mut exchanges = exchange::exchanges(config, &sources, &http)?;
    let entra = config.exchanges.get(DEFAULT).and_then(|exchange| exchange.method.entra());
    let (Some(exchange), Some(entra)) = (exchanges.remove(DEFAULT), entra) else {
        // `validate` makes no configuration for management without it.
        return Err(Error::new(Class::Config, "the configuration says nothing of [entra]")
            .fix("set entra.tenant_id and entra.client_id"));
    };
    Ok(Service::new(&entra.arm, id, Budget::AZURE, exchange, http))
}

/// What `work` comes to; until then progress is shown, the first signal stops the reaper after what is under way, and
/// one that insists stops that too.
async fn with_progress<T>(
    reaper: &Reaper,
    signals: &mut Signals,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    let mut stopped = std::pin::pin!(async {
        signals.next().await;
        reaper.stop();
        progress::say("stopping after the requests that are under way; again to stop at once");
        signals.insist().await;
    });
    let mut progress = Progress::start();
    let done = loop {
        tokio::select! {
            biased;
            done = &mut work => break done,
            () = &mut stopped => {
                let error = Error::new(Class::TryAgain, "stopped at once, with requests under way");
                break Err(error.fix("run it again: it goes on from there"));
            }
            () = progress.tick() => progress.show(&reaper.tally()),
        }
    };
    progress.end(&reaper.tally());
    done
}
