//! An Entra directory's token endpoint, for the grants that the SDK does not have: one POST.

use super::{
    aadsts::{Presented, explain},
    oauth::{
        self,
        form::Form,
        granted::{Expected, Flaw, Granted},
    },
};
use crate::{
    clock,
    error::{Class, Error, Result},
    http::{Client, answer},
};
use bytes::Bytes;
use http::{Response, StatusCode};
use std::time::SystemTime;
use url::Url;

/// Asks for a token, once. Errors: those of the connection, and Entra's, explained.
pub(super) async fn token(
    http: &Client,
    authority: &Url,
    presented: &Presented,
    form: &Form<'_>,
) -> Result<Granted> {
    let endpoint = endpoint(authority, &presented.tenant_id)?;
    let asked_at = clock::now();
    let answer = http.send(oauth::post(&endpoint, form)?).await.map_err(|mut error| {
        error.what = format!("no access token for {}: {}", presented.scope, error.what);
        error
    })?;
    if answer.status() == StatusCode::OK {
        return read(&answer, asked_at);
    }
    let error = explain(&answer, presented, clock::now());
    let is_safe = !form.is_repeated_in(&String::from_utf8_lossy(answer.body()));
    Err(if is_safe {
        error
    } else {
        error.why("its words repeat a secret that was sent, so they are not shown")
    })
}

/// Entra's good answer. Error: what is wrong with it.
pub(super) fn read(answer: &Response<Bytes>, asked_at: SystemTime) -> Result<Granted> {
    Granted::read(answer, Expected::default(), asked_at).map_err(|Flaw { why, class }| {
        Error::new(class, "Entra's answer holds no access token")
            .why(format!("{why}; {}", answer::outline(answer)))
            .fix("check entra.authority, and whether a proxy or a portal stands between")
    })
}

/// `AUTHORITY/TENANT/oauth2/v2.0/token`, the authority's own path kept.
fn endpoint(authority: &Url, tenant: &str) -> Result<Url> {
    let mut url = authority.clone();
    let bad = |()| {
        Error::new(Class::Config, format!("entra.authority {authority} is no base URL"))
            .fix("for example: authority = \"https://login.microsoftonline.com\"")
    };
    url.path_segments_mut().map_err(bad)?.pop_if_empty().extend([tenant, "oauth2", "v2.0", "token"]);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_one_segment() {
        let at = |authority: &str, tenant: &str| {
            endpoint(&authority.parse().unwrap(), tenant).unwrap().to_string()
        };
        assert_eq!(at("https://login.example", "t"), "https://login.example/t/oauth2/v2.0/token");
        assert_eq!(
            at("https://login.example/base/", "a/b?c"),
            "https://login.example/base/a%2Fb%3Fc/oauth2/v2.0/token"
        );
        assert!(endpoint(&"mailto:x".parse().unwrap(), "t").is_err());
    }
}
