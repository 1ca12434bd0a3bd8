//! The pages that a person sees. Plain HTML: a test reads it, a browser shows it, nothing is loaded from elsewhere.

use super::{errors::Refusal, form::Form};
use crate::emulator::wire::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};

/// The only script there is: it sends the form that carries an answer back to the client (`response_mode=form_post`).
const SUBMIT: &str = "document.forms[0].submit()";

/// A form that asks for `decision=approve` or `decision=decline`. `fields` is HTML; the rest is text.
pub(super) fn form(title: &str, sentence: &str, action: &str, fields: &str) -> Response {
    let body = format!(
        "<p>{}</p><form method=\"post\" action=\"{}\">{fields}\
         <button name=\"decision\" value=\"approve\">Continue</button> \
         <button name=\"decision\" value=\"decline\">Cancel</button></form>",
        escape(sentence),
        escape(action)
    );
    page(200, title, &body, "")
}

/// Reads the decision of such a form.
pub(super) fn decision(form: &Form) -> Result<bool, Refusal> {
    match form.need("decision")? {
        "approve" => Ok(true),
        "decline" => Ok(false),
        _ => Err(Refusal::malformed_request()),
    }
}

/// A page with a sentence.
pub(super) fn told(status: u16, sentence: &str) -> Response {
    page(status, "Sign in to your account", &format!("<p>{}</p>", escape(sentence)), "")
}

/// A page that tells a refusal. Entra answers 200 to a browser; here a test sees by the status that it failed.
pub(super) fn refusal(refusal: &Refusal) -> Response {
    told(refusal.status, &format!("Sorry, but we're having trouble signing you in. {}", refusal.told()))
}

/// A form that a browser sends on at once, for `response_mode=form_post`.
pub(super) fn form_post(action: &str, fields: &[(&str, String)]) -> Response {
    let mut inputs = String::new();
    for (name, value) in fields {
        inputs.push_str("<input type=\"hidden\" name=\"");
        inputs.push_str(&escape(name));
        inputs.push_str("\" value=\"");
        inputs.push_str(&escape(value));
        inputs.push_str("\">");
    }
    let body = format!(
        "<form method=\"post\" action=\"{}\">{inputs}<noscript><button>Continue</button></noscript></form>\
         <script>{SUBMIT}</script>",
        escape(action)
    );
    let script = format!("; script-src 'sha256-{}'", STANDARD.encode(digest(&SHA256, SUBMIT.as_bytes())));
    page(200, "Working...", &body, &script)
}

/// Text as HTML, for content and attributes in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn page(status: u16, title: &str, body: &str, script: &str) -> Response {
    let title = escape(title);
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1>{body}</html>"
    );
    Response::new(status, html)
        .header("Content-Type", "text/html; charset=utf-8")
        .header("Content-Security-Policy", format!("default-src 'none'; frame-ancestors 'none'{script}"))
        // Addresses here carry states and codes.
        .header("Referrer-Policy", "no-referrer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_stays_text() {
        let page = form_post("https://a/?x=\"><script>", &[("state", "\"><img src=x>&".to_owned())]);
        let html = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(html.contains(r#"action="https://a/?x=&quot;&gt;&lt;script&gt;""#), "{html}");
        assert!(html.contains(r#"value="&quot;&gt;&lt;img src=x&gt;&amp;""#), "{html}");
    }
}
