//! Scripted faults: which requests go wrong, and how.

use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::sync::watch;

/// One script: the next `times` requests that match go wrong.
///
/// `{"operation": "Entra_Token", "times": 2, "action": {"status": 429, "headers": {"Retry-After": "1"}}}`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// An operation's name, a service's name, or `*` for all but the control port.
    pub operation: String,
    /// How many requests it takes.
    #[serde(default = "once")]
    pub times: u32,
    /// Whether the real work is done first, and only its answer lost. `truncate` and `drip` need an answer and
    /// always do; `delay_ms` and `hold` do the work in the end anyway.
    #[serde(default)]
    pub after: bool,
    /// What happens.
    pub action: Action,
}

impl Fault {
    /// Checks that the script can do what it says. `operations`: what it may name besides `*`. Error: a sentence.
    pub fn check(&self, operations: &[&str]) -> Result<(), String> {
        let Self { operation, times, action, .. } = self;
        if operation != "*" && !operations.contains(&operation.as_str()) {
            return Err(format!(
                "There is no operation {operation:?}. It may be one of *, {}.",
                operations.join(", ")
            ));
        }
        if *times == 0 {
            return Err("\"times\" must be at least 1.".to_owned());
        }
        match action {
            Action::Status(status) => status.check(),
            Action::Simple(_) | Action::Delay(_) => Ok(()),
        }
    }
}

impl Status {
    fn check(&self) -> Result<(), String> {
        if !(200..=599).contains(&self.status) {
            return Err(format!("The status {} is not one of 200 to 599.", self.status));
        }
        for (name, value) in &self.headers {
            let Ok(known) = HeaderName::try_from(name) else {
                return Err(format!("{name:?} cannot be the name of a header."));
            };
            if HeaderValue::try_from(value).is_err() {
                return Err(format!(
                    "The value of the header {name:?} has characters that a header cannot have."
                ));
            }
            if known == CONTENT_LENGTH || known == TRANSFER_ENCODING {
                return Err(format!(
                    "The header {name:?} follows from the body; \"truncate\" is for a wrong one."
                ));
            }
        }
        Ok(())
    }
}

fn once() -> u32 {
    1
}

/// What happens to a request.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Action {
    /// One of those without a parameter.
    Simple(Simple),
    /// Another answer.
    Status(Status),
    /// The real answer, later.
    Delay(Delay),
}

/// Actions without a parameter.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Simple {
    /// No answer, ever; the connection stays open.
    Hang,
    /// The connection is reset (RST).
    Reset,
    /// Status, headers and half of the body; then the connection ends. An answer that cannot have a body (to HEAD, 204)
    /// is not sent at all: the connection is reset.
    Truncate,
    /// A 200 whose body is bytes without sense.
    Garbage,
    /// The answer's body a byte at a time, ten in a second.
    Drip,
    /// The request waits for `POST /_emulator/release`.
    Hold,
}

/// Another answer than the real one.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body, as text.
    #[serde(default)]
    pub body: String,
}

/// The real answer, later.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// Milliseconds.
    pub delay_ms: u64,
}

impl Action {
    /// Its name in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Simple(Simple::Hang) => "hang",
            Self::Simple(Simple::Reset) => "reset",
            Self::Simple(Simple::Truncate) => "truncate",
            Self::Simple(Simple::Garbage) => "garbage",
            Self::Simple(Simple::Drip) => "drip",
            Self::Simple(Simple::Hold) => "hold",
            Self::Status(_) => "status",
            Self::Delay(_) => "delay",
        }
    }
}

/// The scripts that are left, and the requests on hold.
pub struct Faults {
    scripts: Mutex<Vec<Fault>>,
    releases: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { scripts: Mutex::default(), releases: watch::Sender::new(0) }
    }
}

impl Faults {
    /// Adds a script behind the others.
    pub fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Forgets all scripts. Requests on hold stay there.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// What is left.
    pub fn remaining(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// The fault for the next request of that operation, from the first script that matches; uses it up by one.
    pub fn take(&self, service: &str, operation: Option<&str>) -> Option<Fault> {
        let mut scripts = self.lock();
        scripts.retain(|fault| fault.times > 0);
        let fault = scripts.iter_mut().find(|fault| {
            fault.operation == "*"
                || fault.operation == service
                || Some(fault.operation.as_str()) == operation
        })?;
        fault.times -= 1;
        let taken = fault.clone();
        scripts.retain(|fault| fault.times > 0);
        Some(taken)
    }

    /// Lets all requests go that are on hold now; returns how many there were.
    pub fn release(&self) -> usize {
        let held = self.releases.receiver_count();
        self.releases.send_modify(|count| *count += 1);
        held
    }

    /// Waits for the next [`Faults::release`].
    pub async fn hold(&self) {
        // It fails only when the sender is gone, and that is a field of ours.
        let _ = self.releases.subscribe().changed().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault(value: serde_json::Value) -> Result<Fault, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn scripts_are_used_in_order_and_up() {
        let faults = Faults::default();
        faults.add(fault(json!({"operation": "Entra_Token", "times": 2, "action": "hang"})).unwrap());
        faults.add(fault(json!({"operation": "entra", "action": {"delay_ms": 5}})).unwrap());
        faults.add(fault(json!({"operation": "*", "action": {"status": 500}})).unwrap());
        let name = |operation| faults.take("entra", Some(operation)).map(|fault| fault.action.name());
        assert_eq!(name("Entra_Token"), Some("hang"));
        assert_eq!(name("Entra_Keys"), Some("delay"));
        assert_eq!(name("Entra_Token"), Some("hang"));
        assert_eq!(faults.remaining().len(), 1);
        assert_eq!(name("Entra_Token"), Some("status"));
        assert_eq!(name("Entra_Token"), None);
    }

    #[test]
    fn a_script_with_a_slip_is_refused() {
        for slip in [
            json!({"operation": "*", "action": "hangs"}),
            json!({"operation": "*", "action": {"status": 200, "delay_ms": 3}}),
            json!({"operation": "*", "action": "hang", "time": 3}),
            json!({"action": "hang"}),
        ] {
            assert!(fault(slip.clone()).is_err(), "{slip}");
        }
    }

    #[test]
    fn a_script_that_cannot_work_is_refused_with_the_reason() {
        let check = |value| fault(value).unwrap().check(&["entra", "Entra_Token"]);
        let status = |status: u16, headers| {
            check(json!({"operation": "*", "action": {"status": status, "headers": headers}}))
        };
        for good in ["*", "entra", "Entra_Token"] {
            assert_eq!(check(json!({"operation": good, "action": "hang"})), Ok(()));
        }
        assert_eq!(status(200, json!({})), Ok(()));
        assert_eq!(status(599, json!({"Retry-After": "1"})), Ok(()));
        for (refused, word) in [
            (check(json!({"operation": "Entra_token", "action": "hang"})), "Entra_Token"),
            (check(json!({"operation": "*", "times": 0, "action": "hang"})), "times"),
            (status(199, json!({})), "199"),
            (status(600, json!({})), "600"),
            (status(200, json!({"a b": "c"})), "a b"),
            (status(200, json!({"a": "b\nc"})), "value"),
            (status(200, json!({"Content-Length": "1"})), "truncate"),
        ] {
            assert!(refused.as_ref().is_err_and(|why| why.contains(word)), "{refused:?}");
        }
    }
}
