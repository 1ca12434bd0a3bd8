//! Waiting by two timers of the kernel's, so that nothing wakes before it has to, and nothing sleeps through a jump.
//!
//! A timer on the wall clock knows when that is set: its descriptor then answers `ECANCELED`. A resume counts too, since it
//! sets the wall clock. One on the time since boot bounds the wait by the time that really passes.

use super::{Ring, system::Armed};
use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    unistd::read,
};
use std::{
    io::{self, ErrorKind},
    os::fd::{AsFd as _, AsRawFd, RawFd},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A timer is set no further ahead: times near the end of what the kernel can express are not to be tried out.
const FARTHEST: Duration = Duration::from_hours(24 * 365);

/// Both timers.
pub(super) struct Timers {
    wall: Timer,
    boot: Timer,
    armed: Armed,
}

impl Timers {
    /// Needs a tokio runtime around it.
    ///
    /// Errors: no descriptor is left, or a sandbox does not know the call.
    pub(super) fn new(now: SystemTime) -> io::Result<Self> {
        let wall = Timer::new(ClockId::CLOCK_REALTIME)?;
        let boot = Timer::new(ClockId::CLOCK_BOOTTIME)?;
        let mut timers = Self { wall, boot, armed: Armed::Not };
        // A sandbox may refuse this one too.
        timers.arm(now, None)?;
        Ok(timers)
    }

    /// See [`Clock::poll_ring`](super::Clock::poll_ring).
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        now: SystemTime,
        until: Option<SystemTime>,
    ) -> Poll<io::Result<Ring>> {
        if until.is_some_and(|until| until <= now) {
            // The time may have come because the clock jumped; only the timer knows.
            return Poll::Ready(self.wall.read().or_else(|error| match error.kind() {
                ErrorKind::WouldBlock => Ok(Ring::Due),
                _ => Err(error),
            }));
        }
        if self.armed != Armed::Until(until) && self.arm(now, until)? == Ring::Jumped {
            return Poll::Ready(Ok(Ring::Jumped));
        }
        for timer in [&mut self.wall, &mut self.boot] {
            if let Poll::Ready(ring) = timer.poll(context) {
                self.armed = Armed::Not;
                return Poll::Ready(ring);
            }
        }
        Poll::Pending
    }

    /// Sets both. Whether the clock has jumped since that was done last.
    fn arm(&mut self, now: SystemTime, until: Option<SystemTime>) -> io::Result<Ring> {
        self.armed = Armed::Not;
        let wait = until.and_then(|until| until.duration_since(now).ok());
        let wait = wait.unwrap_or(FARTHEST).min(FARTHEST);
        let at = (now + wait).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let absolute = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        match self.wall.set(at, absolute) {
            Ok(()) => {}
            Err(Errno::ECANCELED) => return Ok(Ring::Jumped),
            Err(errno) => return Err(errno.into()),
        }
        match until {
            Some(_) => self.boot.set(wait, TimerSetTimeFlags::empty())?,
            None => self.boot.0.get_ref().0.unset()?,
        }
        self.armed = Armed::Until(until);
        Ok(Ring::Due)
    }
}

/// One timer. It waits for no reader, and does not go to child processes.
struct Timer(AsyncFd<Descriptor>);

impl Timer {
    // Tokio's other way is `unsafe`, since a descriptor may be any number; ours is owned by what is registered.
    #[allow(deprecated)]
    fn new(clock: ClockId) -> io::Result<Self> {
        let timer = TimerFd::new(clock, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        Ok(Self(AsyncFd::with_interest(Descriptor(timer), Interest::READABLE)?))
    }

    fn set(&self, to: Duration, flags: TimerSetTimeFlags) -> nix::Result<()> {
        // Zero would unset it.
        let to = TimeSpec::from(to.max(Duration::from_nanos(1)));
        self.0.get_ref().0.set(Expiration::OneShot(to), flags)
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<io::Result<Ring>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            // What would block was heard of before.
            if let Ok(ring) = guard.try_io(|descriptor| descriptor.get_ref().read()) {
                return Poll::Ready(ring);
            }
        }
    }

    fn read(&self) -> io::Result<Ring> {
        self.0.get_ref().read()
    }
}

struct Descriptor(TimerFd);

impl Descriptor {
    /// Why it has rung. [`TimerFd::wait`] does not tell.
    fn read(&self) -> io::Result<Ring> {
        match read(&self.0, &mut [0; 8]) {
            Ok(_) => Ok(Ring::Due),
            Err(Errno::ECANCELED) => Ok(Ring::Jumped),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
