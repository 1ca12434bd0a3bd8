//! What was asked of the emulator. Rows never hold a secret: no headers, no bodies, of the query the names only.

use super::wire::Request;
use crate::clock;
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};
use time::{format_description::BorrowedFormatItem, macros::format_description};

/// Older rows are dropped beyond this many.
const ROWS: usize = 100_000;

const MILLISECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// One request.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Counts up from 1 over all services, in the order of arrival.
    pub seq: u64,
    /// When the request had arrived whole: RFC 3339, UTC, milliseconds.
    pub at: String,
    /// The service, such as `arm`; the proxy is `proxy`.
    pub service: &'static str,
    /// The operation, where the service knows the request.
    pub operation: Option<&'static str>,
    /// HTTP method.
    pub method: String,
    /// Path as sent; `host:port` for the proxy.
    pub path: String,
    /// The query's names, in order.
    pub query: Vec<String>,
    /// The answer's status; none while there is no answer, and for ever where a fault swallowed it.
    pub status: Option<u16>,
    /// Which connection, counted over all services from 1. Requests on a kept-alive connection share it.
    pub connection: u64,
    /// Who called, as the service found out.
    pub caller: Option<String>,
    /// The fault that was applied.
    pub fault: Option<&'static str>,
}

/// All rows, oldest first. A row stands there from the arrival of its request, so that a test can see what waits.
#[derive(Default)]
pub struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    rows: VecDeque<Row>,
    last: u64,
}

impl Journal {
    /// Notes an arrival; the number is for [`Journal::settle`] and [`Journal::faulted`].
    pub fn arrived(
        &self,
        now: SystemTime,
        service: &'static str,
        operation: Option<&'static str>,
        request: &Request,
        connection: u64,
    ) -> u64 {
        self.push(Row {
            seq: 0,
            at: clock::utc(now).format(MILLISECONDS).unwrap_or_default(),
            service,
            operation,
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.iter().map(|(name, _)| name.clone()).collect(),
            status: None,
            connection,
            caller: None,
            fault: None,
        })
    }

    /// Notes the answer.
    pub fn settle(&self, seq: u64, status: u16, caller: Option<String>) {
        self.change(seq, |row| {
            row.status = Some(status);
            row.caller = caller;
        });
    }

    /// Notes the fault.
    pub fn faulted(&self, seq: u64, fault: &'static str) {
        self.change(seq, |row| row.fault = Some(fault));
    }

    /// A copy of all rows.
    pub fn rows(&self) -> Vec<Row> {
        self.lock().rows.iter().cloned().collect()
    }

    fn push(&self, mut row: Row) -> u64 {
        let mut inner = self.lock();
        inner.last += 1;
        row.seq = inner.last;
        if inner.rows.len() == ROWS {
            inner.rows.pop_front();
        }
        inner.rows.push_back(row);
        inner.last
    }

    fn change(&self, seq: u64, change: impl FnOnce(&mut Row)) {
        let mut inner = self.lock();
        // Rows are numbered without gaps; one that has been dropped meanwhile has a number below the first.
        let place = inner.rows.front().and_then(|first| seq.checked_sub(first.seq));
        if let Some(row) = place.and_then(|place| inner.rows.get_mut(usize::try_from(place).ok()?)) {
            change(row);
        }
    }

    /// A panic elsewhere leaves the rows readable.
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::testing::request;

    #[test]
    fn a_row_holds_no_value_of_the_query() {
        let journal = Journal::default();
        let seq = journal.arrived(
            clock::from_unix(1_795_478_400),
            "gateway",
            Some("Echo_Call"),
            &request("GET", "/echo?subscription-key=s3cret&x=y"),
            1,
        );
        journal.settle(seq, 200, Some("subscription ws-1".to_owned()));
        let text = serde_json::to_string(&journal.rows()).unwrap();
        assert!(text.contains(r#""query":["subscription-key","x"]"#), "{text}");
        assert!(text.contains(r#""at":"2026-11-24T00:00:00.000Z""#), "{text}");
        assert!(text.contains(r#""status":200"#) && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn old_rows_go_and_late_answers_to_them_are_harmless() {
        let journal = Journal::default();
        let request = request("GET", "/");
        let first = journal.arrived(clock::from_unix(0), "arm", None, &request, 1);
        for _ in 0..ROWS {
            journal.arrived(clock::from_unix(0), "arm", None, &request, 1);
        }
        journal.settle(first, 200, None);
        let rows = journal.rows();
        assert_eq!((rows.len(), rows[0].seq, rows[0].status), (ROWS, 2, None));
    }
}
