//! Notices that files have changed, by inotify: nothing wakes while nothing happens.
//!
//! Folders are watched rather than files, since editors and projected volumes put new files in the place of old ones.
//! What is noticed is only a reason to look: what has changed is found out by whoever looks.

use crate::error::{Class, Error, Result};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

/// Several changes in a row are one: it is waited until nothing has happened for so long,
const QUIET: Duration = Duration::from_millis(75);
/// but no longer than this.
const LONGEST: Duration = Duration::from_secs(1);

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The configuration file.
    Configuration,
    /// A file that this identity reads.
    Identity(String),
    /// What is published.
    Published,
}

/// A place to watch.
#[derive(Clone, Debug)]
pub struct Spot {
    folder: PathBuf,
    /// The file in it; `None` for all of them.
    file: Option<OsString>,
    topic: Topic,
}

impl Spot {
    /// One file, which may come and go.
    pub fn file(path: &Path, topic: Topic) -> Self {
        let folder = path.parent().unwrap_or(Path::new("/"));
        Self { folder: folder.to_owned(), file: path.file_name().map(OsStr::to_owned), topic }
    }

    /// All files of a folder.
    pub fn folder(path: &Path, topic: Topic) -> Self {
        Self { folder: path.to_owned(), file: None, topic }
    }

    /// Whether what happened to `path` may concern it.
    fn concerns(&self, path: &Path) -> bool {
        if path == self.folder {
            return true;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let name_concerns = self.file.as_ref().map_or_else(
            // Names with a dot in front are those of files that are being written.
            || !name.as_encoded_bytes().starts_with(b"."),
            // A file of a projected volume (Kubernetes) is a link through `..data`, which is what is replaced.
            |file| file == name || name == "..data",
        );
        folder == self.folder && name_concerns
    }
}

/// Collects what has changed until somebody comes to look.
#[derive(Clone, Default)]
pub struct Bell(Arc<Rung>);

#[derive(Default)]
struct Rung {
    topics: Mutex<BTreeSet<Topic>>,
    notify: Notify,
}

impl Bell {
    /// Waits for the next change, and for the end of the changes that follow it at once.
    pub async fn next(&self) -> BTreeSet<Topic> {
        self.0.notify.notified().await;
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            if timeout_at(quiet, self.0.notify.notified()).await.is_err() || Instant::now() >= latest {
                break;
            }
        }
        std::mem::take(&mut *self.0.topics.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ring(&self, topics: impl IntoIterator<Item = Topic>) {
        let mut rung = self.0.topics.lock().unwrap_or_else(PoisonError::into_inner);
        rung.extend(topics);
        if !rung.is_empty() {
            self.0.notify.notify_one();
        }
    }
}

/// Watches until it is dropped.
pub struct Watcher {
    _inotify: RecommendedWatcher,
}

impl Watcher {
    /// Rings `bell` when something happens at one of `spots`. A folder that is not there is not watched.
    ///
    /// Errors: the system's limit for watches is reached, or it has no inotify.
    pub fn new(bell: &Bell, spots: Vec<Spot>) -> Result<Self> {
        let spots: Vec<Spot> = spots.into_iter().flat_map(with_target).collect();
        let folders: BTreeSet<PathBuf> = spots.iter().map(|spot| spot.folder.clone()).collect();
        let bell = bell.clone();
        let heard = move |event: notify::Result<Event>| match event {
            Ok(event) => bell.ring(concerned(&event, &spots)),
            // Something was missed, nobody knows what.
            Err(_) => bell.ring(spots.iter().map(|spot| spot.topic.clone())),
        };
        let mut inotify = notify::recommended_watcher(heard).map_err(|error| unwatched(&error))?;
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            match inotify.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                Err(error) if is_limit(&error) => return Err(unwatched(&error)),
                Err(error) => tracing::debug!("{} is not watched: {error}", folder.display()),
            }
        }
        Ok(Self { _inotify: inotify })
    }
}

/// The spot, and where it leads if it is a link.
fn with_target(spot: Spot) -> Vec<Spot> {
    let target = spot.file.as_ref().and_then(|file| spot.folder.join(file).canonicalize().ok());
    let target = target.map(|path| Spot::file(&path, spot.topic.clone()));
    let elsewhere = target.filter(|target| target.folder != spot.folder || target.file != spot.file);
    std::iter::once(spot).chain(elsewhere).collect()
}

/// What an event is about. Pure.
fn concerned(event: &Event, spots: &[Spot]) -> Vec<Topic> {
    let changes = match event.kind {
        // Whoever reads a file changes nothing, and we read them all.
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let at_spot = |spot: &&Spot| event.need_rescan() || event.paths.iter().any(|path| spot.concerns(path));
    spots.iter().filter(|_| changes).filter(at_spot).map(|spot| spot.topic.clone()).collect()
}

fn is_limit(error: &notify::Error) -> bool {
    use nix::errno::Errno;
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => true,
        notify::ErrorKind::Io(error) => matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(Errno::ENOSPC | Errno::EMFILE | Errno::ENFILE | Errno::ENOSYS)
        ),
        _ => false,
    }
}

fn unwatched(error: &notify::Error) -> Error {
    Error::new(Class::Unavailable, "changes of files are not noticed at once").why(error.to_string()).fix(
        "after a change of the configuration start the agent again; \
             see /proc/sys/fs/inotify/max_user_instances and max_user_watches",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, ModifyKind, RenameMode};

    fn spots() -> Vec<Spot> {
        vec![
            Spot::file(Path::new("/repo/apim-agent.toml"), Topic::Configuration),
            Spot::file(Path::new("/var/run/token"), Topic::Identity("default".to_owned())),
            Spot::folder(Path::new("/run/w"), Topic::Published),
        ]
    }

    fn about(kind: EventKind, path: &str) -> Vec<Topic> {
        concerned(&Event::new(kind).add_path(path.into()), &spots())
    }

    #[test]
    fn only_what_changes_a_watched_file_is_heard() {
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
        for kind in [renamed, written, EventKind::Create(CreateKind::File)] {
            assert_eq!(about(kind, "/repo/apim-agent.toml"), [Topic::Configuration]);
            assert_eq!(about(kind, "/run/w/env"), [Topic::Published]);
            for other in ["/repo/Cargo.toml", "/repo/src/apim-agent.toml", "/run/w/.env.0123"] {
                assert!(about(kind, other).is_empty(), "{other}");
            }
        }
        for reading in
            [AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read), AccessKind::Read]
        {
            assert!(about(EventKind::Access(reading), "/run/w/env").is_empty(), "{reading:?}");
        }
    }

    #[test]
    fn a_projected_volume_is_replaced_through_its_link() {
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        assert_eq!(about(renamed, "/var/run/..data"), [Topic::Identity("default".to_owned())]);
    }

    #[test]
    fn after_an_overflow_everything_is_looked_at() {
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(concerned(&lost, &spots()).len(), 3);
    }

    #[tokio::test]
    async fn a_file_that_takes_the_place_of_another_rings_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("watched");
        std::fs::write(&file, "old").unwrap();
        let bell = Bell::default();
        let watcher = Watcher::new(&bell, vec![Spot::file(&file, Topic::Configuration)]).unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, "new").unwrap();
        std::fs::rename(&other, &file).unwrap();
        assert_eq!(bell.next().await, BTreeSet::from([Topic::Configuration]));
        drop(watcher);
    }
}
