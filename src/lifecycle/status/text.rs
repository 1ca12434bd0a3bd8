//! The state as text for a person: what is so, then what comes next; relative times with the absolute ones beside them.

use super::{Credential, Failure, Process, Stage, State, Status};
use crate::clock;
use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

/// The state as text for a person, at `now`. Ends with a line break.
pub fn render(status: &Status, now: SystemTime) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_out(&mut text, status, now);
    text
}

fn write_out(text: &mut String, status: &Status, now: SystemTime) -> std::fmt::Result {
    let headline = match (status.phase, status.ready) {
        (Stage::Acquiring, _) => "acquiring, nothing is published yet".to_owned(),
        (Stage::Published, true) => {
            format!("ready, generation {} is published{}", status.generation, without(status))
        }
        (Stage::Published, false) => format!("not ready, generation {} is published", status.generation),
        (Stage::Stopping, _) => "stopping: the env file is wiped, credentials are being revoked".to_owned(),
        (Stage::Ended, _) => "ended".to_owned(),
    };
    writeln!(text, "{}: {headline}", status.workspace)?;
    writeln!(text, "  agent     process {}, started {}", status.pid, moment(status.started_at, now))?;
    writeln!(text, "  gateway   {}", status.gateway)?;
    writeln!(text, "  env file  {}", status.env_file)?;
    if let Some(at) = status.expires_at {
        writeln!(text, "  expires   {}", moment(at, now))?;
    }
    if let Some(process) = &status.process {
        writeln!(text, "  process   {}", protection(process))?;
    }
    if let Some(failure) = &status.sink_error {
        write_failure(text, "  ", failure, now)?;
    }
    if let Some(failure) = &status.config_error {
        write_failure(text, "  ", failure, now)?;
    }
    let width = |of: fn(&Credential) -> usize| status.credentials.iter().map(of).max().unwrap_or(0);
    let (name_width, env_width) = (width(|entry| entry.name.len()), width(|entry| entry.env.len()));
    for entry in &status.credentials {
        let kind = entry.kind;
        writeln!(text)?;
        let optional = if entry.required { "" } else { ", optional" };
        writeln!(
            text,
            "  {:name_width$}  {:env_width$}  {kind} for {}{optional}",
            entry.name, entry.env, entry.scope
        )?;
        if let Some(identity) = &entry.identity {
            writeln!(text, "    by {identity}")?;
        }
        writeln!(text, "    {}", sentence(entry, now))?;
        if !entry.variables.iter().all(|variable| *variable == entry.env) {
            writeln!(text, "    in files: {}", entry.variables.join(", "))?;
        }
        if let Some(failure) = &entry.error {
            write_failure(text, "    ", failure, now)?;
        }
    }
    if let Some(next) = &status.next {
        writeln!(text, "\n  next: {} {}", next.what, moment(next.at, now))?;
    }
    Ok(())
}

/// What keeps others from the agent's secrets, and what does not.
fn protection(process: &Process) -> String {
    let mut parts = vec!["no core file, closed to other processes".to_owned()];
    parts.push(if process.lock_refused {
        let all = process.locked_secrets + process.unlocked_secrets;
        format!("{} of {all} secrets locked in RAM (RLIMIT_MEMLOCK allows no more)", process.locked_secrets)
    } else {
        "secrets locked in RAM".to_owned()
    });
    parts.push(match (process.landlock, &process.unconfined_because) {
        (Some(abi), _) if process.landlock_partly => {
            format!("files as needed only (Landlock {abi}, not all of it)")
        }
        (Some(abi), _) => format!("files as needed only (Landlock {abi})"),
        (None, Some(because)) => format!("all files of yours ({because})"),
        (None, None) => "all files of yours".to_owned(),
    });
    parts.join("; ")
}

/// What is missing although it is ready.
fn without(status: &Status) -> String {
    let is_missing = |entry: &&Credential| !entry.required && entry.expires_at.is_none();
    let wanted = |entry: &&Credential| !matches!(entry.state, State::Releasing | State::Released);
    match status.credentials.iter().filter(wanted).filter(is_missing).count() {
        0 => String::new(),
        1 => ", 1 optional credential is missing".to_owned(),
        count => format!(", {count} optional credentials are missing"),
    }
}

fn sentence(entry: &Credential, now: SystemTime) -> String {
    let mut parts = vec![
        match entry.state {
            State::Acquiring => "acquiring",
            State::Published => "published",
            State::Renewing => "published, its successor is on its way",
            State::Failing => "failing",
            State::Expired => "expired and taken out",
            State::Releasing => "being revoked",
            State::Released => "released",
        }
        .to_owned(),
    ];
    let mut add = |verb: &str, at: Option<SystemTime>| {
        parts.extend(at.map(|at| format!("{verb} {}", moment(at, now))));
    };
    add("expires", entry.expires_at);
    add("renews", entry.renews_at.filter(|_| entry.retries_at.is_none()));
    add("former value ends", entry.grace_until);
    add("tried again", entry.retries_at);
    if entry.held_until.is_some() {
        parts.push("held back by the budget of requests".to_owned());
    }
    match entry.failures {
        0 => {}
        1 => parts.push("failed once".to_owned()),
        times => parts.push(format!("failed {times} times in a row")),
    }
    parts.join("; ")
}

fn write_failure(text: &mut String, indent: &str, failure: &Failure, now: SystemTime) -> std::fmt::Result {
    writeln!(text, "{indent}{}, {}", failure.what, moment(failure.at, now))?;
    for (label, part) in [("why", &failure.why), ("fix", &failure.fix)] {
        for (index, line) in part.iter().flat_map(|part| part.trim().lines()).enumerate() {
            let label = if index == 0 { label } else { "" };
            writeln!(text, "{indent}  {label:3}  {}", line.trim())?;
        }
    }
    Ok(())
}

/// `in 12 min (2026-11-24T14:00:00Z)`.
fn moment(at: SystemTime, now: SystemTime) -> String {
    let when = match at.duration_since(now) {
        Ok(wait) if wait < Duration::from_secs(1) => "now".to_owned(),
        Ok(wait) => format!("in {}", span(wait)),
        Err(earlier) if earlier.duration() < Duration::from_secs(1) => "just now".to_owned(),
        Err(earlier) => format!("{} ago", span(earlier.duration())),
    };
    format!("{when} ({})", clock::rfc3339(at))
}

/// Two minutes and more in minutes, two hours and more in hours and minutes, two days and more in days; rounded, so that
/// an hour does not read as 59 minutes as soon as it has begun.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7170 => format!("{} min", (seconds + 30) / 60),
        7170..172_770 => format!("{} h {} min", (seconds + 30) / 3600, (seconds + 30) % 3600 / 60),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}
