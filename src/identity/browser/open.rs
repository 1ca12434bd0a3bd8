//! Opening a page in a browser.

use crate::identity::{cli::Runner, select::Lookup};
use std::{process::Stdio, sync::Arc, time::Duration};
use tokio::process::Command;
use url::Url;

/// Whether a browser was started for `url`: the one that `$BROWSER` names, as editors in containers set it, else the desktop's.
///
/// No shell is between, and what it prints is of no use to anybody here. It is left alone: it goes on when we end.
pub(super) fn open(url: &Url, lookup: &Lookup) -> bool {
    let runner = Runner { lookup: Arc::clone(lookup), deadline: Duration::ZERO };
    let argv = match runner.variable("BROWSER") {
        Some(browser) => command(&browser, url),
        // Without a display it would look for a browser in the terminal, which is ours.
        None if runner.variable("DISPLAY").or_else(|| runner.variable("WAYLAND_DISPLAY")).is_none() => {
            return false;
        }
        None => runner.on_path(&["xdg-open"]).map(|program| vec![program, url.to_string()]),
    };
    let Some((program, arguments)) = argv.as_ref().and_then(|argv| argv.split_first()) else { return false };
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        // tokio collects its status.
        Ok(_) => true,
        Err(error) => {
            tracing::debug!("no browser: {error}");
            false
        }
    }
}

/// The words of the first command in `$BROWSER`, which is a list with colons between. `%s` stands for the URL; without it the
/// URL comes last.
fn command(browser: &str, url: &Url) -> Option<Vec<String>> {
    let first = browser.split(':').find(|command| !command.trim().is_empty())?;
    let mut argv: Vec<String> =
        first.split_whitespace().map(|word| word.replace("%s", url.as_str())).collect();
    if !first.contains("%s") {
        argv.push(url.to_string());
    }
    Some(argv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::lookup;

    #[test]
    fn what_the_variable_says() {
        let url = "https://login.example/authorize?a=b&c=$(id)".parse().unwrap();
        let words = |browser| command(browser, &url).map(|argv| argv.join("|"));
        for (browser, argv) in [
            ("/usr/bin/code-browser", "/usr/bin/code-browser|URL"),
            ("firefox --new-tab %s:lynx", "firefox|--new-tab|URL"),
            (":: w3m", "w3m|URL"),
            ("open --url=%s", "open|--url=URL"),
        ] {
            assert_eq!(words(browser), Some(argv.replace("URL", url.as_str())));
        }
        assert_eq!(words(" : "), None);
    }

    #[tokio::test]
    async fn nobody_to_open_it() {
        let url = "https://login.example/".parse().unwrap();
        for variables in
            [&[][..], &[("BROWSER", "/no/such/browser")], &[("DISPLAY", ":0"), ("PATH", "/no/such")]]
        {
            assert!(!open(&url, &lookup(variables)));
        }
    }
}
