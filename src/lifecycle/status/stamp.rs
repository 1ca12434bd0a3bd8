//! Times in JSON: RFC 3339 in UTC with whole seconds.

use crate::clock;
use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::time::SystemTime;

pub(super) fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&clock::rfc3339(*at))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    parse(&String::deserialize(from)?)
}

fn parse<E: Error>(text: &str) -> Result<SystemTime, E> {
    clock::parse_rfc3339(text).ok_or_else(|| E::custom("not an RFC 3339 time"))
}

pub(super) mod optional {
    use super::{Deserialize, Deserializer, Serializer, SystemTime, clock, parse};

    #[allow(clippy::ref_option)] // The signature that serde calls.
    pub(in super::super) fn serialize<S: Serializer>(
        at: &Option<SystemTime>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => to.serialize_str(&clock::rfc3339(*at)),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        Option::<String>::deserialize(from)?.map(|text| parse(&text)).transpose()
    }
}
