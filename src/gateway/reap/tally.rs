//! What a run has done so far. Numbers, and the names of what is deleted; no secret.

use super::{Fate, Verdict};
use crate::error::Error;
use std::time::SystemTime;

/// One of the dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its display name, as ARM wrote it: not fit for a terminal.
    pub name: String,
    /// When it ended.
    pub since: SystemTime,
}

/// How many, so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Pages read.
    pub pages: u64,
    /// Subscriptions on them.
    pub listed: u64,
    /// Subscriptions on all pages, as ARM counts them.
    pub of: Option<u64>,
    /// Made by somebody else.
    pub foreign: u64,
    /// The agent's, without a readable end: kept.
    pub undated: u64,
    /// The agent's, and not yet past their end by the grace.
    pub alive: u64,
    /// The agent's, and past it.
    pub dead: u64,
    /// Of the dead: deleted.
    pub deleted: u64,
    /// Gone before they could be deleted.
    pub gone: u64,
    /// Renewed since they were listed: kept.
    pub renewed: u64,
    /// Tried in vain.
    pub failed: u64,
    /// What kept the first of those.
    pub first_failure: Option<Error>,
    /// How often ARM has said 429.
    pub throttled: u64,
}

impl Tally {
    /// The dead that are still there, as far as is known.
    pub fn left(&self) -> u64 {
        self.dead.saturating_sub(self.deleted + self.gone + self.renewed)
    }

    pub(super) fn page(&mut self, rows: usize, of: Option<u64>) {
        self.pages += 1;
        self.listed += rows as u64;
        self.of = of.or(self.of);
    }

    pub(super) fn judged(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Foreign => &mut self.foreign,
            Verdict::Undated => &mut self.undated,
            Verdict::Alive(_) => &mut self.alive,
            Verdict::Dead(_) => &mut self.dead,
        } += 1;
    }

    pub(super) fn fate(&mut self, fate: &Fate) {
        match fate {
            Fate::Deleted => self.deleted += 1,
            Fate::Gone => self.gone += 1,
            Fate::Renewed => self.renewed += 1,
            Fate::Untried => {}
            Fate::Left(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| error.clone());
            }
        }
    }
}
