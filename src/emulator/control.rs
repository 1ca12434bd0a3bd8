//! The control port: faults, the journal, and what `Ready` says.

use super::{
    Ready,
    faults::{Fault, Faults},
    journal::Journal,
    jwt::SigningKey,
    key_vault::operator,
    wire::{Request, Response, Service},
    world::World,
};
use crate::clock;
use async_trait::async_trait;
use http::Method;
use serde_json::json;
use std::sync::Arc;

/// The service "control".
pub(super) struct Control {
    pub(super) faults: Arc<Faults>,
    pub(super) journal: Arc<Journal>,
    pub(super) ready: Ready,
    pub(super) world: Arc<World>,
    /// Those that sign access tokens.
    pub(super) entra_keys: Arc<SigningKey>,
    /// What a script may name: the services, and all their operations.
    pub(super) operations: Vec<&'static str>,
}

#[async_trait]
impl Service for Control {
    fn name(&self) -> &'static str {
        "control"
    }

    fn operation(&self, request: &Request) -> Option<&'static str> {
        Some(match (&request.method, request.path.as_str()) {
            (&Method::GET, "/_emulator/ready") => "Control_Ready",
            (&Method::GET, "/_emulator/journal") => "Control_Journal",
            (&Method::GET, "/_emulator/faults") => "Control_Faults",
            (&Method::POST, "/_emulator/faults") => "Control_AddFaults",
            (&Method::DELETE, "/_emulator/faults") => "Control_ClearFaults",
            (&Method::POST, "/_emulator/release") => "Control_Release",
            (&Method::GET, "/_emulator/operator-token") => "Control_OperatorToken",
            _ => return None,
        })
    }

    /// None: the control port is not spoilt.
    fn operations(&self) -> Vec<&'static str> {
        Vec::new()
    }

    async fn answer(&self, operation: &'static str, request: &Request) -> Response {
        match operation {
            "Control_Ready" => Response::json(200, &json!(self.ready)),
            "Control_Journal" => Response::json(200, &json!(self.journal.rows())),
            "Control_Faults" => Response::json(200, &json!(self.faults.remaining())),
            "Control_AddFaults" => self.add(&request.body),
            "Control_OperatorToken" => self.operator_token(),
            "Control_ClearFaults" => {
                self.faults.clear();
                Response::new(204, "")
            }
            _ => Response::json(200, &json!({"released": self.faults.release()})),
        }
    }
}

impl Control {
    /// A token with which a test rotates what is in the vault, whatever the workspace may do there.
    fn operator_token(&self) -> Response {
        match operator::token(&self.world, &self.entra_keys, clock::now()) {
            Ok(token) => Response::json(200, &json!({"token_type": "Bearer", "access_token": token})),
            Err(error) => {
                let message = error.to_string();
                Response::json(500, &json!({"error": {"code": "InternalServerError", "message": message}}))
            }
        }
    }

    /// One script, or a list of them; of a list in which one cannot work, none is taken.
    fn add(&self, body: &[u8]) -> Response {
        let list = if body.trim_ascii_start().starts_with(b"[") {
            serde_json::from_slice::<Vec<Fault>>(body)
        } else {
            serde_json::from_slice::<Fault>(body).map(|fault| vec![fault])
        };
        let refuse = |message: String| {
            Response::json(400, &json!({"error": {"code": "InvalidFault", "message": message}}))
        };
        match list {
            Ok(list) => {
                if let Some(why) = list.iter().find_map(|fault| fault.check(&self.operations).err()) {
                    return refuse(why);
                }
                for fault in list {
                    self.faults.add(fault);
                }
                Response::new(204, "")
            }
            Err(error) => refuse(format!(
                "{error}. A script is {{\"operation\": NAME, \"times\": N, \"after\": BOOL, \"action\": A}}; A is \"hang\", \
                     \"reset\", \"truncate\", \"garbage\", \"drip\", \"hold\", {{\"delay_ms\": N}} or {{\"status\": N, \
                     \"headers\": {{}}, \"body\": TEXT}}."
            )),
        }
    }
}
