//! A call to a lessor, under way.

use super::super::machine::{Fault, Index};
use crate::{
    error::{Error, Result},
    lease::{Lease, Lessor, Released},
};
use futures_util::{
    future::{BoxFuture, abortable},
    stream::{AbortHandle, FuturesUnordered},
};
use std::sync::Arc;

/// The calls under way, each with the credential that it is for.
pub(super) type Flights = FuturesUnordered<BoxFuture<'static, (Index, Done)>>;

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

/// Starts a call; the handle calls it off.
pub(super) fn fly(
    index: Index,
    call: Call,
    lessor: Arc<dyn Lessor>,
) -> (BoxFuture<'static, (Index, Done)>, AbortHandle) {
    let (call, handle) = abortable(async move {
        match call {
            Call::Issue => Done::Issued(lessor.issue().await),
            Call::Probe(lease) => Done::Probed(lessor.probe(&lease).await),
            Call::Retire => Done::Retired(lessor.retire().await),
            Call::Release => Done::Released(lessor.release().await),
        }
    });
    (Box::pin(async move { (index, call.await.unwrap_or(Done::GivenUp)) }), handle)
}

pub(super) fn fault(error: &Error) -> Fault {
    Fault { transient: error.is_transient(), retry_after: error.retry_after }
}
