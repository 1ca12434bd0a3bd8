//! `status`.

/// `status`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Status {
    /// Print one JSON object
    #[arg(long, group = "form")]
    pub json: bool,
    /// Print one short line, for a prompt or tmux
    #[arg(long, group = "form")]
    pub short: bool,
    /// Print nothing: the exit code says it
    #[arg(long, group = "form")]
    pub ready: bool,
}
