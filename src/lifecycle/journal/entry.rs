//! One credential's way into the journal.

use super::{
    Journal,
    format::{Record, What},
    settings::{self, Settings},
};
use crate::{
    clock,
    config::{Config, Credential},
    error::Result,
    lease::announce::{Announce, Mint},
};
use async_trait::async_trait;
use std::sync::Arc;

pub(super) struct Entry {
    journal: Arc<Journal>,
    credential: String,
    settings: Settings,
}

impl Entry {
    pub(super) fn new(journal: Arc<Journal>, config: &Config, credential: &Credential) -> Self {
        Self { journal, credential: credential.name.clone(), settings: settings::of(config, credential) }
    }

    fn record(&self, what: Mint<'_>) -> Record {
        let what = match what {
            Mint::Subscription(sid) => What::SubscriptionKey { sid: sid.to_owned() },
            Mint::Tokens { until } => What::Tokens { until: until.map(clock::rfc3339) },
        };
        Record {
            credential: self.credential.clone(),
            what,
            since: clock::rfc3339(clock::now()),
            settings: self.settings.clone(),
        }
    }
}

#[async_trait]
impl Announce for Entry {
    async fn minting(&self, what: Mint<'_>) -> Result<()> {
        self.journal.minting(self.record(what)).await
    }

    fn ended(&self, what: Mint<'_>) {
        let target = self.record(what).target();
        self.journal.change(|book| book.ended(&target));
    }
}
