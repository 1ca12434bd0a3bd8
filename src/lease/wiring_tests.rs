//! From a configuration file to lessors: each kind that needs no Azure gets the exchange, the identity and the probe that
//! are written there.

use super::{Lessor, Released, announce::unannounced, lessors};
use crate::{
    clock,
    config::{self, Choice, Config, Env, Inputs},
    exchange::exchanges,
    http::testing::{Reply, Seen, Server},
    identity::{
        select,
        testing::{jwt, lookup, person},
    },
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// A token service at `/sts`, and everything else a gateway that is content.
async fn services() -> Server {
    Server::start(|number, seen| match seen.head.split(' ').nth(1) {
        Some("/sts/token") => {
            let body = json!({
                "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 600,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            });
            Reply::json(200, &body.to_string())
        }
        _ => Reply::json(200, "{}"),
    })
    .await
}

fn configured(server: &Server, credentials: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let url = server.url.as_str().trim_end_matches('/');
    let text = format!(
        "ca_file = {ca:?}\n[gateway]\nurl = \"{url}\"\nprobe = \"/orders\"\n\
         [identity]\nsource = \"env\"\n[identities.ci]\nsource = \"env\"\nvariable = \"TOKEN\"\naudience = \"sts\"\n\
         [exchanges.sts]\nkind = \"token-exchange\"\nidentity = \"ci\"\ntoken_endpoint = \"{url}/sts/token\"\n\
         revocation_endpoint = \"{url}/sts/revoke\"\nresource = [\"https://a.example\"]\n\
         [exchanges.plain]\nkind = \"token-exchange\"\nidentity = \"ci\"\ntoken_endpoint = \"{url}/sts/token\"\n{credentials}",
        ca = server.ca_file(),
    );
    let file = folder.path().join("apim-agent.toml");
    std::fs::write(&file, text).unwrap();
    let inputs = Inputs {
        file: Choice::Usual(Some(&file)),
        env: &Env::default(),
        flags: &[],
        folder: folder.path(),
        host_name: "host",
    };
    config::load(&inputs).unwrap_or_else(|error| panic!("{error}"))
}

fn wired(server: &Server, config: &Config) -> Vec<Arc<dyn Lessor>> {
    let exp = clock::unix(clock::now() + Duration::from_hours(1));
    let token = jwt(&json!({"iss": "i", "sub": "ci", "aud": ["sts", "https://gw.example"], "exp": exp}));
    let lookup = lookup(&[("TOKEN", &token)]);
    let http = server.client();
    let (person, ..) = person();
    let identities = select::sources(config, &http, &lookup, &person);
    let exchanges = exchanges(config, &identities, &http).unwrap();
    lessors(config, &identities, &exchanges, &http, |_| unannounced()).unwrap()
}

/// Method and path of each request.
fn lines(server: &Server) -> Vec<String> {
    let line =
        |seen: Seen| seen.head.rsplit_once(" HTTP/1.1").map_or_else(String::new, |(line, _)| line.to_owned());
    server.seen().into_iter().map(line).collect()
}

#[tokio::test]
async fn what_an_exchange_can_take_back_it_takes_back() {
    for (kind, settings) in [("brokered", "grace = \"2h\"\n"), ("access-token", "scope = \"orders\"\n")] {
        let server = services().await;
        let credential = format!(
            "[credentials.orders]\nkind = \"{kind}\"\nexchange = \"sts\"\nenv = \"ORDERS\"\n{settings}"
        );
        let config = configured(&server, &credential);
        let lessor = &wired(&server, &config)[0];
        assert!(lessor.retires());
        for _ in 0..2 {
            let lease = lessor.issue().await.unwrap();
            lessor.probe(&lease).await.unwrap();
        }
        lessor.retire().await.unwrap();
        assert_eq!(lessor.release().await.unwrap(), Released::Revoked);
        let [ask, probe, revoke] = ["POST /sts/token", "GET /orders", "POST /sts/revoke"];
        assert_eq!(lines(&server), [ask, probe, ask, probe, revoke, revoke], "{kind}");
        let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
        assert!(bodies[0].contains("&resource=https%3A%2F%2Fa.example&"), "{}", bodies[0]);
        assert_eq!(bodies[4], "token=token-0&token_type_hint=access_token");
        assert_eq!(bodies[5], "token=token-2&token_type_hint=access_token");
        assert_eq!(server.accepted(), 1, "one connection serves all of it");
    }
}

#[tokio::test]
async fn what_it_cannot_take_back_expires() {
    for kind in ["brokered", "access-token"] {
        let server = services().await;
        let credential = format!(
            "[credentials.orders]\nkind = \"{kind}\"\nexchange = \"plain\"\nscope = \"orders\"\nenv = \"ORDERS\"\n"
        );
        let lessor = &wired(&server, &configured(&server, &credential))[0];
        assert!(!lessor.retires());
        lessor.issue().await.unwrap();
        lessor.retire().await.unwrap();
        assert_eq!(lessor.release().await.unwrap(), Released::Expires);
        assert_eq!(lines(&server), ["POST /sts/token"]);
    }
}

#[tokio::test]
async fn an_id_token_needs_no_exchange() {
    let server = services().await;
    let credential = "[credentials.me]\nkind = \"id-token\"\nidentity = \"ci\"\naudience = \"https://gw.example\"\nenv = \"ME\"\n";
    let lessor = &wired(&server, &configured(&server, credential))[0];
    let lease = lessor.issue().await.unwrap();
    lessor.probe(&lease).await.unwrap();
    assert_eq!(lessor.release().await.unwrap(), Released::Expires);
    assert_eq!(lines(&server), ["GET /orders"]);
}
