//! Retry-After, dates and durations as texts, and what is made of them.
#![no_main]

use apim_agent::{clock, config::duration, http::answer, lifecycle::schedule};
use std::time::Duration;

libfuzzer_sys::fuzz_target!(|text: &str| {
    for now in [0, 1_795_482_000, clock::LATEST].map(clock::from_unix) {
        if let Some(wait) = answer::wait(text, now) {
            for left in [None, Some(Duration::ZERO), Some(Duration::from_secs(3600))] {
                let wait = schedule::backoff(1, schedule::CAP, Some(wait), left, 7);
                assert!((schedule::FLOOR..=Duration::from_secs(3600)).contains(&wait));
                assert!(now.checked_add(wait).is_some());
            }
        }
    }
    if let Some(when) = clock::parse_rfc3339(text) {
        // To the second: that is what we write.
        let written = clock::rfc3339(when);
        let again = clock::parse_rfc3339(&written).expect("what we write");
        assert_eq!(clock::rfc3339(again), written);
        assert!(when.duration_since(again).expect("cut, not rounded up") < Duration::from_secs(1));
    }
    if let Ok(wait) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::show(wait)), Ok(wait));
    }
});
