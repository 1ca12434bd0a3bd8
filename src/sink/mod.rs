//! Where leases become usable: an env file in a directory that is proved to be RAM.
//!
//! | module | what it does |
//! |---|---|
//! | [`candidates`] | which places come into question, in which order (pure) |
//! | [`walk`] | opens one without following links and proves what it is |
//! | [`runtime_dir`] | takes it: lock, leftovers, removal |
//! | [`env_file`] | the formats (pure) |
//! | [`publisher`] | writes, checks and wipes the file |
//! | [`erase`] | overwrites before it unlinks |
//! | [`swap`] | whether RAM may reach a disk after all |

pub mod candidates;
pub mod env_file;
pub mod erase;
pub mod publisher;
pub mod runtime_dir;
pub mod swap;
pub mod walk;
