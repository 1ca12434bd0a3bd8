//! What an id token says of us.

use std::time::SystemTime;

/// The claims that the agent shows and names things by.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Subject.
    pub sub: String,
    /// Audiences; a single one counts as a list of one.
    pub aud: Vec<String>,
    /// When it expires.
    pub exp: SystemTime,
    /// The workspace's id, where the issuer says it (`environment_id`, `workspace_id`).
    pub workspace: Option<String>,
    /// The person, where the issuer says it (`creator_email`, `email`).
    pub user: Option<String>,
}
