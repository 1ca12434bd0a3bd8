//! What the directory knows about people: the one who signs in, and how the application lets them.

use std::time::Duration;

/// How people sign in to the workspace application.
///
/// The registration has the platforms "mobile and desktop" and "web", and "allow public client flows" is on.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The one person in the directory.
    pub user: User,
    /// Life of a device code and its user code.
    pub device_code_life: Duration,
    /// How long a client waits between two polls for a device code's token.
    pub device_code_interval: Duration,
    /// Life of an authorization code.
    pub authorization_code_life: Duration,
    /// How long a refresh token may lie unused.
    pub refresh_token_life: Duration,
    /// Redirect URIs of the desktop platform: loopback, any port (RFC 8252, 7.3), the path as it stands. A client that
    /// comes back there is public: it proves itself by PKCE and by nothing else.
    pub desktop_redirects: Vec<String>,
    /// Redirect URIs of the web platform, compared letter by letter. Who comes back there proves who it is.
    pub web_redirects: Vec<String>,
}

/// A person.
#[derive(Clone, Debug)]
pub struct User {
    /// Display name.
    pub name: String,
    /// User principal name, such as `jane@acme.example`.
    pub upn: String,
    /// Object id (a GUID).
    pub object_id: String,
    /// Whether the person holds the role that the workspace's principal holds.
    pub has_role: bool,
}

impl Default for SignIn {
    fn default() -> Self {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Self {
            user: User {
                name: "Jane Doe".to_owned(),
                upn: "jane@acme.example".to_owned(),
                object_id: "d4e3f2a1-6b5c-4d7e-9f80-1a2b3c4d5e55".to_owned(),
                has_role: true,
            },
            device_code_life: Duration::from_mins(15),
            device_code_interval: Duration::from_secs(5),
            authorization_code_life: Duration::from_mins(10),
            refresh_token_life: Duration::from_hours(90 * 24),
            desktop_redirects: texts(&[
                "http://localhost",
                "http://localhost/callback",
                "http://127.0.0.1",
                "http://127.0.0.1/callback",
            ]),
            web_redirects: texts(&["https://workspace.acme.example/signin"]),
        }
    }
}
