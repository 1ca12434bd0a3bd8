//! From acquire to revoke.
