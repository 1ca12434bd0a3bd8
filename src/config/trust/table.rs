//! What each setting can do to you when a stranger has written it. Pure.
//!
//! A setting is harmless by itself when nothing of the workspace's can get to a place that the file chose, nothing runs,
//! and no value of a stranger's choice gets into a program's environment. Each judgement has its reason beside it.

use super::super::{GITLAB_VARIABLE, ID_TOKEN_VARIABLE, keys};

/// Who runs a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    /// Entra's token endpoints of the clouds.
    Entra,
    /// Azure Resource Manager of the clouds.
    Arm,
    /// Ona's API.
    Ona,
    /// The instance metadata service, which is the machine's own host.
    Imds,
}

/// When a setting of a found file is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Always.
    Harmless,
    /// With one of these values.
    Usual(&'static [&'static str]),
    /// At a host that only this operator can have.
    Place(Operator),
    /// When all that is made for this gateway is good for nothing elsewhere.
    Gateway,
    /// A vault: at Azure's domain, and for what no program takes for more than a file's name.
    Vault,
    /// Never.
    Never,
}

/// One setting's judgement.
#[derive(Debug)]
pub(super) struct Row {
    /// The setting, as [`general`] writes it.
    pub(super) key: &'static str,
    /// The judgement.
    pub(super) rule: Rule,
    /// The reason: why it is harmless, or for people what it could be used for.
    pub(super) why: &'static str,
}

const fn row(key: &'static str, rule: Rule, why: &'static str) -> Row {
    Row { key, rule, why }
}

use Operator::{Arm, Entra, Imds, Ona};
use Rule::{Gateway, Harmless, Never, Place, Usual, Vault};

