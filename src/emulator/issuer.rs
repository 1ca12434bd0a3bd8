//! The workspace's issuer.
