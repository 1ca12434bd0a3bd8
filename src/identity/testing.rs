//! Tokens for tests, well formed and signed by nobody, and surroundings for their sources.

use super::{
    Miss,
    cli::Runner,
    prompt::{End, Person, Prompt},
    select::Lookup,
};
use crate::error::Error;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use std::{
    collections::HashMap,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A JWT with these claims.
pub(crate) fn jwt(claims: &Value) -> String {
    jwt_of(r#"{"alg":"RS256","kid":"k"}"#, &claims.to_string())
}

/// A JWT with these texts as header and payload.
pub(crate) fn jwt_of(header: &str, payload: &str) -> String {
    let [header, payload, signature] =
        [header, payload, "signature"].map(|text| URL_SAFE_NO_PAD.encode(text));
    format!("{header}.{payload}.{signature}")
}

/// The error of a source that is here and failed.
pub(crate) fn broken<T>(result: Result<T, Miss>) -> Error {
    match result {
        Err(Miss::Broken(error)) => error,
        Err(Miss::NotHere(what)) => panic!("not here: {what}"),
        Ok(_) => panic!("a token"),
    }
}

/// What a source that is not here says.
pub(crate) fn not_here<T>(result: Result<T, Miss>) -> String {
    match result {
        Err(Miss::NotHere(what)) => what,
        Err(Miss::Broken(error)) => panic!("broken: {error}"),
        Ok(_) => panic!("a token"),
    }
}

/// An environment of these variables.
pub(crate) fn lookup(variables: &[(&str, &str)]) -> Lookup {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables: HashMap<String, String> = variables.iter().map(owned).collect();
    Arc::new(move |name| variables.get(name).cloned())
}

/// A runner of commands in such an environment.
pub(crate) fn runner(variables: &[(&str, &str)]) -> Runner {
    Runner { lookup: lookup(variables), deadline: Duration::from_mins(1) }
}

/// Puts a shell script called `name` into `folder`, in the place of a platform's tool.
pub(crate) fn stand_in(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A person, what they are told, and their end.
pub(crate) fn person() -> (Person, Arc<Mutex<Vec<Prompt>>>, End) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let (person, end) = Person::new(Arc::new(move |prompt| kept.lock().unwrap().push(prompt.clone())));
    (person, told, end)
}
