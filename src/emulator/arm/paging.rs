//! `$top`, `$skip`, `count` and `nextLink`. Pure.

use super::error::ArmError;
use crate::emulator::wire::Request;
use serde_json::{Value, json};

/// Rows in a page where `$top` does not say, as in APIM.
const DEFAULT_TOP: usize = 100;

/// Which rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub skip: usize,
    pub top: usize,
}

impl Window {
    /// Out of the query.
    pub(super) fn of(request: &Request) -> Result<Self, ArmError> {
        Ok(Self {
            skip: number(request, "$skip", 0)?.unwrap_or(0),
            top: number(request, "$top", 1)?.unwrap_or(DEFAULT_TOP),
        })
    }
}

fn number(request: &Request, name: &'static str, min: usize) -> Result<Option<usize>, ArmError> {
    let Some(text) = request.query(name) else { return Ok(None) };
    match text.parse() {
        // int32 in the description
        Ok(number) if number >= min && i32::try_from(number).is_ok() => Ok(Some(number)),
        _ => Err(ArmError::field(name, format!("'{name}' must be an integer of at least {min}."))),
    }
}

/// The answer: the page's rows, how many there are in all, and where the next ones are, if there are any.
pub(super) fn page(request: &Request, window: Window, rows: &[Value], count: usize) -> Value {
    let next = window.skip + rows.len();
    let mut page = json!({ "value": rows, "count": count });
    if next < count {
        page["nextLink"] = json!(next_link(request, Window { skip: next, ..window }));
    }
    page
}

/// The same request, further on.
fn next_link(request: &Request, window: Window) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(request.query.iter().filter(|(name, _)| name != "$top" && name != "$skip"));
    query.append_pair("$top", &window.top.to_string());
    query.append_pair("$skip", &window.skip.to_string());
    // The plus sign for a space is only for forms.
    let query = query.finish().replace('+', "%20");
    format!("https://{}{}?{query}", request.host, request.path)
}
