//! The Azure parts, on loopback: strict, journalled, in memory only.

pub mod arm;
pub mod entra;
pub mod gateway;
pub mod issuer;
pub mod jwt;
pub mod wire;
pub mod world;
