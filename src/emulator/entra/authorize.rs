//! The authorization endpoint (RFC 6749, 4.1.1), where a browser asks for an authorization code.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow>. The one person of the directory
//! counts as signed in, and as having consented: a request without `prompt` is answered at once. With `prompt=login`,
//! `consent` or `select_account` there is a page whose form sends the decision.
//!
//! Stricter than Entra: a public client has to send a code challenge (RFC 9700, 2.1.1), and only S256 is known.

use super::{
    Entra,
    client::{known, persons_tenant},
    code::Code,
    errors::Refusal,
    form::Form,
    issue::{Proof, Session},
    page, scope,
    sign_in::SignIn,
};
use crate::emulator::{
    wire::{Request, Response},
    world::World,
};
use std::time::{Duration, SystemTime};
use url::Url;

/// How long a person may look at the page.
const PAGE: Duration = Duration::from_mins(10);

/// Characters of an S256 code challenge.
const CHALLENGE: usize = 43;

/// Where an answer goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The client's redirect URI, letter by letter.
    uri: String,
    mode: Mode,
    state: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Query,
    Fragment,
    FormPost,
}

/// A request for a code that may be granted.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    target: Target,
    session: Session,
    challenge: Option<String>,
    /// Whether the person is to be asked.
    page: bool,
}

/// The request that a person is being asked about; taken when it is answered.
pub(super) struct Ticket(Option<(Asked, SystemTime)>);

/// Who is told of a refusal.
#[derive(Debug)]
enum Fault {
    /// The person: where the client is cannot be known, or is not to be believed (RFC 6749, 4.1.2.1).
    Page(Refusal),
    /// The client.
    Redirect(Target, Refusal),
}

/// `GET …/authorize`.
pub(super) fn answer(entra: &Entra, tenant: &str, request: &Request, now: SystemTime) -> Response {
    let form = match Form::of_query(request) {
        Ok(form) => form,
        Err(refusal) => return page::refusal(&refusal),
    };
    match check(&entra.world, tenant, &form) {
        Ok(asked) if asked.page => ask(entra, tenant, asked, now),
        Ok(asked) => grant(entra, asked, now),
        Err(Fault::Page(refusal)) => page::refusal(&refusal),
        Err(Fault::Redirect(target, refusal)) => target.refuse(&refusal),
    }
}

/// What the page's form sends: `ticket`, and `decision=approve` or `decision=decline`.
pub(super) fn decide(entra: &Entra, request: &Request, now: SystemTime) -> Response {
    let taken = || {
        let form = Form::of_body(request)?;
        let approved = page::decision(&form)?;
        let asked =
            entra.tickets.with(form.need("ticket")?, |ticket| ticket.and_then(|ticket| ticket.0.take()));
        match asked {
            Some((asked, until)) if now < until => Ok((asked, approved)),
            _ => Err(Refusal::stale_page()),
        }
    };
    match taken() {
        Ok((asked, true)) => grant(entra, asked, now),
        Ok((asked, false)) => asked.target.refuse(&Refusal::consent_declined()),
        Err(refusal) => page::refusal(&refusal),
    }
}

/// Checks a request. First where the answer goes; from then on the client is told.
fn check(world: &World, tenant: &str, form: &Form) -> Result<Asked, Fault> {
    persons_tenant(world, tenant).map_err(Fault::Page)?;
    let client = known(world, tenant, form).map_err(Fault::Page)?;
    let uri = form.need("redirect_uri").map_err(Fault::Page)?;
    let proof =
        platform(&world.sign_in, uri).ok_or_else(|| Fault::Page(Refusal::redirect_uri(uri, client)))?;
    let mode = match form.get("response_mode") {
        None | Some("query") => Mode::Query,
        Some("fragment") => Mode::Fragment,
        Some("form_post") => Mode::FormPost,
        Some(other) => return Err(Fault::Page(Refusal::response_mode(other))),
    };
    let target = Target { uri: uri.to_owned(), mode, state: form.get("state").map(str::to_owned) };
    match details(world, form, proof) {
        Ok((session, challenge, page)) => Ok(Asked { target, session, challenge, page }),
        Err(refusal) => Err(Fault::Redirect(target, refusal)),
    }
}

