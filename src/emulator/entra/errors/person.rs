//! Refusals of the grants in which a person takes part: device code, authorization code, refresh, on-behalf-of, SAML.
//!
//! Where Entra documents an OAuth error without a number of its own, the number is that of its nearest relative, and
//! the comment says so.

use super::{Refusal, ticks};
use std::time::SystemTime;

impl Refusal {
    // Clients.

    /// A confidential client proved nothing.
    pub(in super::super) fn no_client_credential() -> Self {
        let text =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        Self::new(401, "invalid_client", 7_000_218, text)
    }

    /// What came back to a desktop redirect is redeemed by a public client, which has no credential.
    pub(in super::super) fn client_is_public() -> Self {
        let text = "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.";
        Self::new(401, "invalid_client", 700_025, text)
    }

    // Scopes.

    pub(in super::super) fn unknown_permission(client: &str, permission: &str, resource: &str) -> Self {
        let text = format!(
            "The application '{client}' asked for scope '{permission}' that doesn't exist on the resource '{resource}'. \
             Contact the app vendor."
        );
        Self::new(400, "invalid_client", 650_053, text)
    }

    pub(in super::super) fn several_resources(scope: &str) -> Self {
        let text = format!(
            "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope \
             {scope} is not valid."
        );
        Self::new(400, "invalid_request", 28_000, text)
    }

    pub(in super::super) fn mixed_default(scope: &str) -> Self {
        let mut refusal = Self::several_scopes(scope);
        refusal.text.push_str(" .default scope can't be combined with resource-specific scopes.");
        refusal
    }

    pub(in super::super) fn not_consented() -> Self {
        let text = "The request was denied because one or more scopes requested are unauthorized or expired. The user \
                    must first sign in and grant the client application access to the requested scope.";
        Self::new(400, "invalid_grant", 70_000, text)
    }

    // Device code.

    pub(in super::super) fn authorization_pending() -> Self {
        let text = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
        Self::new(400, "authorization_pending", 70_016, text)
    }

    /// Entra documents no `slow_down`; RFC 8628, 3.5 does, as a variant of pending, whose number it has here.
    pub(in super::super) fn slow_down() -> Self {
        let text = "OAuth 2.0 device flow error. Authorization is pending. Polling is too frequent: add 5 seconds to the \
                    interval.";
        Self::new(400, "slow_down", 70_016, text)
    }

    pub(in super::super) fn device_code_expired() -> Self {
        let text = "The provided value for the input parameter 'device_code' is not valid. This device code has expired.";
        Self::new(400, "expired_token", 70_020, text)
    }

    /// The number is that of a user code that is wrong.
    pub(in super::super) fn bad_device_code() -> Self {
        let text = "The provided value for the input parameter 'device_code' is not valid. It is not known, or was redeemed.";
        Self::new(400, "bad_verification_code", 70_018, text)
    }

    /// The number is that of a consent that was declined.
    pub(in super::super) fn authorization_declined() -> Self {
        Self::new(
            400,
            "authorization_declined",
            65_004,
            "The end user has declined the authorization request.",
        )
    }

    pub(in super::super) fn bad_user_code() -> Self {
        let text = "Invalid verification code due to User typing in wrong user code for device code flow. Authorization \
                    is not approved.";
        Self::new(400, "invalid_request", 70_018, text)
    }

    pub(in super::super) fn user_code_expired() -> Self {
        Self::new(
            400,
            "invalid_request",
            70_019,
            "Verification code expired. Have the user retry the sign-in.",
        )
    }

    // The authorization endpoint.

    pub(in super::super) fn redirect_uri(uri: &str, client: &str) -> Self {
        let text = format!(
            "The redirect URI '{uri}' specified in the request does not match the redirect URIs configured for the \
             application '{client}'. Make sure the redirect URI sent in the request matches one added to your application \
             in the Azure portal. Navigate to https://aka.ms/redirectUriMismatchError to learn more about how to fix this."
        );
        Self::new(400, "invalid_request", 50_011, text)
    }

    pub(in super::super) fn response_type(response_type: &str) -> Self {
        let text = format!("response_type '{response_type}' is not enabled for the application.");
        Self::new(400, "unsupported_response_type", 700_054, text)
    }

    pub(in super::super) fn response_mode(mode: &str) -> Self {
        let text = format!("'{mode}' is not a supported value of 'response_mode' when requesting a token.");
        Self::new(400, "invalid_request", 70_007, text)
    }

    pub(in super::super) fn prompt() -> Self {
        Self::new(400, "invalid_request", 90_023, "Unsupported 'prompt' value.")
    }

    pub(in super::super) fn code_challenge_size() -> Self {
        Self::new(400, "invalid_request", 501_491, "Invalid size of Code_Challenge parameter.")
    }

    pub(in super::super) fn malformed_request() -> Self {
        Self::new(400, "invalid_request", 9_002_313, "Invalid request. Request is malformed or invalid.")
    }

    pub(in super::super) fn login_required() -> Self {
        let text = "A silent sign-in request was sent but no user is signed in.";
        Self::new(400, "login_required", 50_058, text)
    }

