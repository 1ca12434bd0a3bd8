//! Path templates, as the descriptions of APIs have them: fixed parts in any case, and names.

use percent_encoding::percent_decode_str;

/// The names in `parts`, decoded, if they fit the template, whose `*` are the names. Pure.
pub(super) fn names(template: &[&str], parts: &[&str]) -> Option<Vec<String>> {
    if template.len() != parts.len() {
        return None;
    }
    let mut names = Vec::new();
    for (expected, part) in template.iter().zip(parts) {
        if *expected == "*" {
            names.push(percent_decode_str(part).decode_utf8().ok()?.into_owned());
        } else if !expected.eq_ignore_ascii_case(part) {
            return None;
        }
    }
    Some(names)
}
