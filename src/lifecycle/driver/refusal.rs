//! Several credentials' failures as one error.

use crate::error::Error;

/// The first of `failures` (a credential's name, and why it has no value), with the others named in it. Where the
/// configuration has `several` credentials, the first is named too.
pub(super) fn combine(failures: &[(&str, &Error)], several: bool) -> Option<Error> {
    let ((name, first), others) = failures.split_first()?;
    let mut combined = (*first).clone();
    if several {
        combined.what = format!("{name}: {}", first.what);
    }
    let is_same = |error: &Error| error.what == first.what && error.why == first.why;
    let same: Vec<_> = others.iter().filter(|(_, error)| is_same(error)).map(|(name, _)| *name).collect();
    let mut lines: Vec<_> = first.why.iter().cloned().collect();
    if !same.is_empty() {
        lines.push(format!("the same holds for {}", same.join(", ")));
    }
    let different = others.iter().filter(|(_, error)| !is_same(error));
    lines.extend(different.map(|(name, error)| format!("besides, {name}: {}", error.what)));
    combined.why = (!lines.is_empty()).then(|| lines.join("\n"));
    Some(combined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    #[test]
    fn the_first_counts_and_the_others_are_named() {
        let rbac = Error::new(Class::Denied, "ARM refuses").why("no right").fix("assign a role");
        let gone = Error::new(Class::Config, "no id token");
        let alone = combine(&[("key", &rbac)], false).unwrap();
        assert_eq!(alone.to_string(), rbac.to_string());
        let all = combine(&[("key", &rbac), ("token", &gone), ("other", &rbac)], true).unwrap();
        assert_eq!((all.class, &*all.what), (Class::Denied, "key: ARM refuses"));
        assert_eq!(
            all.why.as_deref(),
            Some("no right\nthe same holds for other\nbesides, token: no id token")
        );
        assert_eq!(all.fix.as_deref(), Some("assign a role"));
        assert!(combine(&[], true).is_none());
    }
}
