//! Short-lived, scoped Azure API Management credentials for cloud workspaces.
//!
//! The modules stand in the order in which data flows:
//!
//! | module | takes | gives |
//! |---|---|---|
//! | [`cli`] | argv | what to do, as plain data |
//! | [`config`] | file, environment, flags | a validated [`config::Config`] |
//! | [`identity`] | the workspace | an [`identity::IdToken`] |
//! | [`exchange`] | an id token | an [`exchange::AccessToken`] |
//! | [`lease`] | an access token | a [`lease::Lease`]: one credential's value and its expiry |
//! | [`sink`] | leases | an env file in RAM |
//! | [`lifecycle`] | events and the time | what to do next, until all is wiped and released |
//! | [`run`] | all of the above | the flow, wired |
//! | [`gateway`] | an APIM service's subscriptions | without those of dead workspaces: the platform team's side |
//! | [`emulator`] | nothing | the Azure parts, on loopback |
//!
//! [`error`], [`secret`], [`clock`] and [`http`] serve all of them; [`sys`] is the only place with `unsafe`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod emulator;
pub mod error;
pub mod exchange;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod lease;
pub mod lifecycle;
pub mod run;
pub mod secret;
pub mod sink;
pub mod sys;
