//! A call to a lessor, under way.

use super::super::machine::{Fault, Index};
use crate::{
    error::{Error, Result},
    lease::{Lease, Lessor, Released},
};
use futures_util::{future::BoxFuture, stream::FuturesUnordered};
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
}

pub(super) fn fly(index: Index, call: Call, lessor: Arc<dyn Lessor>) -> BoxFuture<'static, (Index, Done)> {
    Box::pin(async move {
        let done = match call {
            Call::Issue => Done::Issued(lessor.issue().await),
            Call::Probe(lease) => Done::Probed(lessor.probe(&lease).await),
            Call::Retire => Done::Retired(lessor.retire().await),
            Call::Release => Done::Released(lessor.release().await),
        };
        (index, done)
    })
}

pub(super) fn fault(error: &Error) -> Fault {
    Fault { transient: error.is_transient(), retry_after: error.retry_after }
}
