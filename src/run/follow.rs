//! Follows the files that an agent lives by, while it lives.

use super::{
    Bounds,
    wiring::{Wiring, further_gateways, gateway},
};
use crate::{
    config::{Config, Source},
    error::{Class, Error, Result},
    lifecycle::{
        change::{applicable, compare},
        driver::{Change, Command},
        watch::{Bell, Spot, Topic, Watcher},
    },
};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// How the configuration is read again: as at the start, with the same flags over the same environment.
pub struct Reload<'a> {
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
    /// The folder with the records of what is allowed: a file may become so without a change of its own.
    pub allowed: Option<PathBuf>,
    /// Reads it again.
    pub load: Box<dyn Fn() -> Result<Config> + 'a>,
}

/// Has the driver look at what has changed, until the driver is gone or nothing can be watched.
pub(super) async fn follow(
    wiring: &Wiring,
    config: Config,
    folder: &Path,
    reload: Reload<'_>,
    bounds: Option<&Bounds>,
    commands: mpsc::Sender<Command>,
) {
    let bell = Bell::default();
    let watch = |config: &Config| Watcher::new(&bell, spots(config, &reload, folder));
    let mut watcher = match watch(&config) {
        Ok(watcher) => watcher,
        Err(error) => return wiring.watch.unwatched(&error),
    };
    let mut told = false;
    let mut following = Following { wiring, config, bounds, told_later: Vec::new(), broken: false };
    loop {
        let topics = bell.next().await;
        let identities = topics.iter().filter_map(|topic| match topic {
            Topic::Identity(name) => Some(name.clone()),
            Topic::Configuration | Topic::Published => None,
        });
        let identities: Vec<_> = identities.collect();
        let mut orders = Vec::new();
        if topics.contains(&Topic::Published) {
            orders.push(Command::Inspect);
        }
        if !identities.is_empty() {
            orders.push(Command::Hurry(identities));
        }
        if topics.contains(&Topic::Configuration) {
            // A folder that has come into being is watched before it is looked into, so that nothing falls between. What
            // goes wrong here is told below.
            if let Ok(new) = watch(&following.config) {
                watcher = new;
            }
            orders.extend(following.reread(&reload));
            // What the new configuration lives by may lie elsewhere. The old watcher goes when the new one is there.
            match watch(&following.config) {
                Ok(new) => watcher = new,
                // The old one goes on, and the trouble is told once.
                Err(error) if !told => {
                    told = true;
                    wiring.watch.unwatched(&error);
                }
                Err(_) => {}
            }
        }
        for order in orders {
            if commands.send(order).await.is_err() {
                drop(watcher);
                return;
            }
        }
    }
}

struct Following<'a> {
    wiring: &'a Wiring,
    /// The one that is in force.
    config: Config,
    bounds: Option<&'a Bounds>,
    /// The changes that wait for the next start, as last told of.
    told_later: Vec<&'static str>,
    /// The last reading came to nothing.
    broken: bool,
}

impl Following<'_> {
    /// What the file as it stands now means for the driver; nothing, if it says the same as before.
    fn reread(&mut self, reload: &Reload<'_>) -> Option<Command> {
        let was_broken = self.broken;
        match (reload.load)().and_then(|config| self.change(config)) {
            Ok((config, change)) => {
                self.broken = false;
                let news = !change.plan.is_nothing() || change.plan.later != self.told_later;
                if !news && !was_broken {
                    return None;
                }
                self.told_later.clone_from(&change.plan.later);
                self.config = config;
                Some(Command::Reconfigure(Box::new(change)))
            }
            Err(error) => {
                self.broken = true;
                let gone = reload.file.as_deref().filter(|file| !file.exists());
                Some(Command::Misconfigured(told(gone.map_or(error, removed))))
            }
        }
    }

    fn change(&self, new: Config) -> Result<(Config, Change)> {
        if let Some(bounds) = self.bounds {
            bounds.admit(&new, &self.wiring.lookup)?;
        }
        let plan = compare(&self.config, &new);
        let config = applicable(&self.config, new);
        let change = Change {
            plan,
            entries: self.wiring.entries(&config)?,
            gateway: gateway(&config)?,
            further_gateways: further_gateways(&config),
        };
        Ok((config, change))
    }
}

/// What is missing then only follows from that.
fn removed(file: &Path) -> Error {
    Error::new(Class::Config, format!("{} does not exist any more", file.display()))
        .fix("put it back, or stop the agent if it is not wanted any more")
}

/// The same, as the failure of a change.
fn told(error: Error) -> Error {
    let why =
        error.why.as_ref().map_or_else(String::new, |why| format!("\n{}", why.trim_start_matches('\n')));
    Error {
        what: "the changed configuration is not applied, the one before stays in force".to_owned(),
        why: Some(format!("{}{why}", error.what)),
        ..error
    }
}

/// The files and the folder to watch.
fn spots(config: &Config, reload: &Reload<'_>, folder: &Path) -> Vec<Spot> {
    let mut spots = vec![Spot::folder(folder, Topic::Published)];
    spots.extend(reload.file.iter().map(|file| Spot::file(file, Topic::Configuration)));
    if let Some(folder) = &reload.allowed {
        spots.push(Spot::folder(folder, Topic::Configuration));
        // Its folders come into being with the first record.
        spots.extend(folder.ancestors().take(3).map(|folder| Spot::file(folder, Topic::Configuration)));
    }
    for (name, identity) in &config.identities {
        let is_ona = matches!(identity.source, Source::Ona | Source::Auto);
        let bearer = is_ona.then_some(&identity.bearer_file);
        let files = bearer.into_iter().chain(&identity.token_file).chain(&identity.assertion_file);
        spots.extend(files.map(|file| Spot::file(file, Topic::Identity(name.clone()))));
    }
    spots
}
