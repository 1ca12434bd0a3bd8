//! A clock that a test moves.

use super::{Clock, Ring};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

/// A clock that a test moves. Clones show the same time.
#[derive(Clone)]
pub struct Manual(Arc<Mutex<Dial>>);

struct Dial {
    wall: SystemTime,
    steady: Duration,
    jumped: bool,
    waiting: Option<Waker>,
}

impl Manual {
    /// A clock that stands at `wall`.
    pub fn new(wall: SystemTime) -> Self {
        let dial = Dial { wall, steady: Duration::ZERO, jumped: false, waiting: None };
        Self(Arc::new(Mutex::new(dial)))
    }

    /// Time passes.
    pub fn pass(&self, by: Duration) {
        self.turn(|dial| {
            dial.wall += by;
            dial.steady += by;
        });
    }

    /// The machine is suspended, and resumes.
    pub fn suspend(&self, by: Duration) {
        self.turn(|dial| {
            dial.wall += by;
            dial.steady += by;
            dial.jumped = true;
        });
    }

    /// The wall clock is set.
    pub fn set(&self, wall: SystemTime) {
        self.turn(|dial| {
            dial.wall = wall;
            dial.jumped = true;
        });
    }

    fn turn(&self, how: impl FnOnce(&mut Dial)) {
        let mut dial = self.dial();
        how(&mut dial);
        let waiting = dial.waiting.take();
        drop(dial);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn dial(&self) -> MutexGuard<'_, Dial> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for Manual {
    fn now(&self) -> SystemTime {
        self.dial().wall
    }

    fn steady(&self) -> Duration {
        self.dial().steady
    }

    fn poll_ring(&mut self, context: &mut Context<'_>, until: Option<SystemTime>) -> Poll<Ring> {
        let mut dial = self.dial();
        if std::mem::take(&mut dial.jumped) {
            return Poll::Ready(Ring::Jumped);
        }
        if until.is_some_and(|until| until <= dial.wall) {
            return Poll::Ready(Ring::Due);
        }
        dial.waiting = Some(context.waker().clone());
        Poll::Pending
    }
}
