//! The state in one short line, for a shell's prompt or tmux. Pure.

use super::{Credential, State, Status};
use std::time::{Duration, SystemTime};

/// One line without its end: a mark, how many credentials are published, and in how long the first of them expires.
///
/// | with `symbols` | without | |
/// |---|---|---|
/// | `apim ✓ 2 · 41m` | `apim ok 2 41m` | everything is published |
/// | `apim … 1/2` | `apim wait 1/2` | something is on its way |
/// | `apim ✗ 1/2` | `apim fail 1/2` | something fails |
/// | `apim –` | `apim off` | no agent runs |
pub fn short(status: Option<&Status>, now: SystemTime, symbols: bool) -> String {
    let mark = |symbol: &'static str, word: &'static str| if symbols { symbol } else { word };
    let Some(status) = status else { return format!("apim {}", mark("–", "off")) };
    let is_wanted = |entry: &&Credential| !matches!(entry.state, State::Releasing | State::Released);
    let wanted: Vec<_> = status.credentials.iter().filter(is_wanted).collect();
    let good = wanted.iter().filter(|entry| entry.expires_at.is_some()).count();
    if status.ready {
        let left = status.expires_at.map(|at| at.duration_since(now).unwrap_or_default());
        let left = left.map(|left| format!("{}{}", mark(" · ", " "), brief(left))).unwrap_or_default();
        return format!("apim {} {good}{left}", mark("✓", "ok"));
    }
    let fails = wanted.iter().any(|entry| matches!(entry.state, State::Failing | State::Expired));
    let mark = if fails || status.sink_error.is_some() { mark("✗", "fail") } else { mark("…", "wait") };
    format!("apim {mark} {good}/{}", wanted.len())
}

/// `45s`, `41m`, `5h`, `3d`: rounded down, since it says how long something is good.
fn brief(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
