//! A call to a lessor, under way.

use super::super::machine::{Fault, Index};
use crate::{
    error::{Error, Result},
    http::Meter,
    lease::{Lease, Lessor, Released},
};
use futures_util::{
    future::{BoxFuture, abortable},
    stream::{AbortHandle, FuturesUnordered},
};
use std::sync::Arc;

/// The calls under way, each with the credential that it is for, and the requests that it made.
pub(super) type Flights = FuturesUnordered<BoxFuture<'static, (Index, Done, u32)>>;

pub(super) enum Call {
    Issue,
    Probe(Arc<Lease>),
    Retire,
    Release,
}

pub(super) enum Done {
    Issued(Result<Lease>),
    Probed(Result<()>),
    Retired(Result<()>),
    Released(Result<Released>),
    /// It was called off before its end.
    GivenUp,
}

impl Done {
    /// Whether what it asked for was asked in vain.
    pub(super) fn has_failed(&self) -> bool {
        match self {
            Self::Issued(result) => result.is_err(),
            Self::Probed(result) | Self::Retired(result) => result.is_err(),
            Self::Released(result) => result.is_err(),
            Self::GivenUp => true,
        }
    }
}

/// Starts a call; the handle calls it off.
pub(super) fn fly(
    index: Index,
    call: Call,
    lessor: Arc<dyn Lessor>,
) -> (BoxFuture<'static, (Index, Done, u32)>, AbortHandle) {
    let (call, handle) = abortable(async move {
        match call {
            Call::Issue => Done::Issued(lessor.issue().await),
            Call::Probe(lease) => Done::Probed(lessor.probe(&lease).await),
            Call::Retire => Done::Retired(lessor.retire().await),
            Call::Release => Done::Released(lessor.release().await),
        }
    });
    let metered = async move {
        let meter = Meter::default();
        let done = meter.over(call).await.unwrap_or(Done::GivenUp);
        (index, done, meter.take())
    };
    (Box::pin(metered), handle)
}

pub(super) fn fault(error: &Error) -> Fault {
    Fault { transient: error.is_transient(), retry_after: error.retry_after }
}