    pub(in super::super) fn no_such_user(upn: &str, tenant: &str) -> Self {
        let text = format!(
            "The user account {upn} does not exist in the {tenant} directory. To sign into this application, the account \
             must be added to the directory."
        );
        Self::new(400, "invalid_request", 50_034, text)
    }

    pub(in super::super) fn consent_declined() -> Self {
        Self::new(400, "access_denied", 65_004, "User declined to consent to access the app.")
    }

    /// The page's form was sent twice, or too late.
    pub(in super::super) fn stale_page() -> Self {
        Self::new(
            400,
            "invalid_request",
            165_000,
            "Invalid Request: The request tokens do not match the user context.",
        )
    }

    // Redeeming codes and refresh tokens.

    /// A code or a refresh token that Entra did not issue.
    pub(in super::super) fn malformed_grant() -> Self {
        Self { error: "invalid_grant", ..Self::malformed_request() }
    }

    pub(in super::super) fn code_expired() -> Self {
        let text = "The provided authorization code or refresh token has expired due to inactivity. Send a new \
                    interactive authorization request for this user and resource.";
        Self::new(400, "invalid_grant", 70_008, text)
    }

    pub(in super::super) fn code_redeemed() -> Self {
        let text = "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing \
                    refresh token.";
        Self::new(400, "invalid_grant", 54_005, text)
    }

    pub(in super::super) fn code_verifier() -> Self {
        let text =
            "The Code_Verifier does not match the code_challenge supplied in the authorization request.";
        Self::new(400, "invalid_grant", 501_481, text)
    }

    pub(in super::super) fn reply_address(given: &str, first: &str) -> Self {
        let text = format!(
            "The reply address '{given}' does not match the reply address '{first}' provided when requesting \
             Authorization code."
        );
        Self::new(400, "invalid_client", 500_112, text)
    }

    pub(in super::super) fn refresh_expired(issued: SystemTime, idle_days: u64) -> Self {
        let text = format!(
            "The refresh token has expired due to inactivity. The token was issued on {} and was inactive for \
             {idle_days}.00:00:00.",
            ticks(issued)
        );
        Self::new(400, "invalid_grant", 700_082, text)
    }

    // On-behalf-of.

    pub(in super::super) fn obo_signature(reason: &str) -> Self {
        let text = format!("Assertion failed signature validation. [Reason - {reason}]");
        Self::new(400, "invalid_grant", 50_013, text)
    }

    pub(in super::super) fn obo_time(now: SystemTime, until: SystemTime) -> Self {
        let text = format!(
            "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for \
             user assertion, or request a new token. Current time: {}, expiry time of assertion {}.",
            ticks(now),
            ticks(until)
        );
        Self::new(400, "invalid_grant", 500_133, text)
    }

    pub(in super::super) fn obo_audience(audience: &str, client: &str) -> Self {
        let text = format!(
            "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion was \
             '{audience}' and the expected audience is '{client}' or one of the Application Uris of this application with \
             App ID '{client}'. The downstream client must request a token for the expected audience (the application that \
             made the OBO request) and this application should use that token as the assertion."
        );
        Self::new(400, "invalid_grant", 500_131, text)
    }

    pub(in super::super) fn obo_of_application(client: &str) -> Self {
        let text = format!("Application '{client}' is not allowed to make application on-behalf-of calls.");
        Self::new(400, "invalid_grant", 7_000_114, text)
    }

    pub(in super::super) fn obo_of_id_token() -> Self {
        let text = "Input id_token cannot be used as 'urn:ietf:params:oauth:grant-type:jwt-bearer' grant.";
        Self::new(400, "invalid_request", 240_002, text)
    }

    // SAML.

    pub(in super::super) fn saml_unreadable(why: &str) -> Self {
        Self::new(400, "invalid_request", 50_008, format!("SAML token is invalid. {why}"))
    }

    /// All issuers but the federated AD FS get this, Entra itself included.
    pub(in super::super) fn saml_realm(issuer: &str) -> Self {
        let text = format!("The requested federation realm object '{issuer}' does not exist.");
        Self::new(400, "invalid_request", 50_107, text)
    }

    pub(in super::super) fn saml_key() -> Self {
        let text = "Unable to verify token signature. The signing key identifier does not match any valid registered keys.";
        Self::new(400, "invalid_grant", 500_081, text)
    }

    pub(in super::super) fn saml_signature() -> Self {
        Self::new(
            400,
            "invalid_grant",
            50_006,
            "Signature verification failed because of an invalid signature.",
        )
    }

    pub(in super::super) fn saml_condition(why: &str) -> Self {
        Self::new(400, "invalid_grant", 500_089, format!("SAML 2.0 assertion validation failed: {why}"))
    }

    pub(in super::super) fn saml_user(upn: &str, tenant: &str) -> Self {
        let text = format!(
            "The user account {upn} does not exist in the {tenant} directory. To sign into this application, the account \
             must be added to the directory."
        );
        Self::new(400, "invalid_grant", 51_004, text)
    }
}
