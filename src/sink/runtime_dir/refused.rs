//! Why no place was taken, for people.

use crate::{
    error::{Class, Error},
    sink::walk::Refusal,
};
use std::path::Path;

/// The place that somebody asked for is not good enough, or a folder on the way to it.
pub(super) fn unfit(wanted: &Path, refusal: Refusal) -> Error {
    let Refusal { place, why, fix } = refusal;
    let other = "or leave the setting out: the agent finds a place by itself";
    Error::new(Class::Config, format!("the runtime directory {} cannot be used", wanted.display()))
        .why(if place == wanted { format!("it {why}") } else { format!("{} {why}", place.display()) })
        .fix(fix.map_or_else(|| format!("choose another; {other}"), |fix| format!("{fix}; {other}")))
}

/// No place in the default order will do.
pub(super) fn none_fits(refusals: &[Refusal], uid: u32) -> Error {
    let tried = refusals.iter().map(|Refusal { place, why, fix }| {
        let fix = fix.as_ref().map(|fix| format!("; to mend it: {fix}")).unwrap_or_default();
        format!("{} {why}{fix}", place.display())
    });
    Error::new(Class::Config, "no place in RAM was found for the credentials")
        .why(tried.collect::<Vec<_>>().join("\n"))
        .fix(format!(
            "give the workspace a tmpfs: in devcontainer.json \"mounts\": [\"type=tmpfs,target=/run/apim-agent\"], or \
             mkdir -m 700 /dev/shm/apim-agent-{uid}, or --runtime-dir with a folder on one"
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_no_place_fits_each_is_named_with_what_is_wrong_and_what_mends_it() {
        let refusal = |place: &str, fix: Option<&str>| Refusal {
            place: place.into(),
            why: "is wrong".to_owned(),
            fix: fix.map(str::to_owned),
        };
        let error =
            none_fits(&[refusal("/run/apim-agent", None), refusal("/tmp/x", Some("chmod 700 /tmp/x"))], 7);
        assert_eq!(error.exit_code(), 78);
        let why = "/run/apim-agent is wrong\n/tmp/x is wrong; to mend it: chmod 700 /tmp/x";
        assert_eq!(error.why.as_deref(), Some(why));
        assert!(error.fix.is_some_and(|fix| fix.contains("mkdir -m 700 /dev/shm/apim-agent-7")));
    }
}
