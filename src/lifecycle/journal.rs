//! What has been minted and not released, by id, in the runtime directory: what a later process needs to release it.
//!
//! ```text
//! lessor ── minting(sid) ──► book ──► file ──► only then the request
//!        ── ended(sid)   ──► book ──► file    when the service has confirmed that it is gone
//! ```
//!
//! A record is there from before the request that may create something until that is known to be gone, so there is no
//! moment at which a killed agent leaves something behind that nobody knows of. One record too many costs a DELETE that
//! finds nothing; one too few would cost a key that lives on.
//!
//! The file is small (a record for each credential) and is replaced as a whole by a rename at each change: it is never
//! half written, and does not grow. It is not synced, since there is no disk below a tmpfs: what a write has returned for
//! survives every death of the process, and a death of the machine takes the tmpfs with it (what is left at the service
//! then is found by its name, and by its date).
//!
//! It holds no secret. A record has the settings that lead to its service, in the configuration's own form, so that
//! whoever finds it needs neither the configuration nor the agent that wrote it; the identity is proved anew.

mod book;
mod entry;
mod file;
pub mod format;
pub mod settings;

pub use format::{Record, What};

use crate::{
    config::{Config, Credential},
    error::Result,
    lease::{Released, announce::Announce},
    sink::runtime_dir::RuntimeDir,
};
use book::{Book, State};
use entry::Entry;
use file::File;
use futures_util::future::join_all;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The journal of one workspace. The runtime directory's lock makes us its only writer.
pub struct Journal {
    file: File,
    /// Never held across an await.
    book: Mutex<Book>,
    /// Rung when a record is not being released any more.
    freed: Notify,
    torn: bool,
}

impl Journal {
    /// Opens that of `directory`, and takes over those that it has [inherited](RuntimeDir::inherited).
    ///
    /// Errors: [`Class::TryAgain`](crate::error::Class::TryAgain) when one is there that cannot be trusted or read; it is
    /// left as it is, with advice.
    pub fn open(directory: &Arc<RuntimeDir>) -> Result<Self> {
        let file = File::of(Arc::clone(directory));
        let own = file.read()?;
        let mut torn = own.torn;
        let mut book = Book::new(own.records);
        for other in directory.inherited() {
            let theirs = file::read(other)?;
            torn |= theirs.torn;
            book.inherit(theirs.records);
        }
        // Written here before it is removed there: a record may be in two places for a moment, but never in none.
        let journal = Self { file, book: Mutex::new(book), freed: Notify::new(), torn };
        journal.write(&journal.book())?;
        for other in directory.inherited() {
            file::remove(other)?;
            other.remove()?;
        }
        Ok(journal)
    }

    /// Whether the last record was cut off, by whatever did that: what it was about is not known.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Where that credential's lessor announces what it mints.
    pub fn entry(self: &Arc<Self>, config: &Config, credential: &Credential) -> Arc<dyn Announce> {
        Arc::new(Entry::new(Arc::clone(self), config, credential))
    }

    /// What a predecessor left and nobody has released yet.
    pub fn left(&self) -> Vec<Record> {
        self.book().left()
    }

    /// All that is not known to be gone: predecessors' and our own.
    pub fn records(&self) -> Vec<Record> {
        self.book().records()
    }

    /// Tries once to release all that a predecessor left, at the same time; what came of each. What our own lessors have
    /// announced under the same name is theirs by now, and is left to them.
    pub async fn release_left(
        &self,
        release: impl AsyncFn(&Record) -> Result<Released>,
    ) -> Vec<(Record, Result<Released>)> {
        let release = &release;
        let each = self.book().claim().into_iter().map(|record| async move {
            let claim = Claim { journal: self, record: &record };
            let outcome = release(&record).await;
            if outcome.is_ok() {
                self.change(|book| book.ended(&record.target()));
            }
            drop(claim);
            (record, outcome)
        });
        join_all(each).await
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // No code that holds it panics, and it is whole between any two of its methods anyway.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody releases what has this name, and writes down that it may exist.
    async fn minting(&self, record: Record) -> Result<()> {
        let target = record.target();
        loop {
            let freed = self.freed.notified();
            if self.book().state(&target) != Some(State::Claimed) {
                return self.write_down(record);
            }
            freed.await;
        }
    }

    fn write_down(&self, record: Record) -> Result<()> {
        let mut book = self.book();
        let before = book.clone();
        if book.minting(record)
            && let Err(error) = self.write(&book)
        {
            *book = before;
            return Err(error);
        }
        Ok(())
    }

    /// Something has ended. That the file could not be written does no harm: a record too many.
    fn change(&self, change: impl FnOnce(&mut Book) -> bool) {
        let mut book = self.book();
        if change(&mut book)
            && let Err(error) = self.write(&book)
        {
            tracing::warn!("the journal holds something that has ended: {error}");
        }
    }

    fn write(&self, book: &Book) -> Result<()> {
        self.file.write(&book.records())
    }
}

/// A record that is being released. A release that is called off has not happened.
struct Claim<'a> {
    journal: &'a Journal,
    record: &'a Record,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.journal.book().unclaim(&self.record.target());
        self.journal.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
