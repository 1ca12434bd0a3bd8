//! Which places a runtime directory may be in, and what the workspace's folder in it is called. Pure.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// Longest readable part of a folder's name.
const SLUG: usize = 40;

/// One place: the base folder, below which each workspace has a folder of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The base folder; absolute.
    pub base: PathBuf,
    /// Whether the base folder is the agent's own (named by it, and removed when empty) or was chosen by a person.
    pub own: bool,
}

/// The place that somebody asked for, as the only one; or the default order.
///
/// The default order is `$XDG_RUNTIME_DIR/apim-agent`, `/run/apim-agent`, `/dev/shm/apim-agent-UID`,
/// `/tmp/apim-agent-UID`. A relative `xdg_runtime_dir` is passed over, as the XDG base directory specification says.
pub fn candidates(wanted: Option<&Path>, xdg_runtime_dir: Option<&Path>, uid: u32) -> Vec<Candidate> {
    if let Some(base) = wanted {
        return vec![Candidate { base: base.to_owned(), own: false }];
    }
    let xdg = xdg_runtime_dir.filter(|path| path.is_absolute()).map(|path| path.join("apim-agent"));
    let named = format!("apim-agent-{uid}");
    let fixed = [
        PathBuf::from("/run/apim-agent"),
        Path::new("/dev/shm").join(&named),
        Path::new("/tmp").join(&named),
    ];
    xdg.into_iter().chain(fixed).map(|base| Candidate { base, own: true }).collect()
}

/// All the places that an agent of this user may be in: another shell may have, or lack, `$XDG_RUNTIME_DIR`.
pub fn hideouts(wanted: Option<&Path>, xdg_runtime_dir: Option<&Path>, uid: u32) -> Vec<Candidate> {
    let mut places = candidates(wanted, xdg_runtime_dir, uid);
    let login = Candidate { base: format!("/run/user/{uid}/apim-agent").into(), own: true };
    if wanted.is_none() && !places.contains(&login) {
        places.push(login);
    }
    places
}

/// The name of a workspace's folder: a readable part, and a hash so that no two workspaces share one.
///
/// `Acme/Payments` becomes `acme-payments-` and the first 8 hex digits of the SHA-256 of the name.
pub fn folder_name(workspace: &str) -> String {
    let mut name = String::with_capacity(SLUG + 9);
    for letter in workspace.chars().map(|letter| letter.to_ascii_lowercase()) {
        if name.len() == SLUG {
            break;
        }
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    if !name.is_empty() && !name.ends_with('-') {
        name.push('-');
    }
    for byte in &ring::digest::digest(&ring::digest::SHA256, workspace.as_bytes()).as_ref()[..4] {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(places: &[Candidate]) -> Vec<&str> {
        places.iter().map(|place| place.base.to_str().expect("text")).collect()
    }

    #[test]
    fn the_wanted_place_is_the_only_one() {
        let places = candidates(Some(Path::new("/mnt/ram")), Some(Path::new("/run/user/7")), 7);
        assert_eq!(places, [Candidate { base: "/mnt/ram".into(), own: false }]);
        assert_eq!(hideouts(Some(Path::new("/mnt/ram")), None, 7), places);
    }

    #[test]
    fn the_default_order() {
        let places = candidates(None, Some(Path::new("/run/user/7")), 7);
        let order =
            ["/run/user/7/apim-agent", "/run/apim-agent", "/dev/shm/apim-agent-7", "/tmp/apim-agent-7"];
        assert_eq!(bases(&places), order);
        assert_eq!(bases(&candidates(None, Some(Path::new("relative")), 7)), order[1..]);
        assert_eq!(bases(&hideouts(None, None, 7))[3], order[0]);
        assert_eq!(hideouts(None, Some(Path::new("/run/user/7")), 7), places);
    }

    #[test]
    fn folder_names_are_plain_and_distinct() {
        assert_eq!(
            folder_name("Acme/Payments"),
            format!("acme-payments-{}", &folder_name("Acme/Payments")[14..])
        );
        let nasty = ["", "..", "../../etc", "a/b", "a-b", "A-B", "\0", "ünï", &"x".repeat(500)];
        let names: Vec<_> = nasty.iter().map(|name| folder_name(name)).collect();
        for name in &names {
            assert!(name.len() <= 49, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
            assert!(!name.starts_with('-'), "{name}");
        }
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
