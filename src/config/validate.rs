//! Checks, each with the key, the place, what is allowed and an example.
