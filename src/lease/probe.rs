//! A call through the gateway that shows that a value is accepted.
