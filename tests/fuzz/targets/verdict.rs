//! Whatever answers a probe: a byte for the status and for what was presented, and the body.
#![no_main]

use apim_agent::lease::verdict::{Answer, Presented, judge, message};
use apim_agent_fuzz::{STATUSES, choice, fit_to_show, fit_to_tell};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = choice(data) else { return };
    let status = STATUSES[first % 16];
    let presented = if first < 128 { Presented::Key } else { Presented::Token };
    let message = message(status, body);
    if let Some(message) = &message {
        fit_to_show(message, 201);
    }
    let answer = Answer { status, retry_after: None, message: message.as_deref() };
    if let Err(error) = judge(presented, "https://gw.example/echo", &answer) {
        fit_to_tell(&error);
    }
});
