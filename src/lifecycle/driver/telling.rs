//! What the driver tells its observer and remembers for `status`.

use super::{
    super::machine::{Event, Index, Phase},
    Driver, Notice, View,
};
use crate::{
    error::{Class, Error},
    lease::Released,
};
use std::time::Duration;

/// What an event leaves to tell, which the machine does not need to know.
pub(super) enum Detail {
    Nothing,
    Error(Error),
    Took(Duration),
    How(Released),
}

impl Driver {
    /// Tells what has happened, the machine having taken it in.
    pub(super) fn tell_of(&mut self, event: Event, detail: Detail) {
        let stopping = matches!(self.machine.phase(), Phase::Stopping | Phase::Ended);
        let ends = |index: Index| stopping || self.machine.slots()[index].is_leaving();
        match (event, detail) {
            // Not of one that had expired when it came: that is told as a failure.
            (Event::Issued(index, term), _) if self.machine.slots()[index].is_renewing() && !ends(index) => {
                self.tell(&Notice::Issued { index, expires_at: term.expires_at });
            }
            (Event::Retired(index), _) if !ends(index) => {
                self.forgive(index);
                self.tell(&Notice::Retired { index });
            }
            (Event::Failed(index, _) | Event::Voided(index), Detail::Error(error)) if !ends(index) => {
                self.note(index, error);
            }
            (Event::ReleaseFailed(index, _), Detail::Error(error)) => self.note(index, error),
            (Event::Released(index), Detail::How(how)) => self.release(index, how),
            (Event::Published, _) => {
                self.sink_error = None;
                let (generation, complete) = (self.machine.generation(), self.machine.is_complete());
                self.tell(&Notice::Published { generation, complete });
            }
            (Event::Wiped, Detail::Took(took)) => {
                if stopping {
                    self.sink_error = None;
                }
                self.tell(&Notice::Wiped { took });
            }
            (Event::PublishFailed | Event::WipeFailed | Event::Disturbed, Detail::Error(error)) => {
                let again_at = self.machine.publishes_at();
                self.tell(&Notice::Failed { index: None, error: &error, again_at });
                self.sink_error = Some((self.now(), error));
            }
            _ => {}
        }
    }

    /// Tells and remembers what went wrong with a credential.
    pub(super) fn note(&mut self, index: Index, error: Error) {
        let again_at = self.machine.slots()[index].retries_at();
        self.tell(&Notice::Failed { index: Some(index), error: &error, again_at });
        self.remember(index, error);
    }

    pub(super) fn remember(&mut self, index: Index, error: Error) {
        let now = self.now();
        if let Some(seat) = self.seats.get_mut(&index) {
            seat.error = Some((now, error));
        }
    }

    fn forgive(&mut self, index: Index) {
        if let Some(seat) = self.seats.get_mut(&index) {
            seat.error = None;
        }
    }

    fn release(&mut self, index: Index, how: Released) {
        let Some(seat) = self.seats.get_mut(&index) else { return };
        seat.error = None;
        let before = seat.released.filter(|_| how == Released::Nothing);
        let released = before.unwrap_or(how);
        seat.released = Some(released);
        // One that may have come too early is repeated, and not told of until then.
        if self.machine.slots()[index].is_released() {
            self.tell(&Notice::Released { index, released });
        }
    }

    pub(super) fn tell(&mut self, notice: &Notice<'_>) {
        let view = View { machine: &self.machine, seats: &self.seats, order: &self.order };
        self.observer.notice(notice, &view);
    }
}

/// The error of a value that is discarded.
pub(super) fn stillborn() -> Error {
    Error::new(Class::Unavailable, "a new value expired before it could be used")
        .why("it lives shorter than the gateway takes to accept it, or this machine's clock is ahead")
        .fix(
            "compare `date -u` with the right time, and see whether the credential's lifetime is long enough",
        )
}
