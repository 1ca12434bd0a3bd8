//! Whether the vault lets a value be used, and for how long it is published: pure.
//!
//! The vault itself hands out secrets before and after their time
//! (<https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#date-time-controlled-operations>): the dates are
//! its owner's word to whoever uses them, so we keep to them.

use super::Object;
use crate::{
    clock,
    error::{Class, Error, Result},
};
use std::time::{Duration, SystemTime};

/// A value whose time begins within this is waited for: clocks differ.
const SOON: Duration = Duration::from_mins(5);

/// When a value may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Whether it may be used at all.
    pub enabled: bool,
    /// Not before this.
    pub not_before: Option<SystemTime>,
    /// Not after this.
    pub expires: Option<SystemTime>,
}

/// A vault that says nothing forbids nothing.
impl Default for Attributes {
    fn default() -> Self {
        Self { enabled: true, not_before: None, expires: None }
    }
}

/// For how long a value is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// After this it must not be published.
    pub expires_at: SystemTime,
    /// When the vault is asked for a newer version.
    pub refresh_at: SystemTime,
}

/// A value that the vault confirmed at `now` is published for `lifetime`, but not after any of the `ends`. It is looked
/// for a newer version after a quarter of that: so a new version takes at most that long to arrive, and three more
/// questions may fail before a value is taken away for want of an answer.
pub fn life(now: SystemTime, lifetime: Duration, ends: impl IntoIterator<Item = SystemTime>) -> Life {
    let expires_at = ends.into_iter().fold(now + lifetime, SystemTime::min);
    let whole = expires_at.duration_since(now).unwrap_or_default();
    Life { expires_at, refresh_at: now + whole / 4 }
}

/// Refuses what its owner does not want used now. `called` is as in `the secret NAME`.
///
/// Errors: `Denied` for what somebody has to change; `TryAgain` for what begins in a moment.
pub fn usable(called: &str, object: Object, attributes: &Attributes, now: SystemTime) -> Result<()> {
    let Attributes { enabled, not_before, expires } = *attributes;
    if !enabled {
        return Err(Error::new(Class::Denied, format!("{called} is disabled"))
            .why("the vault's attributes say so")
            .fix(format!(
                "enable it: az keyvault {object} set-attributes --enabled true …, or name another version"
            )));
    }
    begun(called, not_before, now)?;
    if let Some(expires) = expires.filter(|expires| *expires <= now) {
        return Err(Error::new(Class::Denied, format!("{called} has expired"))
            .why(format!("it was good until {}", clock::rfc3339(expires)))
            .fix(format!("put a new version into the vault, or move the date: az keyvault {object} set-attributes --expires …")));
    }
    Ok(())
}

/// Refuses what is not good yet.
pub fn begun(called: &str, not_before: Option<SystemTime>, now: SystemTime) -> Result<()> {
    let Some(begin) = not_before.filter(|begin| *begin > now) else { return Ok(()) };
    let wait = begin.duration_since(now).unwrap_or_default();
    let class = if wait <= SOON { Class::TryAgain } else { Class::Denied };
    Err(Error::new(class, format!("{called} is not valid yet"))
        .why(format!("it is good from {} on", clock::rfc3339(begin)))
        .fix("wait for that, name an earlier version, or compare this machine's clock")
        .retry_after((class == Class::TryAgain).then_some(wait)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    #[test]
    fn a_value_lives_as_long_as_it_was_confirmed_for_and_never_beyond_its_own_end() {
        let now = from_unix(1000);
        let hour = Duration::from_hours(1);
        let free = life(now, hour, []);
        assert_eq!(free, Life { expires_at: from_unix(4600), refresh_at: from_unix(1900) });
        let ends = life(now, hour, [from_unix(9000), from_unix(1400), from_unix(2000)]);
        assert_eq!(ends, Life { expires_at: from_unix(1400), refresh_at: from_unix(1100) });
    }

    #[test]
    fn what_the_owner_does_not_want_used_is_refused() {
        let now = from_unix(10_000);
        let class = |attributes: &Attributes| {
            let error = usable("the secret x", Object::Secret, attributes, now).err()?;
            assert!(error.what.starts_with("the secret x ") && error.fix.is_some(), "{error}");
            Some((error.class, error.retry_after.map(|wait| wait.as_secs())))
        };
        let free = Attributes::default();
        assert_eq!(class(&free), None);
        assert_eq!(class(&Attributes { enabled: false, ..free }), Some((Class::Denied, None)));
        let from = |at| Attributes { not_before: Some(from_unix(at)), ..free };
        assert_eq!(class(&from(10_000)), None);
        assert_eq!(class(&from(10_300)), Some((Class::TryAgain, Some(300))));
        assert_eq!(class(&from(10_301)), Some((Class::Denied, None)));
        let until = |at| Attributes { expires: Some(from_unix(at)), ..free };
        assert_eq!(class(&until(10_001)), None);
        assert_eq!(class(&until(10_000)), Some((Class::Denied, None)));
    }
}
