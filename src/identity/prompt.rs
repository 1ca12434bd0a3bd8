//! How a source reaches the person whom it needs, and how it learns that nobody waits for that person any more.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, time::sleep};
use url::Url;

/// How often somebody who is waited for is told so.
const REMINDER: Duration = Duration::from_mins(1);

/// What a person is told. All texts are fit for a terminal; none is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// Open `url` on any device and enter `code`.
    DeviceCode {
        /// The page.
        url: Url,
        /// The code, such as `ABCD-EFGH`.
        code: String,
        /// Until when it is good.
        expires_at: SystemTime,
    },
    /// Open `url` in this machine's browser.
    Browser {
        /// The page.
        url: Url,
        /// Whether a browser was started for it already.
        opened: bool,
    },
    /// Nobody has signed in yet.
    Waiting {
        /// Until when that is waited for.
        expires_at: SystemTime,
    },
    /// Somebody has.
    Done {
        /// Who, if that is known.
        user: Option<String>,
    },
}

/// Tells a person. It is called on the agent's only thread and must not wait.
pub type Prompter = Arc<dyn Fn(&Prompt) + Send + Sync>;

/// A person, as sources see one.
#[derive(Clone)]
pub struct Person {
    tell: Prompter,
    end: watch::Receiver<bool>,
}

/// Ends the waiting for a person, of all sources at once. Dropping it does the same.
pub struct End(watch::Sender<bool>);

impl Person {
    /// The person whom `tell` reaches, until the end.
    pub fn new(tell: Prompter) -> (Self, End) {
        let (sender, end) = watch::channel(false);
        (Self { tell, end }, End(sender))
    }

    /// Tells the person.
    pub(super) fn tell(&self, prompt: &Prompt) {
        (self.tell)(prompt);
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) {
        // An error means that the other half is gone, which is an end too.
        let _ = self.end.clone().wait_for(|ended| *ended).await;
    }

    /// What `work` comes to, which waits for the person until `expires_at`; now and then the person is told so.
    pub(super) async fn waited_for<T>(&self, expires_at: SystemTime, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep(REMINDER) => self.tell(&Prompt::Waiting { expires_at }),
            }
        }
    }
}

impl End {
    /// Ends it.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, identity::testing::person};

    #[tokio::test(start_paused = true)]
    async fn whoever_is_waited_for_is_reminded_once_a_minute() {
        let (person, told, _end) = person();
        let until = clock::from_unix(1);
        person.waited_for(until, sleep(Duration::from_secs(150))).await;
        assert_eq!(
            *told.lock().unwrap(),
            [Prompt::Waiting { expires_at: until }, Prompt::Waiting { expires_at: until }]
        );
    }

    #[tokio::test]
    async fn the_end_is_for_all_and_stays() {
        let (person, _, end) = person();
        let other = person.clone();
        end.begin();
        tokio::join!(person.ended(), other.ended());
        person.ended().await;
        let (person, _, end) = self::person();
        drop(end);
        person.ended().await;
    }
}
