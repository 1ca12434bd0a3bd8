//! Codes of the grants that are for a person: SAML bearer and on-behalf-of. Pure.

use super::{
    super::aadsts::{Flow, Presented},
    Known,
};
use crate::error::Class::{Config, Denied};

/// Where a person has to sign in again, or more strictly: session over, password changed, second factor, terms of use.
fn wants_a_sign_in(code: u32) -> bool {
    matches!(
        code,
        50_058
            | 50_072
            | 50_074
            | 50_076
            | 50_078
            | 50_079
            | 50_132
            | 50_133
            | 50_158
            | 50_173
            | 70_008
            | 70_043
            | 70_044
            | 500_133
            | 700_082
    )
}

/// What is known of a code of the flow that was gone through; `None`: nothing that other flows' codes do not say.
pub(super) fn known(code: u32, presented: &Presented) -> Option<Known> {
    let found = match presented.flow {
        Flow::ClientAssertion => return None,
        Flow::SamlBearer => saml_bearer(code, presented),
        Flow::OnBehalfOf => on_behalf_of(code, presented),
    };
    found.or_else(|| of_either(code, presented))
}

fn of_either(code: u32, presented: &Presented) -> Option<Known> {
    let Presented { client_id, scope, .. } = presented;
    let fix = match code {
        65_001 => format!(
            "consent to {scope}: sign in to the application {client_id} once, or have an administrator do it: \
             az ad app permission admin-consent --id {client_id}"
        ),
        53_000..=53_004 => format!(
            "a Conditional Access policy refuses this person or this machine: sign in from one that it accepts, or have the \
             policy changed for {scope}"
        ),
        50_105 => {
            format!("have this person, or a group of theirs, assigned to the application behind {scope}")
        }
        50_034 | 51_004 => format!("this person has to be a user of tenant {}", presented.tenant_id),
        50_053 | 50_057 => "this person's account is locked or disabled: have it enabled".to_owned(),
        _ if wants_a_sign_in(code) => {
            format!(
                "sign in again, with whatever Entra asks for then (a second factor): the policies of {scope} want it"
            )
        }
        _ => return None,
    };
    Some(Known { class: Denied, fix })
}

fn saml_bearer(code: u32, presented: &Presented) -> Option<Known> {
    let issuer = &presented.claims.iss;
    let (class, fix) = match code {
        // The realm that does not exist is the assertion's issuer.
        50_107 => (
            Denied,
            format!(
                "{ONLY_AD_FS}; its issuer, {issuer}, has to be the issuer URI of one of the tenant's federated domains"
            ),
        ),
        50_006 | 50_008 | 50_013 | 5_000_819 => (
            Denied,
            format!(
                "{ONLY_AD_FS}; check its signature, its time and its audience (urn:federation:MicrosoftOnline)"
            ),
        ),
        70_003 => (Config, ONLY_AD_FS.to_owned()),
        // Entra wants a secret of applications that are not public.
        7_000_218 => (
            Denied,
            format!(
                "nothing but the assertion proves this client: have public client flows allowed: az ad app update --id {} \
                 --is-fallback-public-client true",
                presented.client_id
            ),
        ),
        _ => return None,
    };
    Some(Known { class, fix })
}

/// Where a person chooses SAML at Entra.
pub(super) const ONLY_AD_FS: &str = "Entra takes SAML assertions only of an AD FS that the tenant is federated with, none of \
     another identity provider and none of its own; elsewhere use an exchange of kind saml-bearer or token-exchange";

fn on_behalf_of(code: u32, presented: &Presented) -> Option<Known> {
    let client_id = &presented.client_id;
    let (class, fix) = match code {
        50_013 | 500_131 => (
            Config,
            format!(
                "the person's token has to be for our application: set assertion_scope to a scope of {client_id}, such as \
                 api://{client_id}/access"
            ),
        ),
        240_002 => (
            Config,
            "the person's token is an id token: set assertion_scope to a scope of our application".to_owned(),
        ),
        7_000_114 => (Denied, format!("have the application {client_id} allowed to act for its users")),
        _ => return None,
    };
    Some(Known { class, fix })
}
