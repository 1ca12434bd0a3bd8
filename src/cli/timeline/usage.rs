//! The lines that use the published set in another shell. Pure.

use crate::{
    config::Kind,
    lifecycle::status::{AboutCredential, Call},
};
use std::{fmt::Write as _, path::Path};

/// How to read the env file, and for each credential with a probe the call that shows that it works; `credentials` come
/// with the variables that they are published as.
pub(super) fn lines<'a>(
    env_file: &str,
    credentials: impl Iterator<Item = (&'a AboutCredential, Vec<String>)>,
    ca_file: Option<&Path>,
    detached: bool,
) -> String {
    let mut text = format!("\nIn another shell:\n  . {}\n", quoted(env_file));
    let ca =
        ca_file.map_or(String::new(), |file| format!("--cacert {} ", quoted(&file.display().to_string())));
    for line in credentials.filter_map(|(about, variables)| line(about, &variables, &ca)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {line}");
    }
    if !detached {
        text.push_str("\nCtrl-C wipes the file and revokes what can be revoked.");
    }
    text
}

/// One call. `None` where there is nothing to show: no probe, no value, or one that is no business of the gateway's.
fn line(about: &AboutCredential, variables: &[String], ca: &str) -> Option<String> {
    let Call { gateway, path } = about.call.as_ref()?;
    let url = match quoted(path) {
        plain if plain == *path => format!("\"${gateway}{path}\""),
        quoted => format!("\"${gateway}\"{quoted}"),
    };
    let header = match (about.kind, variables) {
        (Kind::SubscriptionKey | Kind::Brokered, _) => "Ocp-Apim-Subscription-Key: ",
        (Kind::AccessToken | Kind::IdToken, _) => "Authorization: Bearer ",
        (Kind::VaultCertificate, [certificate, key]) => {
            return Some(format!("curl {ca}--cert \"${certificate}\" --key \"${key}\" {url}"));
        }
        (Kind::VaultCertificate | Kind::VaultSecret, _) => return None,
    };
    let [variable] = variables else { return None };
    let value = if *variable == about.env {
        format!("\"${variable}\"")
    } else {
        format!("\"$(cat \"${variable}\")\"")
    };
    // Through a pipe: every user of the machine can read the arguments of a process, and `printf` is none.
    Some(format!("printf '{header}%s' {value} | curl {ca}-H @- {url}"))
}

/// As a POSIX shell reads it back: bare where that is safe.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(kind: Kind, gateway: &str, path: &str) -> AboutCredential {
        AboutCredential {
            name: "orders".to_owned(),
            kind,
            scope: "s".to_owned(),
            env: "ORDERS".to_owned(),
            required: true,
            call: Some(Call { gateway: gateway.to_owned(), path: path.to_owned() }),
        }
    }

    fn shown(about: &AboutCredential, variables: &[&str]) -> Option<String> {
        let variables: Vec<_> = variables.iter().map(|&name| name.to_owned()).collect();
        line(about, &variables, "--cacert /ca.pem ")
    }

    #[test]
    fn each_is_called_where_it_is_tried() {
        let key = about(Kind::SubscriptionKey, "APIM_GATEWAY_URL_PARTNER", "/partner/health?a=b&c");
        assert_eq!(
            shown(&key, &["ORDERS"]).expect("a line"),
            "printf 'Ocp-Apim-Subscription-Key: %s' \"$ORDERS\" | \
             curl --cacert /ca.pem -H @- \"$APIM_GATEWAY_URL_PARTNER\"'/partner/health?a=b&c'"
        );
        assert_eq!(shown(&AboutCredential { call: None, ..key }, &["ORDERS"]), None);
    }

    #[test]
    fn a_value_in_a_file_is_read_from_it() {
        let token = about(Kind::AccessToken, "APIM_GATEWAY_URL", "/echo");
        assert_eq!(
            shown(&token, &["ORDERS_FILE"]).expect("a line"),
            "printf 'Authorization: Bearer %s' \"$(cat \"$ORDERS_FILE\")\" | \
             curl --cacert /ca.pem -H @- \"$APIM_GATEWAY_URL/echo\""
        );
        let certificate = about(Kind::VaultCertificate, "APIM_GATEWAY_URL", "/partner");
        assert_eq!(
            shown(&certificate, &["ORDERS_CRT_FILE", "ORDERS_KEY_FILE"]).expect("a line"),
            "curl --cacert /ca.pem --cert \"$ORDERS_CRT_FILE\" --key \"$ORDERS_KEY_FILE\" \"$APIM_GATEWAY_URL/partner\""
        );
    }

    #[test]
    fn what_is_missing_or_no_business_of_the_gateway_is_not_called() {
        assert_eq!(shown(&about(Kind::IdToken, "APIM_GATEWAY_URL", "/echo"), &[]), None);
        assert_eq!(shown(&about(Kind::VaultSecret, "APIM_GATEWAY_URL", "/echo"), &["ORDERS"]), None);
    }
}
