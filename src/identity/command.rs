//! Source `command`: the id token that a command of your own prints.

use super::{IdToken, Miss, TokenSource, process};
use async_trait::async_trait;
use std::time::Duration;

/// What stands for the audience in the arguments.
const AUDIENCE: &str = "{audience}";

/// A command, as the configuration gives it: no shell reads it, and it inherits the agent's environment.
pub struct Command {
    /// `None`: the setting is not there, and so the source is not.
    argv: Option<Vec<String>>,
    deadline: Duration,
}

impl Command {
    /// The source that runs `argv`, a program and its arguments, at each fetch. In the arguments `{audience}` becomes the
    /// audience.
    pub fn new(argv: Option<Vec<String>>, deadline: Duration) -> Self {
        Self { argv, deadline }
    }
}

#[async_trait]
impl TokenSource for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    async fn fetch(&self, audience: &str) -> Result<IdToken, Miss> {
        let Some(argv) = &self.argv else {
            return Err(Miss::NotHere("identity.command is not set".to_owned()));
        };
        process::id_token(&filled(argv, audience), self.deadline).await.map_err(Miss::Broken)
    }
}

/// The arguments with the audience in them. An argument stays one argument, whatever the audience holds, and the program
/// is not ours to choose.
pub(super) fn filled(argv: &[String], audience: &str) -> Vec<String> {
    let fill = |(place, word): (usize, &String)| match place {
        0 => word.clone(),
        _ => word.replace(AUDIENCE, audience),
    };
    argv.iter().enumerate().map(fill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::testing::{broken, not_here};

    #[test]
    fn the_audience_goes_into_arguments_only() {
        let argv = ["{audience}", "--audience={audience}", "{audience}", "{Audience}"].map(str::to_owned);
        assert_eq!(
            filled(&argv, "api://x y;$(id) {audience}"),
            [
                "{audience}",
                "--audience=api://x y;$(id) {audience}",
                "api://x y;$(id) {audience}",
                "{Audience}"
            ]
        );
    }

    #[tokio::test]
    async fn set_or_not() {
        let deadline = Duration::from_mins(1);
        assert_eq!(not_here(Command::new(None, deadline).fetch("a").await), "identity.command is not set");
        let argv = ["printf", "for {audience}"].map(str::to_owned).to_vec();
        let error = broken(Command::new(Some(argv), deadline).fetch("a").await);
        assert_eq!(error.what, "the output of printf is not an id token");
    }
}
