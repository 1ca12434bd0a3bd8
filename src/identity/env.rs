//! Source `env`.
