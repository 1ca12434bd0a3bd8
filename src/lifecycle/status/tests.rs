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

fn credentials(names: &[&str]) -> Vec<Reported> {
    let credential = |(index, name): (usize, &&str)| Reported {
        index,
        about: AboutCredential {
            name: (*name).to_owned(),
            kind: config::Kind::SubscriptionKey,
            scope: "/products/p".to_owned(),
            env: name.to_uppercase(),
            required: index == 0,
            call: None,
        },
        variables: Vec::new(),
        identity: None,
        error: None,
    };
    names.iter().enumerate().map(credential).collect()
}

fn about() -> About {
    About {
        workspace: "acme/payments".to_owned(),
        pid: 123,
        env_file: "/run/apim-agent/w/env".to_owned(),
        started_at: at(0),
        private: false,
        confinement: Confinement::default(),
    }
}

fn machine(count: usize) -> Machine {
    let spec = |index| Spec { grace: Duration::from_mins(1), retires: true, required: index == 0 };
    let mut machine = Machine::new((0..count).map(spec), Duration::from_secs(8), 1);
    machine.step(Event::Timer, at(0));
    machine
}

fn report(machine: &Machine) -> Report {
    Report {
        machine: machine.clone(),
        gateway: "https://contoso.azure-api.net".to_owned(),
        credentials: credentials(&["orders", "partner"][..machine.slots().len()]),
        sink_error: None,
        config_error: None,
    }
}

fn bad() -> Event {
    Event::Failed(0, Fault { transient: true, retry_after: Some(Duration::from_secs(7)) })
}

#[test]
fn the_states_of_a_credential_over_its_life() {
    let about = about();
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
    report.credentials[0].error = Some((at(1), error.clone()));
    report.credentials[0].identity = Some(Identity {
        source: "ona".to_owned(),
        actor: crate::identity::Actor::Workspace,
        subject: "org:acme/environment:7".to_owned(),
        issuer: "https://app.gitpod.io".to_owned(),
    });
    report.sink_error = Some((at(2), error));
    Status::new(&about(), &report)
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
    assert_eq!(json["credentials"][0]["identity"]["actor"], "workspace");
    assert_eq!(json["credentials"][1]["identity"], serde_json::Value::Null);
    assert_eq!(
        (&json["credentials"][0]["required"], &json["credentials"][1]["required"]),
        (&true.into(), &false.into())
    );
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
                 expires   in 60 min (2026-11-24T01:00:00Z)\n  \
                 process   no core file, closed to other processes; secrets locked in RAM; all files of yours\n  \
                 ARM throttles, 1 s ago (2026-11-24T00:00:02Z)\n    \
                 why  429\n         TooManyRequests\n    fix  wait\n\n  \
                 orders   ORDERS   subscription-key for /products/p\n    \
                 by ona (workspace) org:acme/environment:7\n    \
                 failing; tried again in 5 s (2026-11-24T00:00:08Z); failed once\n    \
                 ARM throttles, 2 s ago (2026-11-24T00:00:01Z)\n";
    assert!(text.starts_with(start), "{text}");
    assert!(text.ends_with("\n  next: try orders again in 5 s (2026-11-24T00:00:08Z)\n"), "{text}");
}

#[test]
fn what_is_in_files_says_in_which() {
    let mut report = report(&machine(1));
    report.credentials[0].variables = vec!["ORDERS_CRT_FILE".to_owned(), "ORDERS_KEY_FILE".to_owned()];
    let status = Status::new(&about(), &report);
    let text = render(&status, at(1));
    assert!(text.contains("\n    in files: ORDERS_CRT_FILE, ORDERS_KEY_FILE\n"), "{text}");
    report.credentials[0].variables = vec!["ORDERS".to_owned()];
    assert!(!render(&Status::new(&about(), &report), at(1)).contains("in files"));
}

#[test]
fn what_an_older_agent_says_is_understood() {
    let mut json = serde_json::to_value(busy()).expect("JSON");
    let status = json.as_object_mut().expect("an object");
    status.remove("config_error");
    for credential in status["credentials"].as_array_mut().expect("a list") {
        let credential = credential.as_object_mut().expect("an object");
        credential.remove("required");
        credential.remove("identity");
        credential.remove("variables");
    }
    let status: Status = serde_json::from_value(json).expect("reads");
    assert!(status.credentials.iter().all(|credential| credential.required));
}

#[test]
fn without_an_optional_one_it_is_ready_and_says_so() {
    let mut machine = machine(2);
    machine.step(Event::Issued(0, term(0, 3600)), at(0));
    machine.step(Event::Probed(0), at(0));
    machine.step(Event::Failed(1, Fault { transient: false, retry_after: None }), at(1));
    machine.step(Event::Published, at(1));
    let status = Status::new(&about(), &report(&machine));
    assert!(status.ready);
    let text = render(&status, at(2));
    let headline = "acme/payments: ready, generation 1 is published, 1 optional credential is missing\n";
    assert!(text.starts_with(headline), "{text}");
    assert!(text.contains("subscription-key for /products/p, optional\n"), "{text}");

    machine.leave(0, at(3));
    machine.step(Event::Timer, at(3));
    let status = Status::new(&about(), &report(&machine));
    assert_eq!(status.credentials[0].state, State::Releasing);
}

#[test]
fn one_short_line_for_each_state() {
    assert_eq!([true, false].map(|symbols| short(None, at(0), symbols)), ["apim –", "apim off"]);
    let mut machine = machine(2);
    let see = |machine: &Machine| Status::new(&about(), &report(machine));
    let shown = |machine: &Machine| [true, false].map(|symbols| short(Some(&see(machine)), at(3), symbols));
    assert_eq!(shown(&machine), ["apim … 0/2", "apim wait 0/2"]);
    machine.step(Event::Issued(0, term(0, 3600)), at(0));
    machine.step(Event::Probed(0), at(0));
    machine.step(bad(), at(1));
    machine.step(Event::Issued(1, term(0, 3600)), at(1));
    machine.step(Event::Probed(1), at(1));
    machine.step(Event::Published, at(1));
    assert_eq!(shown(&machine), ["apim ✓ 2 · 59m", "apim ok 2 59m"]);
    assert_eq!(short(Some(&busy()), at(3), true), "apim ✗ 1/2");
}
