use super::*;
use crate::{
    clock,
    error::{Class, Error},
    lifecycle::{
        machine::{Event, Fault, Spec},
        schedule::Term,
    },
};
use std::time::Duration;

const NOW: u64 = 1_795_478_400;

fn at(seconds: u64) -> SystemTime {
    clock::from_unix(NOW + seconds)
}

fn term(from: u64, life: u64) -> Term {
    Term { issued_at: at(from), expires_at: at(from + life), refresh_at: None }
}

fn about(names: &[&str]) -> About {
    let credential = |name: &&str| AboutCredential {
        name: (*name).to_owned(),
        kind: config::Kind::SubscriptionKey,
        scope: "/products/p".to_owned(),
        env: name.to_uppercase(),
    };
    About {
        workspace: "acme/payments".to_owned(),
        pid: 123,
        env_file: "/run/apim-agent/w/env".to_owned(),
        gateway: "https://contoso.azure-api.net".to_owned(),
        started_at: at(0),
        private: false,
        credentials: names.iter().map(credential).collect(),
    }
}

fn machine(count: usize) -> Machine {
    let spec = Spec { grace: Duration::from_mins(1), retires: true };
    let mut machine = Machine::new(vec![spec; count], Duration::from_secs(8), 1);
    machine.step(Event::Timer, at(0));
    machine
}

fn report(machine: &Machine) -> Report {
    Report { machine: machine.clone(), errors: vec![None; machine.slots().len()], sink_error: None }
}

fn bad() -> Event {
    Event::Failed(0, Fault { transient: true, retry_after: Some(Duration::from_secs(7)) })
}

#[test]
fn the_states_of_a_credential_over_its_life() {
    let about = about(&["orders"]);
    let mut machine = machine(1);
    let see = |machine: &Machine| Status::new(&about, &report(machine));
    let state = |machine: &Machine| see(machine).credentials[0].state;
    assert_eq!((state(&machine), see(&machine).phase), (State::Acquiring, Stage::Acquiring));
    machine.step(bad(), at(0));
    assert_eq!(state(&machine), State::Failing);
    assert_eq!(see(&machine).next, Some(Next { what: "try orders again".to_owned(), at: at(7) }));
    machine.step(Event::Timer, at(7));
    machine.step(Event::Issued(0, term(7, 100)), at(7));
    machine.step(Event::Probed(0), at(7));
    machine.step(Event::Published, at(7));
    assert!(see(&machine).ready);
    assert_eq!((state(&machine), see(&machine).expires_at), (State::Published, Some(at(107))));
    assert_eq!(see(&machine).next, Some(Next { what: "renew orders".to_owned(), at: at(57) }));

    // The first publication has no predecessor: what ends after the grace is not worth telling.
    machine.step(Event::Timer, at(67));
    machine.step(Event::Retired(0), at(67));
    assert_eq!(state(&machine), State::Renewing);
    machine.step(Event::Issued(0, term(67, 1000)), at(67));
    machine.step(Event::Probed(0), at(68));
    machine.step(Event::Published, at(68));
    assert_eq!(see(&machine).credentials[0].grace_until, Some(at(128)));
    assert_eq!(
        see(&machine).next,
        Some(Next { what: "end the former value of orders".to_owned(), at: at(128) })
    );

    machine.step(Event::Timer, at(128));
    machine.step(Event::Retired(0), at(128));
    machine.step(Event::Timer, at(1066));
    machine.step(bad(), at(1066));
    assert_eq!(state(&machine), State::Failing);
    assert_eq!(see(&machine).credentials[0].expires_at, Some(at(1067)), "still published");
    machine.step(Event::Timer, at(1067));
    machine.step(Event::Published, at(1067));
    let expired = see(&machine);
    assert_eq!(
        (expired.credentials[0].state, expired.expires_at, expired.ready),
        (State::Expired, None, false)
    );

    machine.step(Event::Stop, at(1068));
    assert_eq!((state(&machine), see(&machine).phase), (State::Releasing, Stage::Stopping));
    assert_eq!(see(&machine).next.map(|next| next.at), Some(at(1076)));
    machine.step(bad(), at(1068));
    machine.step(Event::Released(0), at(1069));
    assert_eq!((state(&machine), see(&machine).phase), (State::Released, Stage::Ended));
}

fn busy() -> Status {
    let mut machine = machine(2);
    machine.step(Event::Issued(1, term(0, 3600)), at(0));
    machine.step(Event::Probed(1), at(0));
    machine.step(bad(), at(1));
    machine.step(Event::Published, at(1));
    let error = Error::new(Class::TryAgain, "ARM throttles").why("429\nTooManyRequests").fix("wait");
    let mut report = report(&machine);
    report.errors[0] = Some((at(1), error.clone()));
    report.sink_error = Some((at(2), error));
    Status::new(&about(&["orders", "partner"]), &report)
}

#[test]
fn the_json_is_stable_and_reads_back() {
    let status = busy();
    let json = serde_json::to_value(&status).expect("JSON");
    let again: Status = serde_json::from_value(json.clone()).expect("reads back");
    assert_eq!(serde_json::to_value(again).expect("JSON"), json);
    assert_eq!(json["phase"], "published");
    assert_eq!(json["started_at"], "2026-11-24T00:00:00Z");
    assert_eq!(json["credentials"][0]["state"], "failing");
    assert_eq!(json["credentials"][0]["expires_at"], serde_json::Value::Null);
    assert_eq!(json["credentials"][0]["error"]["what"], "ARM throttles");
    assert_eq!(json["credentials"][1]["kind"], "subscription-key");
    assert_eq!(json["credentials"][1]["expires_at"], "2026-11-24T01:00:00Z");
}

#[test]
fn the_text_is_calm() {
    let text = render(&busy(), at(3));
    let start = "acme/payments: not ready, generation 1 is published\n  \
                 agent     process 123, started 3 s ago (2026-11-24T00:00:00Z)\n  \
                 gateway   https://contoso.azure-api.net\n  \
                 env file  /run/apim-agent/w/env\n  \
                 expires   in 60 min (2026-11-24T01:00:00Z)\n    \
                 ARM throttles (1 s ago (2026-11-24T00:00:02Z))\n      \
                 why  429\n           TooManyRequests\n      fix  wait\n\n  \
                 orders   ORDERS   subscription-key for /products/p\n    \
                 failing; tried again in 5 s (2026-11-24T00:00:08Z); failed once\n    \
                 ARM throttles (2 s ago (2026-11-24T00:00:01Z))\n";
    assert!(text.starts_with(start), "{text}");
    assert!(text.ends_with("\n  next: try orders again in 5 s (2026-11-24T00:00:08Z)\n"), "{text}");
}
