//! The id token, as any source may give it.
#![no_main]

use apim_agent::{clock, identity::claims};
use apim_agent_fuzz::fit_to_show;

libfuzzer_sys::fuzz_target!(|token: &str| {
    match claims::parse(token) {
        Ok(claims) => {
            assert!(!claims.iss.is_empty() && !claims.sub.is_empty());
            for shown in [&claims.iss, &claims.sub]
                .into_iter()
                .chain(&claims.aud)
                .chain(&claims.workspace)
                .chain(&claims.user)
            {
                fit_to_show(shown, usize::MAX);
            }
            assert_eq!(clock::parse_rfc3339(&clock::rfc3339(claims.exp)), Some(claims.exp));
        }
        Err(why) => {
            fit_to_show(&why, 200);
            // No word of ours is as long as this, and the fuzzer does find our sentences and puts them in.
            assert!(
                token
                    .split('.')
                    .all(|segment| segment.len() < 20 || segment.contains(' ') || !why.contains(segment)),
                "{why}"
            );
        }
    }
});
