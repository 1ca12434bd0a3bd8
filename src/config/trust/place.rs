//! Which hosts only one operator can have, and what is good at one gateway alone. Pure.
//!
//! Azure's own hosts (`login.microsoftonline.com`, `management.azure.com`) are nobody else's. Names below
//! `azure-api.net` and `vault.azure.net` are not like that: everybody with an Azure subscription can have one.

use super::{
    super::{DEFAULT, cloud::Cloud, forms, layers::Layers},
    table::Operator,
};
use url::Url;

/// Whether `text` is a place that only `operator` can have, and reached as it is meant to be.
pub(super) fn is_of(operator: Operator, text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_at = |base: &str| Url::parse(base).is_ok_and(|base| base.origin() == url.origin());
    match operator {
        Operator::Entra => Cloud::ALL.iter().any(|(_, cloud)| is_at(cloud.authority())),
        Operator::Arm => Cloud::ALL.iter().any(|(_, cloud)| is_at(cloud.arm_url())),
        Operator::Ona => is_at("https://app.gitpod.io"),
        Operator::Imds => is_at("http://169.254.169.254"),
    }
}

/// The host of a URL.
pub(super) fn host(text: &str) -> Option<String> {
    Url::parse(text).ok()?.host_str().map(str::to_owned)
}

/// A vault's host, be it given by name or by URL.
pub(super) fn vault_host(layers: &Layers, credential: &str, text: &str) -> Option<String> {
    let url = forms::vault(cloud(layers, credential).unwrap_or_default())(text).ok()?;
    url.host_str().map(str::to_owned)
}

/// Whether `host` is a vault of Azure's.
pub(super) fn is_vault(host: &str) -> bool {
    Cloud::ALL.iter().any(|(_, cloud)| label_below(host, cloud.vault_suffix()).is_some())
}

/// The credentials that are made for the gateway `name` at `url`, and would be good for whoever gets them there.
///
/// A subscription's key is not among them if the gateway is the one of the service that makes it: services' names are
/// unique in their cloud, so `contoso.azure-api.net` is the gateway of the service `contoso`, and that one takes the
/// key. Tokens are good for whatever takes their audience, and the file says which audience that is.
pub(super) fn valuable_at(layers: &Layers, name: &str, url: &str) -> Vec<String> {
    let setting = |path: String| layers.get(&path).map(|entry| entry.text.as_str());
    let is_for = |credential: &&str| {
        let gateway = setting(format!("credentials.{credential}.gateway")).unwrap_or(DEFAULT);
        // A vault's secret is for no gateway.
        gateway == name && kind(layers, credential) != "vault-secret"
    };
    let service = match name {
        DEFAULT => setting("gateway.service".to_owned()),
        name => setting(format!("gateways.{name}.service")),
    };
    let is_bound = |credential: &str| {
        let own = || {
            let (_, service) = service?.trim_end_matches('/').rsplit_once('/')?;
            let suffix = cloud(layers, credential)?.gateway_suffix();
            let url = Url::parse(url).ok()?;
            let label = label_below(url.host_str()?, suffix)?;
            let is_usual = url.scheme() == "https" && url.port().is_none();
            Some(is_usual && label.eq_ignore_ascii_case(service))
        };
        kind(layers, credential) == "subscription-key" && own() == Some(true)
    };
    let names = layers.entered.of("credentials").map(|(name, _)| name);
    names.filter(is_for).filter(|name| !is_bound(name)).map(str::to_owned).collect()
}

/// A credential's kind by name, `access-token` unless set.
pub(super) fn kind<'l>(layers: &'l Layers, credential: &str) -> &'l str {
    layers.get(&format!("credentials.{credential}.kind")).map_or("access-token", |entry| &entry.text)
}

/// The cloud whose Azure Resource Manager a credential's exchange asks; `None` when it is none of Azure's.
fn cloud(layers: &Layers, credential: &str) -> Option<Cloud> {
    let setting = |path: &str| layers.get(path).map(|entry| entry.text.as_str());
    let exchange = setting(&format!("credentials.{credential}.exchange"));
    let exchange = exchange.filter(|name| *name != DEFAULT);
    let own = |key: &str| exchange.and_then(|name| setting(&format!("exchanges.{name}.{key}")));
    let url = if exchange.is_some() { own("arm_url") } else { setting("arm.url") };
    let of = |is_it: &dyn Fn(&(&str, Cloud)) -> bool| {
        Cloud::ALL.iter().find(|cloud| is_it(cloud)).map(|(_, cloud)| *cloud)
    };
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    match (url, own("cloud").or(setting("cloud"))) {
        (Some(url), _) => of(&|(_, cloud)| origin(cloud.arm_url()) == origin(url)),
        (None, Some(name)) => of(&|(known, _)| *known == name),
        (None, None) => Some(Cloud::default()),
    }
}

/// `contoso` of `contoso.azure-api.net`: exactly one label below `suffix`.
fn label_below<'h>(host: &'h str, suffix: &str) -> Option<&'h str> {
    let label = host.strip_suffix(suffix)?.strip_suffix('.')?;
    (!label.is_empty() && !label.contains('.')).then_some(label)
}
