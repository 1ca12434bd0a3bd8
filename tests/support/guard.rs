//! Guards from outside: found among the processes, and killed.

use super::{process::Process, scene::poll};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The guard of that agent.
pub(crate) fn guard(agent: &Process) -> Pid {
    poll("the guard", || guards(agent.pid()).pop())
}

/// The children of a process that are guards and live.
pub(crate) fn guards(parent: i32) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_guard = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything: the state and the parent.
        let mut rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_child = rest.next() != Some("Z") && rest.next() == Some(&parent.to_string());
        is_child && command.starts_with(b"apim-agent\0guard\0")
    };
    pids.filter(is_guard).map(Pid::from_raw).collect()
}

/// Kills it.
pub(crate) fn end(pid: Pid) {
    kill(pid, Signal::SIGKILL).unwrap();
}

/// Kills both, so that neither can do anything about the other.
pub(crate) fn kill_both(agent: &Process) {
    agent.signal(Signal::SIGSTOP);
    for guard in guards(agent.pid()) {
        end(guard);
    }
    agent.signal(Signal::SIGKILL);
}
