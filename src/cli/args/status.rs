//! `status`.

/// `status`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Status {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
