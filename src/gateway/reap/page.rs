//! Pages of ARM's list, read with suspicion. Pure.

use super::judge::Subscription;
use crate::{
    error::{Class, Error, Result},
    http::answer::printable,
};
use serde::Deserialize;
use std::collections::HashSet;
use url::Url;

/// More pages than any service has: 100 rows in each make ten times the largest limit of subscriptions.
const MOST: usize = 10_000;

/// One page: `SubscriptionCollection`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    /// The rows.
    pub(super) value: Vec<Subscription>,
    /// How many there are on all pages.
    pub(super) count: Option<u64>,
    /// Where the next page is; `null` or empty on the last one.
    next_link: Option<String>,
}

impl Page {
    /// Out of an answer's body.
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body).map_err(|_| {
            let seen =
                format!("it answered with success and {} bytes that are no page of a list", body.len());
            doubtful("ARM did not list the subscriptions", seen)
        })
    }
}

/// The way from page to page. Each goes with our token, so none leads anywhere else than to the same list.
pub(super) struct Pages {
    /// Where it began.
    list: Url,
    /// Where it has been.
    seen: HashSet<String>,
}

impl Pages {
    /// Begins at `list`.
    pub(super) fn of(list: Url) -> Self {
        Self { seen: HashSet::from([list.as_str().to_owned()]), list }
    }

    /// Where the page after `page` is, if there is one.
    ///
    /// Errors: it would be at another place, which ARM does not do, or the list has no end.
    pub(super) fn after(&mut self, page: &Page) -> Result<Option<Url>> {
        let Some(link) = page.next_link.as_deref().filter(|link| !link.is_empty()) else { return Ok(None) };
        let next = Url::parse(link).ok().filter(|next| self.is_same_list(next));
        let Some(next) = next else {
            let place = printable(link.split('?').next().unwrap_or_default(), 200);
            let seen = format!("the next page is said to be at {place}, where our token does not belong");
            return Err(doubtful("ARM's list of subscriptions goes on at another place", seen));
        };
        if !self.seen.insert(next.as_str().to_owned()) || self.seen.len() > MOST {
            let seen =
                format!("after {} pages it goes on where it has been before, or for ever", self.seen.len());
            return Err(doubtful("ARM's list of subscriptions does not end", seen));
        }
        Ok(Some(next))
    }

    /// ARM compares paths without regard to case, and names them in any.
    fn is_same_list(&self, next: &Url) -> bool {
        next.origin() == self.list.origin()
            && next.path().eq_ignore_ascii_case(self.list.path())
            && next.username().is_empty()
            && next.password().is_none()
    }
}

fn doubtful(what: &str, why: String) -> Error {
    Error::new(Class::Unavailable, what).why(why).fix("see what answers in ARM's place (a proxy?)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "https://management.azure.com/subscriptions/s/resourceGroups/rg/providers/Microsoft.ApiManagement/service/apim/subscriptions?api-version=2024-05-01";

    fn page(next: &str) -> Page {
        let body = serde_json::json!({"value": [], "count": 3, "nextLink": next});
        Page::read(body.to_string().as_bytes()).expect("a page")
    }

    fn pages() -> Pages {
        Pages::of(LIST.parse().expect("a URL"))
    }

    #[test]
    fn it_goes_on_within_the_list() {
        for next in [
            format!("{LIST}&%24top=100&%24skip=100"),
            format!("{}&$skip=100", LIST.replace("azure.com/", "azure.com:443/")),
            format!(
                "{}&$skipToken=x",
                LIST.replace("resourceGroups", "resourcegroups").replace("/apim/", "/APIM/")
            ),
            LIST.split('?').next().expect("a path").to_owned(),
        ] {
            assert!(pages().after(&page(&next)).expect(&next).is_some(), "{next}");
        }
        assert!(pages().after(&page("")).expect("the last page").is_none());
        let last = Page::read(br#"{"value": [{"name": "a"}]}"#).expect("a page");
        assert!(pages().after(&last).expect("the last page").is_none());
    }

    #[test]
    fn no_link_leads_our_token_elsewhere() {
        for (from, to) in [
            ("https://management.azure.com", "https://evil.example"),
            ("https://management.azure.com", "https://management.azure.com.evil.example"),
            ("https://management.azure.com", "https://management.azure.com@evil.example"),
            ("https://management.azure.com", "https://x@management.azure.com"),
            ("https://management.azure.com", "https://:x@management.azure.com"),
            ("https://management.azure.com", "http://management.azure.com"),
            ("https://management.azure.com", "https://management.azure.com:8443"),
            ("https://management.azure.com", "//management.azure.com"),
            ("https://management.azure.com", ""),
            ("/apim/", "/other/"),
            ("/subscriptions?", "/subscriptions/../listSecrets?"),
            ("/subscriptions?", "/subscriptions/?"),
            ("/subscriptions?", "/subscriptions/%2e%2e/users?"),
            ("/subscriptions/s/", "/subscriptions/t/"),
        ] {
            let link = LIST.replacen(from, to, 1);
            let link = if from == "/subscriptions?" { LIST.replace(from, to) } else { link };
            assert_ne!(link, LIST, "{from}");
            let error = pages().after(&page(&link)).expect_err(&link);
            assert_eq!(error.class, Class::Unavailable);
            assert!(!error.to_string().contains("api-version"), "the query may hold anything: {error}");
        }
    }

    #[test]
    fn a_list_that_runs_in_a_circle_is_left() {
        let (mut pages, next) = (pages(), format!("{LIST}&$skip=100"));
        assert!(pages.after(&page(&next)).is_ok());
        assert!(pages.after(&page(&next)).expect_err("again").what.contains("does not end"));
        assert!(pages.after(&page(LIST)).is_err(), "the first page is one of them");
        let mut endless = self::pages();
        let ended = (0..2 * MOST)
            .map(|n| endless.after(&page(&format!("{LIST}&$skip={n}"))))
            .take_while(Result::is_ok)
            .count();
        assert_eq!(ended, MOST - 1);
    }

    #[test]
    fn what_is_no_page_is_not_an_empty_one() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"value": null}"#,
            r#"{"value": [{}]}"#,
            "<html>",
            r#"{"value": [{"name": 1}]}"#,
        ] {
            assert!(Page::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