/// The rest of the checks: what is asked for, the code challenge, and whether the person sees a page.
fn details(world: &World, form: &Form, proof: Proof) -> Result<(Session, Option<String>, bool), Refusal> {
    match form.need("response_type")? {
        "code" => {}
        other => return Err(Refusal::response_type(other)),
    }
    let scope = scope::for_user(world, form.need("scope")?)?;
    let challenge = challenge(form, proof)?;
    let prompt = form.get("prompt");
    let page = match prompt {
        None | Some("none") => false,
        Some("login" | "consent" | "select_account") => true,
        Some(_) => return Err(Refusal::prompt()),
    };
    if let Some(hint) = form.get("login_hint")
        && !hint.eq_ignore_ascii_case(&world.sign_in.user.upn)
    {
        let silent = prompt == Some("none");
        return Err(if silent {
            Refusal::login_required()
        } else {
            Refusal::no_such_user(hint, &world.tenant_id)
        });
    }
    Ok((Session { scope, nonce: form.get("nonce").map(str::to_owned), proof }, challenge, page))
}

fn challenge(form: &Form, proof: Proof) -> Result<Option<String>, Refusal> {
    let Some(challenge) = form.get("code_challenge") else {
        return if proof == Proof::None { Err(Refusal::missing("code_challenge")) } else { Ok(None) };
    };
    if form.need("code_challenge_method")? != "S256" {
        return Err(Refusal::malformed_request());
    }
    if challenge.len() != CHALLENGE {
        return Err(Refusal::code_challenge_size());
    }
    Ok(Some(challenge.to_owned()))
}

/// How a client proves itself that comes back to this redirect URI; none where it is not registered.
fn platform(sign_in: &SignIn, uri: &str) -> Option<Proof> {
    if sign_in.web_redirects.iter().any(|registered| registered == uri) {
        return Some(Proof::Assertion);
    }
    // The registered ones have no user, no query and no fragment, so that one with them is not equal.
    let without_port = |uri: &str| {
        let mut uri = Url::parse(uri).ok()?;
        uri.set_port(None).ok()?;
        Some(uri)
    };
    let uri = without_port(uri)?;
    let desktop = sign_in.desktop_redirects.iter().any(|known| without_port(known).as_ref() == Some(&uri));
    desktop.then_some(Proof::None)
}

/// The page that asks the person.
fn ask(entra: &Entra, tenant: &str, asked: Asked, now: SystemTime) -> Response {
    let user = &entra.world.sign_in.user;
    let sentence = format!(
        "{} ({}): the application {} asks for: {}",
        user.name, user.upn, entra.world.client_id, asked.session.scope.told
    );
    let until = now + PAGE;
    match entra.tickets.issue(Ticket(Some((asked, until))), now, until) {
        Ok(ticket) => page::form(
            "Permissions requested",
            &sentence,
            &format!("/{tenant}/Consent/Set"),
            &format!(r#"<input type="hidden" name="ticket" value="{ticket}">"#),
        ),
        Err(error) => page::refusal(&error.into()),
    }
}

/// Sends the client its code.
fn grant(entra: &Entra, asked: Asked, now: SystemTime) -> Response {
    let Asked { target, session, challenge, .. } = asked;
    let expires = now + entra.world.sign_in.authorization_code_life;
    let code = Code { session, redirect_uri: target.uri.clone(), challenge, expires, redeemed: false };
    match entra.codes.issue(code, now, expires) {
        Ok(code) => target.send(vec![("code", code)]),
        Err(error) => target.refuse(&error.into()),
    }
}

impl Target {
    fn refuse(&self, refusal: &Refusal) -> Response {
        let mut fields = vec![("error", refusal.error.to_owned()), ("error_description", refusal.told())];
        if refusal.error == "access_denied" {
            fields.push(("error_subcode", "cancel".to_owned()));
        }
        self.send(fields)
    }

    fn send(&self, mut fields: Vec<(&str, String)>) -> Response {
        fields.extend(self.state.clone().map(|state| ("state", state)));
        fields.push(("session_state", super::errors::guid()));
        // It was parsed, or is one of the registered ones.
        let Ok(mut uri) = Url::parse(&self.uri) else { return page::refusal(&Refusal::internal()) };
        match self.mode {
            Mode::FormPost => return page::form_post(&self.uri, &fields),
            Mode::Query => drop(uri.query_pairs_mut().extend_pairs(&fields)),
            Mode::Fragment => {
                let fields =
                    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
                uri.set_fragment(Some(&fields));
            }
        }
        Response::new(302, "").header("Location", String::from(uri)).header("Referrer-Policy", "no-referrer")
    }
}

#[cfg(test)]
mod tests;
