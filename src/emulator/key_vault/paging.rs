//! `maxresults`, `$skiptoken` and `nextLink`. Pure.

use super::{api_version::ApiVersion, error::VaultError};
use crate::emulator::wire::Request;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Rows in a page at most, and where `maxresults` does not say.
const MOST: usize = 25;

/// Which rows are wanted: at most so many, of those behind the marker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Window {
    top: usize,
    after: Option<String>,
}

impl Window {
    /// Out of the query.
    pub(super) fn of(request: &Request) -> Result<Self, VaultError> {
        let top = match request.query("maxresults") {
            None => MOST,
            Some(text) => text.parse().ok().filter(|top| (1..=MOST).contains(top)).ok_or_else(|| {
                // The wording is ours.
                VaultError::bad_parameter(format!("Property maxresults must be between 1 and {MOST}."))
            })?,
        };
        let after = request.query("$skiptoken").map(|token| {
            marker(token).ok_or_else(|| VaultError::bad_parameter("Property $skiptoken has invalid value."))
        });
        Ok(Self { top, after: after.transpose()? })
    }

    /// The page out of all rows, which stand in the order of their markers. The marker is a name and not a count, so
    /// that what is added or deleted meanwhile neither doubles nor hides a row.
    pub(super) fn page<'a>(
        &self,
        request: &Request,
        version: ApiVersion,
        rows: impl Iterator<Item = (&'a str, Value)>,
    ) -> Value {
        let mut rows =
            rows.skip_while(|(marker, _)| self.after.as_deref().is_some_and(|after| *marker <= after));
        let (mut page, mut last) = (Vec::new(), None);
        for (marker, row) in rows.by_ref().take(self.top) {
            page.push(row);
            last = Some(marker);
        }
        // The real vault says null where there is no more, and so its clients expect.
        let next = last.filter(|_| rows.next().is_some()).map(|marker| self.link(request, version, marker));
        json!({ "value": page, "nextLink": next })
    }

    /// The same list from the marker on, in the vault's form: with a port, and `maxresults` last.
    fn link(&self, request: &Request, version: ApiVersion, marker: &str) -> String {
        let host = &request.host;
        let port = if host.contains(':') { "" } else { ":443" };
        let path = request.path.trim_end_matches('/');
        let token = URL_SAFE_NO_PAD.encode(json!({ "NextMarker": marker }).to_string());
        let size = request.query("maxresults").map(|_| format!("&maxresults={}", self.top));
        format!(
            "https://{host}{port}{path}?api-version={}&$skiptoken={token}{}",
            version.text(),
            size.unwrap_or_default()
        )
    }
}

fn marker(token: &str) -> Option<String> {
    let token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    Some(token["NextMarker"].as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::testing::request;

    fn page(target: &str, names: &[&str]) -> Value {
        let request = request("GET", target);
        let rows = names.iter().map(|name| (*name, json!(name)));
        let version = ApiVersion::read(Some("7.5")).unwrap();
        Window::of(&request).unwrap().page(&request, version, rows)
    }

    #[test]
    fn a_link_leads_on_even_if_its_row_has_gone() {
        let first = page("/secrets?maxresults=2", &["a", "b", "c", "d"]);
        assert_eq!(first["value"], json!(["a", "b"]));
        let link = first["nextLink"].as_str().unwrap();
        let target = link.strip_prefix("https://127.0.0.1:1").unwrap();
        assert!(target.starts_with("/secrets?api-version=7.5&$skiptoken="), "{target}");
        let second = page(target, &["a", "bb", "c", "d"]);
        assert_eq!(second, json!({ "value": ["bb", "c"], "nextLink": second["nextLink"] }));
        let target = second["nextLink"].as_str().unwrap().strip_prefix("https://127.0.0.1:1").unwrap();
        assert_eq!(page(target, &["a", "d"]), json!({ "value": ["d"], "nextLink": null }));
    }

    #[test]
    fn only_sizes_from_1_to_25_are_taken() {
        for wrong in ["maxresults=0", "maxresults=26", "maxresults=x", "$skiptoken=x", "$skiptoken=e30"] {
            let refused = Window::of(&request("GET", &format!("/secrets?{wrong}"))).unwrap_err();
            assert_eq!((refused.status, refused.code), (400, "BadParameter"), "{wrong}");
        }
        let names: Vec<String> = (0..26).map(|n| format!("{n:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(page("/secrets", &names)["value"].as_array().unwrap().len(), 25);
        assert!(page("/secrets", &names[..25])["nextLink"].is_null());
    }
}
