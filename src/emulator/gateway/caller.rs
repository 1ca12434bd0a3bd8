//! Who makes a call, as the log, the limits and the backend name them: ids and names only, never a credential.

use crate::clock;
use serde_json::{Value, json};

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The holder of a subscription key.
    Subscription {
        /// The subscription.
        sid: String,
        /// The product that the call is made in, where the subscription's scope is one.
        product: Option<String>,
        /// Whose it is, where its name says so; see [`marks`].
        whose: Option<String>,
    },
    /// The holder of an access token.
    Token(Subject),
    /// The holder of a client certificate: its thumbprint as .NET writes it.
    Certificate(String),
}

/// Whom a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The application (`appid` in tokens of version 1, `azp` in those of version 2).
    pub(super) app_id: String,
    /// The subject.
    pub(super) sub: String,
    /// The person's name, where the token speaks for one; none in an application's own tokens.
    pub(super) user: Option<String>,
}

/// Reads whom a token speaks for, out of claims that have been validated. `None`: they do not say.
///
/// `idtyp` says `user` or `app` where the token has it. It is an optional claim; without it `scp`, which only delegated
/// tokens carry, tells them apart
/// (<https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>). A person's name is what people
/// read first: `upn` in tokens of version 1, `preferred_username` in those of version 2, else the object id.
pub(super) fn caller(claims: &Value) -> Option<Subject> {
    let text = |name: &str| claims[name].as_str().filter(|text| !text.is_empty());
    let sub = text("sub")?;
    let is_user = text("idtyp").map_or(text("scp").is_some(), |kind| kind == "user");
    let name = || ["upn", "preferred_username", "oid"].into_iter().find_map(text).unwrap_or(sub);
    Some(Subject {
        app_id: text("appid").or_else(|| text("azp"))?.to_owned(),
        sub: sub.to_owned(),
        user: is_user.then(|| name().to_owned()),
    })
}

/// Whose a subscription is, out of a display name as `lease::subscription_key::naming` writes it,
/// `apim-agent WORKSPACE [USER] until DATE`. `None`: somebody else has made it.
pub(super) fn marks(display_name: &str) -> Option<&str> {
    let (whose, until) = display_name.strip_prefix("apim-agent ")?.rsplit_once(" until ")?;
    clock::parse_rfc3339(until).map(|_| whose)
}

impl Caller {
    /// As the log names it: `user NAME`, `workspace SUBJECT`, `certificate THUMBPRINT` or `subscription SID`, to which
    /// the agent's own add `of` and whose they are.
    pub(super) fn log_name(&self) -> String {
        match self {
            Self::Subscription { sid, whose: Some(whose), .. } => format!("subscription {sid} of {whose}"),
            Self::Subscription { sid, whose: None, .. } => format!("subscription {sid}"),
            Self::Token(Subject { user: Some(user), .. }) => format!("user {user}"),
            Self::Token(Subject { sub, .. }) => format!("workspace {sub}"),
            Self::Certificate(thumbprint) => format!("certificate {thumbprint}"),
        }
    }

    /// What its calls are counted by: the name in the log, without what may change between two calls of one caller.
    pub(super) fn counter(&self) -> String {
        match self {
            Self::Subscription { sid, .. } => format!("subscription {sid}"),
            Self::Token(_) | Self::Certificate(_) => self.log_name(),
        }
    }

    /// As the backend is told.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Subscription { sid, product: None, .. } => json!({"kind": "subscription", "name": sid}),
            Self::Subscription { sid, product, .. } => {
                json!({"kind": "subscription", "name": sid, "product": product})
            }
            Self::Token(Subject { app_id, sub, user: None }) => {
                json!({"kind": "token", "name": app_id, "subject": sub})
            }
            Self::Token(Subject { app_id, sub, user }) => {
                json!({"kind": "token", "name": app_id, "subject": sub, "user": user})
            }
            Self::Certificate(thumbprint) => json!({"kind": "certificate", "name": thumbprint}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_workspaces_are_told_apart() {
        let user = |claims: Value| caller(&claims).unwrap().user;
        for (claims, expected) in [
            (json!({"idtyp": "app"}), None),
            (json!({"idtyp": "app", "scp": "Echo.Read", "upn": "jane@acme.example"}), None),
            (json!({"idtyp": "user", "upn": "jane@acme.example", "oid": "o"}), Some("jane@acme.example")),
            (json!({"scp": "Echo.Read", "preferred_username": "jane@x", "oid": "o"}), Some("jane@x")),
            (json!({"idtyp": "user", "upn": "", "oid": "o"}), Some("o")),
            (json!({"idtyp": "user"}), Some("s")),
            (json!({"scp": ""}), None),
            (json!({"roles": ["Echo.Call"]}), None),
        ] {
            let mut claims = claims;
            claims["sub"] = json!("s");
            claims["appid"] = json!("a");
            assert_eq!(user(claims.clone()).as_deref(), expected, "{claims}");
        }
        assert_eq!(caller(&json!({"appid": "a"})), None);
        assert_eq!(caller(&json!({"sub": "s"})), None);
        assert_eq!(caller(&json!({"sub": "s", "azp": "a"})).unwrap().app_id, "a");
    }

    #[test]
    fn the_log_says_who_and_of_which_kind() {
        let subject = |user: Option<&str>| {
            Caller::Token(Subject {
                app_id: "a".to_owned(),
                sub: "s".to_owned(),
                user: user.map(str::to_owned),
            })
        };
        let subscription = |whose: Option<&str>| Caller::Subscription {
            sid: "ws-1".to_owned(),
            product: None,
            whose: whose.map(str::to_owned),
        };
        for (caller, expected) in [
            (subject(Some("jane@acme.example")), "user jane@acme.example"),
            (subject(None), "workspace s"),
            (subscription(Some("ws jane@acme.example")), "subscription ws-1 of ws jane@acme.example"),
            (subscription(None), "subscription ws-1"),
            (Caller::Certificate("AB".to_owned()), "certificate AB"),
        ] {
            assert_eq!(caller.log_name(), expected);
        }
        assert_eq!(subscription(Some("x")).counter(), subscription(None).counter());
        assert_eq!(subject(Some("x")).to_json()["user"], "x");
    }

    #[test]
    fn marks_are_read_as_the_agent_writes_them() {
        let until = clock::from_unix(1_795_528_800);
        let write = crate::lease::subscription_key::naming::display_name;
        assert_eq!(marks(&write("ws-1", Some("ada@x"), until)), Some("ws-1 ada@x"));
        assert_eq!(marks(&write("until until", None, until)), Some("until until"));
        for foreign in
            ["", "apim-agent", "apim-agent x", "apim-agent x until tomorrow", "Starter", "my until x"]
        {
            assert_eq!(marks(foreign), None, "{foreign}");
        }
    }
}
