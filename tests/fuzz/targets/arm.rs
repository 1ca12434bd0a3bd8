//! Whatever answers in ARM's place: a byte for status and operation, a line for Retry-After, and the body.
#![no_main]

use apim_agent::{
    clock,
    lease::arm_error::{Answer, Effect, Operation, is_active, read},
};
use apim_agent_fuzz::{STATUSES, choice, fit_to_tell};

const OPERATIONS: [Operation; 4] = [Operation::Create, Operation::Update, Operation::Read, Operation::Delete];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = choice(data) else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, body) = (std::str::from_utf8(&rest[..end]).ok(), &rest[end..]);
    let answer = Answer { status: STATUSES[first % 16], content_type: line, retry_after: line, body };
    let fault = read(OPERATIONS[first / 16 % 4], "ws-0123", &answer, clock::from_unix(1_795_482_000));
    fit_to_tell(&fault.error);
    if fault.effect == Effect::Missing {
        assert_eq!(answer.status, 404);
    }
    if let Err(fault) = is_active("ws-0123", body) {
        fit_to_tell(&fault.error);
        assert_eq!(fault.effect, Effect::Unknown);
    }
});
