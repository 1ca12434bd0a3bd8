//! The token endpoint: finds the grant, lets it check the request, and answers with tokens.

use super::{
    Entra, app,
    caller::Caller,
    code, device,
    errors::Refusal,
    form::Form,
    issue::{self, Session},
    obo, refresh, saml,
    scope::Resource,
};
use crate::emulator::wire::Request;
use serde_json::{Value, json};
use std::time::SystemTime;

/// A request for a token, on its way through a grant's checks.
pub(super) struct Call<'a> {
    pub(super) entra: &'a Entra,
    /// As in the path.
    pub(super) tenant: &'a str,
    pub(super) form: &'a Form,
    /// The `Host` of the request.
    pub(super) host: &'a str,
    pub(super) now: SystemTime,
}

/// What was asked for and may be had.
#[derive(Debug)]
pub(super) enum Granted {
    /// A token for the application itself. With the federated subject that it is asked for.
    App { resource: Resource, subject: String },
    /// Tokens for a person.
    User(Session),
}

/// Answers a request for a token: the body, and who asked.
pub(super) async fn answer(
    entra: &Entra,
    tenant: &str,
    request: &Request,
    now: SystemTime,
) -> Result<(Value, Caller), Refusal> {
    let form = Form::of_body(request)?;
    let call = Call { entra, tenant, form: &form, host: &request.host, now };
    let granted = match form.need("grant_type")? {
        "client_credentials" => app::grant(&call).await,
        "authorization_code" => code::grant(&call).await,
        "refresh_token" => refresh::grant(&call).await,
        "urn:ietf:params:oauth:grant-type:device_code" => device::grant(&call).await,
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => obo::grant(&call).await,
        "urn:ietf:params:oauth:grant-type:saml2-bearer" => saml::grant(&call).await,
        other => Err(Refusal::grant(other)),
    }?;
    Ok(match granted {
        Granted::App { resource, subject } => {
            (issue::for_app(&entra.world, &entra.keys, &resource, now)?, Caller::Workspace(subject))
        }
        Granted::User(session) => {
            let caller = Caller::User(entra.world.sign_in.user.upn.clone());
            (tokens(&call, session)?, caller)
        }
    })
}

/// A person's tokens, with all that was asked for beside the access token.
fn tokens(call: &Call<'_>, session: Session) -> Result<Value, Refusal> {
    let Entra { world, keys, .. } = call.entra;
    let mut body = issue::for_user(world, keys, &session, call.host, call.now)?;
    if call.form.get("client_info") == Some("1") {
        body["client_info"] = json!(issue::client_info(world));
    }
    if session.scope.offline {
        body["refresh_token"] = json!(refresh::issue(call.entra, session, call.now)?);
    }
    Ok(body)
}
