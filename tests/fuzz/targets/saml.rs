//! A SAML assertion, as a file or a command may give it.
#![no_main]

use apim_agent::{
    clock,
    identity::saml::{Assertion, parse},
};
use apim_agent_fuzz::fit_to_show;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(Assertion { claims, .. }) => {
            assert!(!claims.iss.is_empty() && !claims.sub.is_empty());
            for shown in [&claims.iss, &claims.sub].into_iter().chain(&claims.aud).chain(&claims.user) {
                fit_to_show(shown, usize::MAX);
            }
            assert_eq!(clock::parse_rfc3339(&clock::rfc3339(claims.exp)), Some(claims.exp));
        }
        Err(why) => fit_to_show(&why, 300),
    }
});
