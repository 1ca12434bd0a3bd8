//! `[entra]`, `[arm]` and `[exchanges.NAME]`.

use super::{
    super::{
        Arm, Client, ClientAuth, DEFAULT, Entra, Exchange, Method, OnBehalfOf, SamlBearer, TokenExchange,
        cloud::Cloud,
        endpoint::{self, Rule},
        forms,
        keys::EXCHANGE_KEYS,
        problem::Problem,
    },
    Check,
    credential::Outline,
    example,
};
use std::collections::BTreeMap;

/// The kinds by name, with the settings that each takes besides `kind`.
const KINDS: &[(&str, &[&str])] = &[
    (
        "entra",
        &[
            "identity",
            "subject_audience",
            "cloud",
            "tenant_id",
            "client_id",
            "authority",
            "arm_url",
            "arm_scope",
        ],
    ),
    (
        "on-behalf-of",
        &[
            "identity",
            "assertion_scope",
            "actor",
            "subject_audience",
            "cloud",
            "tenant_id",
            "client_id",
            "authority",
            "arm_url",
            "arm_scope",
        ],
    ),
    (
        "saml-bearer",
        &["identity", "token_endpoint", "client_id", "client_auth", "certificate_file", "key_file"],
    ),
    (
        "token-exchange",
        &[
            "identity",
            "subject_audience",
            "token_endpoint",
            "revocation_endpoint",
            "subject_token_type",
            "requested_token_type",
            "resource",
            "audience",
            "actor",
            "client_id",
            "client_auth",
            "certificate_file",
            "key_file",
        ],
    ),
];

const AUTHENTICATIONS: &[&str] = &["none", "private-key-jwt", "mtls"];

