//! What the journal knows. Pure.

use super::format::Record;

/// Whose a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A lessor of this process's has announced it.
    Ours,
    /// A predecessor left it.
    Left,
    /// It is being released for the predecessor.
    Claimed,
}

#[derive(Clone, Debug)]
struct Line {
    record: Record,
    target: String,
    state: State,
}

/// All records, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    lines: Vec<Line>,
}

impl Book {
    /// That of a predecessor.
    pub(super) fn new(records: Vec<Record>) -> Self {
        let mut book = Self::default();
        book.inherit(records);
        book
    }

    /// Takes over further ones.
    pub(super) fn inherit(&mut self, records: Vec<Record>) {
        for record in records {
            self.put(record, State::Left);
        }
    }

    /// It may exist from now on, and is ours. Whether that is news.
    pub(super) fn minting(&mut self, record: Record) -> bool {
        let target = record.target();
        let known = self.lines.iter_mut().find(|line| line.target == target);
        match known {
            // When it was announced is no news.
            Some(line) if line.record.what == record.what && line.record.settings == record.settings => {
                line.state = State::Ours;
                false
            }
            _ => {
                self.put(record, State::Ours);
                true
            }
        }
    }

    /// It does not exist any more. Whether that is news.
    pub(super) fn ended(&mut self, target: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| line.target != target);
        self.lines.len() < before
    }

    /// Claims all that is left.
    pub(super) fn claim(&mut self) -> Vec<Record> {
        let left = self.lines.iter_mut().filter(|line| line.state == State::Left);
        left.map(|line| {
            line.state = State::Claimed;
            line.record.clone()
        })
        .collect()
    }

    /// Its release has come to an end. If it is still there it is left again.
    pub(super) fn unclaim(&mut self, target: &str) {
        let claimed = |line: &&mut Line| line.target == target && line.state == State::Claimed;
        if let Some(line) = self.lines.iter_mut().find(claimed) {
            line.state = State::Left;
        }
    }

    pub(super) fn state(&self, target: &str) -> Option<State> {
        self.lines.iter().find(|line| line.target == target).map(|line| line.state)
    }

    pub(super) fn left(&self) -> Vec<Record> {
        let left = self.lines.iter().filter(|line| line.state != State::Ours);
        left.map(|line| line.record.clone()).collect()
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.lines.iter().map(|line| line.record.clone()).collect()
    }

    fn put(&mut self, record: Record, state: State) {
        let line = Line { target: record.target(), record, state };
        match self.lines.iter_mut().find(|known| known.target == line.target) {
            Some(known) => *known = line,
            None => self.lines.push(line),
        }
    }
}
