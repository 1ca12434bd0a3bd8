//! The agent's side: posts a guard, and another one when that dies.

use super::{COMMAND, DONE, KEEP_BASE, READY};
use crate::{
    error::{Class, Error, Result},
    sink::runtime_dir::RuntimeDir,
};
use std::{
    io::{self, Write as _},
    os::{fd::AsFd, unix::process::CommandExt as _},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    net::UnixStream,
    time::{Instant, sleep, timeout},
};

/// Our own program, also after it was replaced by another version.
const SELF: &str = "/proc/self/exe";
/// A guard that does not stand by then is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before a guard is posted in the place of one that died younger than that; doubles while none stands.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);

/// The guard of one agent.
pub struct Guard {
    directory: Arc<RuntimeDir>,
    posted: Mutex<Option<Posted>>,
}

struct Posted {
    child: Child,
    /// Our end. The reading half is a second descriptor of it.
    end: std::os::unix::net::UnixStream,
}

impl Guard {
    /// Posts one for `directory`. That it could not be started shows in [`Guard::keep`].
    pub fn post(directory: &Arc<RuntimeDir>) -> Self {
        let posted = post(directory)
            .inspect_err(|error| tracing::debug!("the first guard could not be posted: {error}"))
            .ok();
        Self { directory: Arc::clone(directory), posted: Mutex::new(posted) }
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.posted().as_ref().map(|posted| posted.child.id())
    }

    /// Waits until it stands: from then on nothing is left behind by any death of ours.
    ///
    /// Errors: it does not stand. What is left by a death is then found by the next agent of this workspace.
    pub async fn stands(&self) -> Result<()> {
        let mut end = self.end()?;
        match timeout(PATIENCE, end.read_u8()).await {
            Ok(Ok(READY)) => Ok(()),
            Ok(Ok(_)) => Err(missing("it says something else than that it stands")),
            Ok(Err(error)) => Err(missing(&error.to_string())),
            Err(_) => Err(missing("it does not say that it stands")),
        }
    }

    /// Posts another one whenever it dies. `told` hears of it once when none can be had any more. Never ends.
    pub async fn keep(&self, told: impl Fn(&Error)) {
        let (mut pause, mut stood) = (PAUSE, true);
        loop {
            let since = Instant::now();
            if let Ok(mut end) = self.end() {
                // It says no more than that it stands, so whatever comes here is its end.
                let _ = end.read_u8().await;
            }
            if self.bury() {
                tracing::warn!("the guard has died, another one is posted");
            }
            // One that had stood for a while was killed; one that dies at once will again.
            if since.elapsed() < pause {
                sleep(pause).await;
            }
            let posted = post(&self.directory);
            let stands = match posted {
                Ok(posted) => {
                    *self.posted() = Some(posted);
                    self.stands().await
                }
                Err(error) => Err(missing(&error.to_string())),
            };
            match stands {
                Ok(()) => (pause, stood) = (PAUSE, true),
                Err(error) => {
                    if stood {
                        told(&error);
                    }
                    (pause, stood) = ((pause * 2).min(LONGEST), false);
                }
            }
        }
    }

    /// Tells it that all is done. Without this it cleans up when this process ends.
    pub fn dismiss(&self) {
        if let Some(posted) = &mut *self.posted() {
            // It may have died; then nobody cleans up, which is as it should be.
            let _ = posted.end.write_all(&[DONE]);
        }
    }

    /// Ends what is left of it, and takes its exit status, so that it is no zombie. Whether there was one.
    fn bury(&self) -> bool {
        let Some(mut posted) = self.posted().take() else { return false };
        // One that lives on without its end of the socket is of no use.
        let _ = posted.child.kill();
        let _ = posted.child.wait();
        true
    }

    /// A descriptor of our end, for reading.
    fn end(&self) -> Result<UnixStream> {
        let posted = self.posted();
        let Some(posted) = &*posted else { return Err(missing("it could not be started")) };
        let end = posted.end.try_clone().and_then(UnixStream::from_std);
        end.map_err(|error| missing(&error.to_string()))
    }

    fn posted(&self) -> MutexGuard<'_, Option<Posted>> {
        // Nothing panics while it is held.
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn post(directory: &RuntimeDir) -> io::Result<Posted> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(SELF);
    command.arg0("apim-agent").arg(COMMAND).arg(directory.path());
    if !directory.removable() {
        command.arg(KEEP_BASE);
    }
    let child = command
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .stdout(directory.as_fd().try_clone_to_owned()?)
        .stderr(Stdio::inherit())
        .spawn()?;
    Ok(Posted { child, end: ours })
}

fn missing(why: &str) -> Error {
    Error::new(Class::Internal, "there is no guard: nobody cleans up at once if this process is killed")
        .why(why)
        .fix("the next start for this workspace would, or apim-agent release; look at the limits for processes and memory")
}
