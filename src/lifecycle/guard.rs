//! The guard: a small process that outlives the agent, to clean up after it however it dies.
//!
//! ```text
//! agent ── spawns itself as `guard PATH` ──► stdin   one end of a socket pair; the agent keeps the other
//!                                            stdout  the runtime directory, with the lock on it
//!                                            stderr  the agent's, for what it has to say at the end
//!
//! guard ── "r" ──► agent      it stands, in a session of its own: now something may be minted
//! agent ── "d" ──► guard      all is done and nothing is left: go
//! agent ── (the end of the stream, without that)    it has died: wipe, release, go
//! ```
//!
//! The kernel closes the agent's end with the agent, whatever kills it, and so wakes the guard at once. Unlike a pid or a
//! descriptor of one, a socket's end needs no support of the kernel's, can be handed over as standard input, and works in
//! both directions: a guard that dies is noticed the same way, and replaced.
//!
//! The directory's lock belongs to what was opened and not to a process, so it outlives the agent in the guard's
//! hands: no new agent can come in between a death and the end of the cleaning up.
//!
//! It is this program executed anew rather than a fork: the price is a few milliseconds beside the first request, and
//! there is no `unsafe` in it, no heap with the agent's secrets that it inherits, and no threads that it does not have.

mod post;
mod stand;

pub use post::Guard;
pub use stand::{Fate, Post, stand};

/// The word on the command line. It is no command for people, so the command line's definition does not list it.
pub const COMMAND: &str = "guard";

/// Behind [`COMMAND`], when the base folder is not the agent's to remove.
pub const KEEP_BASE: &str = "keep-base";

/// What the guard says when it stands.
const READY: u8 = b'r';
/// What the agent says when nothing is left to do.
const DONE: u8 = b'd';