impl Check<'_> {
    /// All of them, and the cloud of each; the default one only if a credential uses it.
    pub(super) fn exchanges(
        &mut self,
        cloud: Cloud,
        outlines: &[Outline],
    ) -> (BTreeMap<String, Exchange>, BTreeMap<String, Cloud>) {
        let mut exchanges = BTreeMap::new();
        let mut clouds = BTreeMap::from([(DEFAULT.to_owned(), cloud)]);
        let default_is_used = outlines.iter().any(|outline| outline.exchange.as_deref() == Some(DEFAULT));
        if (default_is_used || outlines.is_empty())
            && let Some(entra) = self.default_entra(cloud)
        {
            let exchange = Exchange { identity: DEFAULT.to_owned(), method: Method::Entra(entra) };
            exchanges.insert(DEFAULT.to_owned(), exchange);
        }
        for name in self.names("exchanges") {
            let own = self.or(&format!("exchanges.{name}.cloud"), forms::cloud, cloud);
            if let Some(exchange) = self.exchange(&name, own) {
                exchanges.insert(name.clone(), exchange);
            }
            clouds.insert(name, own);
        }
        (exchanges, clouds)
    }

    fn default_entra(&mut self, cloud: Cloud) -> Option<Entra> {
        // All are looked at before any is missed, so that all are reported.
        let tenant_id =
            self.required("entra.tenant_id", forms::tenant, "it names the directory that issues tokens");
        let client_id = self.required("entra.client_id", forms::guid, "it names the application to act as");
        let authority = self.url("entra.authority", Rule::HttpsHost, cloud.authority());
        let url = self.url("arm.url", Rule::Https, cloud.arm_url());
        let scope = self.or("arm.scope", forms::default_scope, cloud.arm_scope().to_owned());
        let audience = self.subject_audience(DEFAULT, None, cloud.audience());
        Some(Entra {
            tenant_id: tenant_id?,
            client_id: client_id?,
            authority: authority?,
            audience,
            arm: Arm { url: url?, scope },
        })
    }

    fn exchange(&mut self, name: &str, cloud: Cloud) -> Option<Exchange> {
        let table = format!("exchanges.{name}");
        let path = |key: &str| format!("{table}.{key}");
        let names: Vec<_> = KINDS.iter().map(|(name, _)| (*name, *name)).collect();
        let is_known = self
            .layers
            .get(&path("kind"))
            .is_none_or(|entry| names.iter().any(|(name, _)| *name == entry.text));
        let kind = self.or(&path("kind"), |text| forms::one_of(text, &names), "entra");
        if !is_known {
            // Whatever else stands there may be right.
            return None;
        }
        let (_, used) = KINDS.iter().find(|(known, _)| *known == kind)?;
        let used: Vec<&str> = ["kind"].into_iter().chain(used.iter().copied()).collect();
        self.only(&table, EXCHANGE_KEYS, &used, &format!("the exchange kind {kind}"));
        let identity = self.reference(&path("identity"), "identities");
        let method = match kind {
            "saml-bearer" => {
                let endpoint = self.endpoint(&path("token_endpoint"), kind);
                let client = self.client(&table);
                Method::SamlBearer(SamlBearer { endpoint: endpoint?, client: client? })
            }
            "token-exchange" => Method::TokenExchange(Box::new(self.token_exchange(&table, &identity)?)),
            "on-behalf-of" => {
                let entra = self.entra(&table, &identity, cloud);
                let scope = self.required(
                    &path("assertion_scope"),
                    forms::scope,
                    "it names what of our application the person signs in for",
                );
                let actor = self.reference(&path("actor"), "identities");
                Method::OnBehalfOf(Box::new(OnBehalfOf { entra: entra?, actor, assertion_scope: scope? }))
            }
            _ => Method::Entra(self.entra(&table, &identity, cloud)?),
        };
        Some(Exchange { identity, method })
    }

    fn entra(&mut self, table: &str, identity: &str, cloud: Cloud) -> Option<Entra> {
        let path = |key: &str| format!("{table}.{key}");
        let tenant_id =
            self.required(&path("tenant_id"), forms::tenant, "it names the directory that issues tokens");
        let client_id = self.required(&path("client_id"), forms::guid, "it names the application to act as");
        let authority = self.url(&path("authority"), Rule::HttpsHost, cloud.authority());
        let url = self.url(&path("arm_url"), Rule::Https, cloud.arm_url());
        let scope = self.or(&path("arm_scope"), forms::default_scope, cloud.arm_scope().to_owned());
        let audience = self.subject_audience(identity, Some(table), cloud.audience());
        Some(Entra {
            tenant_id: tenant_id?,
            client_id: client_id?,
            authority: authority?,
            audience,
            arm: Arm { url: url?, scope },
        })
    }

    fn token_exchange(&mut self, table: &str, identity: &str) -> Option<TokenExchange> {
        let path = |key: &str| format!("{table}.{key}");
        let endpoint = self.endpoint(&path("token_endpoint"), "token-exchange");
        let revocation = self.optional(&path("revocation_endpoint"), endpoint::read(Rule::Https));
        let actor = self.layers.get(&path("actor")).is_some();
        let client = self.client(table);
        Some(TokenExchange {
            endpoint: without_slash(endpoint?),
            revocation_endpoint: revocation.map(without_slash),
            subject_audience: self.audience_elsewhere(identity, table)?,
            subject_token_type: self.optional(&path("subject_token_type"), forms::audience),
            requested_token_type: self.optional(&path("requested_token_type"), forms::audience),
            resource: self.or(&path("resource"), forms::words, Vec::new()),
            audience: self.or(&path("audience"), forms::words, Vec::new()),
            actor: actor.then(|| self.reference(&path("actor"), "identities")),
            client: client?,
        })
    }

    /// What an identity's token is asked for at Entra: the exchange's own word, the identity's, or what the cloud wants.
    fn subject_audience(&mut self, identity: &str, table: Option<&str>, usual: &str) -> String {
        self.said_audience(identity, table).unwrap_or_else(|| usual.to_owned())
    }

    /// What it is asked for at any other server: nothing that would be good at Entra. Whoever runs that server could else
    /// hand the token in there, and be the workspace's application.
    fn audience_elsewhere(&mut self, identity: &str, table: &str) -> Option<String> {
        let path = format!("{table}.subject_audience");
        let Some(audience) = self.said_audience(identity, Some(table)) else {
            self.missing(&path, "it is the server's own name: a token for another one is not for its eyes");
            return None;
        };
        if Cloud::is_audience(&audience) {
            let origin = self.layers.get(&path).map(|entry| entry.origin.clone());
            self.problems.push(Problem {
                what: format!("{table} would send away a token for Entra ({audience})"),
                allowed:
                    "whoever runs that server could be this workspace's application with it; allowed is an \
                          audience of the server's own"
                        .to_owned(),
                fix: example(origin.as_ref(), &path, "api://broker"),
                key: path,
                origin,
            });
            return None;
        }
        Some(audience)
    }

    /// The exchange's own word, or the identity's.
    fn said_audience(&mut self, identity: &str, table: Option<&str>) -> Option<String> {
        let of_identity = match identity {
            DEFAULT => "identity.audience".to_owned(),
            name => format!("identities.{name}.audience"),
        };
        let own =
            table.and_then(|table| self.optional(&format!("{table}.subject_audience"), forms::audience));
        // Its form is looked at where the identity is.
        let set = self.layers.get(&of_identity).map(|entry| entry.text.clone());
        own.or(set)
    }

    fn endpoint(&mut self, path: &str, kind: &str) -> Option<url::Url> {
        let url = self.required(
            path,
            endpoint::read(Rule::Https),
            &format!("an exchange of kind {kind} sends its requests there"),
        );
        url.map(without_slash)
    }

    fn client(&mut self, table: &str) -> Option<Client> {
        let path = |key: &str| format!("{table}.{key}");
        let id = self.optional(&path("client_id"), forms::audience);
        let names: Vec<_> = AUTHENTICATIONS.iter().map(|name| (*name, *name)).collect();
        let auth = self.or(&path("client_auth"), |text| forms::one_of(text, &names), "none");
        let mut needed = |key: &str| {
            let found = self.path(&path(key));
            if found.is_none() {
                self.missing(&path(key), &format!("{} is \"{auth}\" and needs it", path("client_auth")));
            }
            found
        };
        let auth = match auth {
            "private-key-jwt" => ClientAuth::PrivateKeyJwt { key_file: needed("key_file")? },
            "mtls" => {
                let (certificate_file, key_file) = (needed("certificate_file"), needed("key_file"));
                ClientAuth::Mtls { certificate_file: certificate_file?, key_file: key_file? }
            }
            _ => ClientAuth::None,
        };
        if auth != ClientAuth::None && id.is_none() {
            self.missing(&path("client_id"), "a client that authenticates has a name");
        }
        Some(Client { id, auth })
    }
}

/// An endpoint is a place of its own, nothing goes below it.
fn without_slash(mut url: url::Url) -> url::Url {
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url
}