/// Where projected tokens lie in Kubernetes (Azure workload identity).
const PROJECTED: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// Every setting. One that is not here counts as [`Rule::Never`] harmless, and fails a test.
pub(super) const TABLE: &[Row] = &[
    row("workspace", Harmless, "a name; the agents that it can lead to are our own"),
    row("cloud", Harmless, "a set of hosts that are Azure's in each case"),
    row("ca_file", Never, "whoever has its key can pass for every service, and read what is sent there"),
    row("runtime_dir", Harmless, "has to be RAM, and ours alone, wherever it is"),
    row("request_timeout", Harmless, "a time within limits"),
    row("revoke_timeout", Harmless, "a time within limits"),
    // Sources differ in whose token there is, not in where it goes.
    row("identity.source", Harmless, "where tokens go is for other settings to say"),
    row("identity.audience", Harmless, "a token for any audience still goes only to the exchange"),
    row("identity.url", Place(Ona), "the platform's bearer, which is as good as you, is sent there"),
    row(
        "identity.bearer_file",
        Usual(&["/usr/local/gitpod/secrets/token"]),
        "what is in it is sent to the platform's API",
    ),
    row("identity.token_file", Usual(&[PROJECTED]), "what is in it is sent as the workspace's identity"),
    row(
        "identity.variable",
        Usual(&[ID_TOKEN_VARIABLE, GITLAB_VARIABLE]),
        "its value is sent as the workspace's identity",
    ),
    row("identity.command", Never, "it is a program, and runs as you"),
    row("identity.assertion_file", Never, "what is in it is sent as the workspace's identity"),
    row("identity.tenant_id", Harmless, "Entra answers whoever asks, and its tokens come here"),
    row("identity.client_id", Harmless, "Entra answers whoever asks, and its tokens come here"),
    row("identity.authority", Place(Entra), "a person's sign-in is sent there"),
    // Nothing secret is sent, but the answer counts as the workspace's identity.
    row("identity.imds_url", Place(Imds), "whoever listens there says what the machine's identity is"),
    row(
        "entra.tenant_id",
        Harmless,
        "Entra shows no tenant the assertions of others, and its tokens come here",
    ),
    row(
        "entra.client_id",
        Harmless,
        "Entra shows no application the assertions of others, and its tokens come here",
    ),
    row(
        "entra.authority",
        Place(Entra),
        "the workspace's id token is sent there, and can be exchanged by who gets it",
    ),
    row("arm.url", Place(Arm), "an access token for Azure Resource Manager is sent there"),
    row("arm.scope", Harmless, "its token goes to Azure Resource Manager and nowhere else"),
    row("gateway.url", Gateway, "it is sent what is made for it, and published as the place for that"),
    row(
        "gateway.service",
        Harmless,
        "what may be made there is for its roles to say, and the key comes here",
    ),
    row("gateway.probe", Harmless, "one GET without a body at the gateway"),
    row("exchanges.*.kind", Harmless, "where requests go is for other settings to say"),
    row("exchanges.*.identity", Harmless, "where its token goes is for other settings to say"),
    row("exchanges.*.subject_audience", Harmless, "a token for any audience still goes only to the exchange"),
    row("exchanges.*.cloud", Harmless, "a set of hosts that are Azure's in each case"),
    row("exchanges.*.tenant_id", Harmless, "as entra.tenant_id"),
    row("exchanges.*.client_id", Harmless, "a name"),
    row(
        "exchanges.*.authority",
        Place(Entra),
        "the workspace's id token is sent there, and can be exchanged by who gets it",
    ),
    row("exchanges.*.arm_url", Place(Arm), "an access token for Azure Resource Manager is sent there"),
    row("exchanges.*.arm_scope", Harmless, "its token goes to Azure Resource Manager and nowhere else"),
    row("exchanges.*.assertion_scope", Harmless, "its token goes to Entra and nowhere else"),
    row(
        "exchanges.*.token_endpoint",
        Place(Entra),
        "the workspace's identity is sent there, and what it answers becomes a credential",
    ),
    row("exchanges.*.revocation_endpoint", Place(Entra), "what was issued is sent there"),
    row("exchanges.*.subject_token_type", Harmless, "a word for the token endpoint"),
    row("exchanges.*.requested_token_type", Harmless, "a word for the token endpoint"),
    row("exchanges.*.resource", Harmless, "a word for the token endpoint"),
    row("exchanges.*.audience", Harmless, "a word for the token endpoint"),
    row("exchanges.*.actor", Harmless, "where its token goes is for other settings to say"),
    row("exchanges.*.client_auth", Harmless, "the files are for other settings to say"),
    row("exchanges.*.certificate_file", Never, "it is shown to the token endpoint as yours"),
    row("exchanges.*.key_file", Never, "it signs for you at the token endpoint"),
    row("credentials.*.kind", Harmless, "see gateway.url and vault"),
    row("credentials.*.scope", Harmless, "where what it opens goes is for gateway.url to say"),
    row(
        "credentials.*.env",
        Harmless,
        "no variable that programs act on; who chooses its value is judged there",
    ),
    row("credentials.*.required", Harmless, "yes or no"),
    row("credentials.*.lifetime", Harmless, "a time within limits"),
    row("credentials.*.grace", Harmless, "a time within limits"),
    row("credentials.*.probe", Harmless, "one GET without a body at the gateway"),
    row("credentials.*.gateway", Harmless, "chooses among gateways that are judged themselves"),
    row("credentials.*.exchange", Harmless, "chooses among exchanges that are judged themselves"),
    row("credentials.*.identity", Harmless, "chooses among identities that are judged themselves"),
    row("credentials.*.audience", Harmless, "where the token goes is for gateway.url to say"),
    row("credentials.*.vault", Vault, "the vault's token is sent there"),
    row("credentials.*.secret", Harmless, "a name in a vault that is judged itself"),
    row("credentials.*.certificate", Harmless, "a name in a vault that is judged itself"),
    row("credentials.*.version", Harmless, "a version of it"),
];

/// The setting at `path` whatever its entry is called: `identities.ci.url` is `identity.url`, and `credentials.a.env` is
/// `credentials.*.env`.
pub(super) fn general(path: &str) -> String {
    match keys::entry_path(path) {
        Some((section, _, leaf)) => match section.name {
            "identities" => format!("identity.{leaf}"),
            "gateways" => format!("gateway.{leaf}"),
            other => format!("{other}.*.{leaf}"),
        },
        None => path.to_owned(),
    }
}

/// The judgement about the setting at `path`.
pub(super) fn find(path: &str) -> Option<&'static Row> {
    let key = general(path);
    TABLE.iter().find(|row| row.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A new setting has to be judged before it can be used.
    #[test]
    fn every_setting_is_judged_once_and_nothing_else_is() {
        let plain = keys::KEYS.iter().map(|key| key.name.to_owned());
        let of_entries = keys::SECTIONS.iter().flat_map(|section| {
            section.keys.iter().map(|key| general(&format!("{}.x.{}", section.name, key.name)))
        });
        let settings: BTreeSet<String> = plain.chain(of_entries).collect();
        let judged: Vec<String> = TABLE.iter().map(|row| row.key.to_owned()).collect();
        assert_eq!(judged.iter().cloned().collect::<BTreeSet<_>>(), settings);
        assert_eq!(judged.len(), settings.len(), "judged twice");
        assert!(TABLE.iter().all(|row| !row.why.is_empty()), "no judgement without its reason");
    }
}
