//! What others ask of the driver, and its answers.

use super::{Command, Driver, Notice, Report, Reported, Values, refusal::combine, seat::Seat};
use crate::{
    error::{Error, Result},
    lifecycle::machine::{Event, Index, Phase, Slot},
};
use tokio::sync::oneshot;

/// Those who wait for an answer.
#[derive(Default)]
pub(super) struct Waiting {
    values: Vec<oneshot::Sender<Result<Values>>>,
    ready: Vec<oneshot::Sender<()>>,
}

impl Waiting {
    /// There will be none: whoever waits learns that the agent ends.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Driver {
    pub(super) fn obey(&mut self, command: Option<Command>) {
        match command {
            // Nobody is left to ask for the end: a reason to end, but none to hurry an end that was asked for before.
            None if self.stopped.is_some() => {}
            None | Some(Command::Stop) => self.feed(Event::Stop),
            Some(Command::Refresh) => self.feed(Event::Refresh),
            Some(Command::Status(reply)) => {
                self.inspect();
                // Whoever asked may have gone; so below.
                let _ = reply.send(self.report());
            }
            Some(Command::Ping(reply)) => {
                let _ = reply.send(self.machine.is_ready());
            }
            Some(Command::Values { wait: true, reply }) => {
                self.waiting.values.retain(|reply| !reply.is_closed());
                if self.stopped.is_none() {
                    self.waiting.values.push(reply);
                    self.answer();
                }
            }
            Some(Command::Values { wait: false, reply }) => {
                let _ = reply.send(Ok(self.values()));
            }
            Some(Command::Ready(reply)) => {
                if self.stopped.is_none() {
                    self.waiting.ready.push(reply);
                    self.answer();
                }
            }
            Some(Command::Hurry(identities)) => self.hurry(&identities),
            Some(Command::Inspect) => self.inspect(),
            Some(Command::Reconfigure(change)) => self.reconfigure(*change),
            Some(Command::Misconfigured(error)) => {
                self.tell(&Notice::Misconfigured { error: &error });
                self.config_error = Some((self.now(), error));
            }
        }
    }

    /// Looks whether another hand changed what is published. While that cannot be written anyway, it is known to be off.
    pub(super) fn inspect(&mut self) {
        if self.machine.phase() != Phase::Published || self.machine.publishes_at().is_some() {
            return;
        }
        if let Err(error) = self.sink.check() {
            self.happened(Event::Disturbed, super::Detail::Error(error));
        }
    }

    /// Tries again what fails with one of these identities.
    fn hurry(&mut self, identities: &[String]) {
        let concerned = |seat: &Seat| seat.entry.identities.iter().any(|name| identities.contains(name));
        let fails = |index: &Index| self.machine.slots()[*index].failures() > 0;
        let seats = self.seats.iter().filter(|(_, seat)| concerned(seat)).map(|(index, _)| *index);
        for index in seats.filter(fails).collect::<Vec<_>>() {
            self.feed(Event::Hurry(index));
        }
    }

    /// Answers those who wait, as far as there is an answer.
    pub(super) fn answer(&mut self) {
        if self.machine.is_ready() {
            for reply in std::mem::take(&mut self.waiting.ready) {
                // Whoever asked may have gone; so below.
                let _ = reply.send(());
            }
        }
        if !self.machine.is_tried() {
            return;
        }
        if let Some(error) = self.refused(|slot| slot.is_required() && slot.is_refused()) {
            self.refuse(&error);
        } else if self.machine.is_ready() {
            for reply in std::mem::take(&mut self.waiting.values) {
                let _ = reply.send(Ok(self.values()));
            }
        }
    }

    /// Tells those who wait for values that there will not be any.
    pub(super) fn refuse(&mut self, error: &Error) {
        for reply in std::mem::take(&mut self.waiting.values) {
            // Whoever asked may have gone.
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// The errors of the credentials that are wanted, have no value, and are `such`; as one.
    pub(super) fn refused(&self, such: impl Fn(&Slot) -> bool) -> Option<Error> {
        let failures = self.order.iter().filter_map(|index| {
            let (seat, slot) = (self.seats.get(index)?, &self.machine.slots()[*index]);
            let (_, error) = seat.error.as_ref()?;
            (slot.current().is_none() && such(slot)).then_some((seat.entry.about.name.as_str(), error))
        });
        combine(&failures.collect::<Vec<_>>(), self.order.len() > 1)
    }

    fn report(&self) -> Report {
        let leaving = self.seats.keys().copied().filter(|index| !self.order.contains(index));
        let shown = self.order.iter().copied().chain(leaving);
        let credentials = shown.filter_map(|index| {
            let seat = self.seats.get(&index)?;
            Some(Reported {
                index,
                about: seat.entry.about.clone(),
                variables: seat.variables(),
                identity: seat.entry.seen.get(),
                error: seat.error.clone(),
            })
        });
        Report {
            credentials: credentials.collect(),
            machine: self.machine.clone(),
            gateway: self.gateway.clone(),
            sink_error: self.sink_error.clone(),
            config_error: self.config_error.clone(),
        }
    }
}
