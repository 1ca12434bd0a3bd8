//! The agent's unix socket: how `status`, `env`, `exec` and `refresh` talk to it.
//!
//! One request and one reply a connection, each a line of JSON:
//!
//! | request | reply |
//! |---|---|
//! | `{"request":"status"}` | `{"status":{…}}`, see [`Status`] |
//! | `{"request":"ping"}` | `{"ready":true}`: that there is a reply is liveness, and what it says is readiness |
//! | `{"request":"values","wait":true}` | `{"values":{"gateway":…,"generation":3,"expires_at":…,"values":[{"name":…,"value":…}]}}` |
//! | `{"request":"refresh"}` | `{"accepted":true}`, before it is done |
//! | `{"request":"stop"}` | `{"accepted":true}`, before it is done |
//! | anything else, or a failure | `{"error":{"class":…,"what":…,"why":…,"fix":…}}` |
//!
//! With `wait` the reply comes when each credential has had its try and every required one is there, or as the error of a
//! required one that is refused for good. Whoever asked must keep its sending side open: closing it means that nobody
//! waits any more.
//!
//! The socket has mode 0600 in a folder of mode 0700; besides, `SO_PEERCRED` must name our user or root. It is bound and
//! reached through the folder's descriptor, so no path can lead to another one.

mod client;
mod server;

pub use client::{Client, Published};
pub use server::{bind, serve};

use super::status::Status;
use crate::error::{Class, Error};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest request, its line break included.
const LONGEST_REQUEST: usize = 64 * 1024;
/// Longest reply.
const LONGEST_REPLY: usize = 1024 * 1024;
/// A peer that takes longer to send, to take, or to answer without having to wait, is given up.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    Status {},
    Ping {},
    Values {
        #[serde(default)]
        wait: bool,
    },
    Refresh {},
    Stop {},
}

/// What comes back; the server writes `Values` by hand, since no secret may pass through a buffer that is not wiped.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply<'a> {
    Status(Box<Status>),
    Accepted(bool),
    Ready(bool),
    #[serde(borrow, skip_serializing)]
    Values(WireValues<'a>),
    Error(WireError),
}

/// Texts are borrowed from the wiped buffer: values are from an alphabet that needs no escapes in JSON.
#[derive(Deserialize)]
struct WireValues<'a> {
    gateway: &'a str,
    generation: u64,
    expires_at: Option<&'a str>,
    #[serde(borrow)]
    values: Vec<WireValue<'a>>,
}

#[derive(Deserialize)]
struct WireValue<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize, Deserialize)]
struct WireError {
    class: Class,
    what: String,
    why: Option<String>,
    fix: Option<String>,
}

impl From<Error> for WireError {
    fn from(error: Error) -> Self {
        Self { class: error.class, what: error.what, why: error.why, fix: error.fix }
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        let mut told = Self::new(error.class, error.what);
        (told.why, told.fix) = (error.why, error.fix);
        told
    }
}
