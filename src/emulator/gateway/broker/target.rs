//! What a token is asked for: `resource`, `audience` and `scope`.

use super::{super::API_ID, super::API_PATH, Form, Refusal};
use crate::emulator::world::World;
use url::Url;

/// The one role that the key stands for.
const SCOPE: &str = "Echo.Call";

/// Every target must be the echo API: its URL at this gateway as `resource`, or its Application ID URI, id or product
/// as `audience` (RFC 8693, 2.1). Without any it is meant anyhow.
pub(super) fn check(form: &Form, world: &World, host: &str) -> Result<(), Refusal> {
    for resource in form.all("resource") {
        let url = Url::parse(resource)
            .ok()
            .filter(|url| url.fragment().is_none())
            .ok_or_else(|| Refusal::invalid_request("resource must be an absolute URI without a fragment"))?;
        if resource != world.api_audience && !is_api(&url, host) {
            return Err(Refusal::invalid_target(resource));
        }
    }
    let known = [world.api_audience.as_str(), API_ID, &world.product];
    match form.all("audience").find(|audience| !known.contains(audience)) {
        Some(unknown) => Err(Refusal::invalid_target(unknown)),
        None => Ok(()),
    }
}

/// Whether that is the API's address, or one below it.
fn is_api(url: &Url, host: &str) -> bool {
    let here = Url::parse(&format!("https://{host}")).is_ok_and(|here| here.origin() == url.origin());
    here && url.path().strip_prefix(API_PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is granted of the scope asked for. `None`: exactly that, or the default, so that the answer need not say it
/// (RFC 6749, 5.1). What cannot be granted is left out, as section 3.3 allows, unless nothing is left.
pub(super) fn scope(asked: Option<&str>, world: &World) -> Result<Option<String>, Refusal> {
    let Some(asked) = asked else { return Ok(None) };
    let default = format!("{}/.default", world.api_audience);
    let words: Vec<&str> = asked.split(' ').filter(|word| !word.is_empty()).collect();
    let granted: Vec<&str> =
        words.iter().copied().filter(|word| *word == SCOPE || *word == default).collect();
    match granted.len() {
        0 => Err(Refusal::invalid_scope(asked)),
        some if some == words.len() => Ok(None),
        _ => Ok(Some(granted.join(" "))),
    }
}
