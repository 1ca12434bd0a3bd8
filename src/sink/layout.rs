//! How credentials become variables and files. Pure.
//!
//! | value | variables | files |
//! |---|---|---|
//! | a text that every reader of env files takes as it stands | `ENV` | |
//! | another text | `ENV_FILE` | `NAME.value` |
//! | a certificate and its key | `ENV_CRT_FILE`, `ENV_KEY_FILE` | `NAME.crt`, `NAME.key` |
//!
//! `NAME` is the credential's; it holds no dot, so that no file of ours has the name of another one.

use super::{Item, env_file};
use crate::{config::credential::file_variable, lease::Value, secret::Secret};
use std::path::Path;

/// What a set comes to.
pub struct Layout<'a> {
    /// Variables and values, in the configuration's order.
    pub variables: Vec<(String, Secret)>,
    /// Names in the runtime directory, and contents.
    pub files: Vec<(String, &'a Secret)>,
}

/// The variables and files of `items` in the runtime directory `folder`.
pub fn lay_out<'a>(folder: &Path, items: &[Item<'a>]) -> Layout<'a> {
    let mut layout = Layout { variables: Vec::new(), files: Vec::new() };
    for item in items {
        match item.value {
            Value::Text(text) if env_file::check_value(item.env, text.expose()).is_ok() => {
                layout.variables.push((item.env.to_owned(), text.duplicate()));
            }
            Value::Text(text) => layout.file(folder, item, None, "value", text),
            Value::Files(parts) => {
                for part in parts {
                    layout.file(folder, item, Some(part.extension), part.extension, &part.content);
                }
            }
        }
    }
    layout
}

/// The names of the variables that `value` comes to, for a credential of the variable `env`.
pub fn names(env: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Text(text) if env_file::check_value(env, text.expose()).is_ok() => vec![env.to_owned()],
        Value::Text(_) => vec![file_variable(env, None)],
        Value::Files(parts) => parts.iter().map(|part| file_variable(env, Some(part.extension))).collect(),
    }
}

impl<'a> Layout<'a> {
    fn file(
        &mut self,
        folder: &Path,
        item: &Item<'a>,
        mark: Option<&str>,
        extension: &str,
        content: &'a Secret,
    ) {
        let name = format!("{}.{extension}", item.name);
        let path = folder.join(&name).display().to_string();
        self.variables.push((file_variable(item.env, mark), Secret::new(path)));
        self.files.push((name, content));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Part;

    #[test]
    fn each_value_finds_its_place() {
        let text = |text: &str| Value::Text(Secret::new(text.to_owned()));
        let part = |extension, text: &str| Part { extension, content: Secret::new(text.to_owned()) };
        let values = [text("a.b-c"), text("a b"), Value::Files(vec![part("crt", "C"), part("key", "K")])];
        let names = [("one", "ONE"), ("two", "TWO"), ("three", "THREE")];
        let items: Vec<_> =
            names.iter().zip(&values).map(|((name, env), value)| Item { name, env, value }).collect();
        let layout = lay_out(Path::new("/run/x"), &items);
        let variables: Vec<_> =
            layout.variables.iter().map(|(name, text)| (name.as_str(), text.expose())).collect();
        assert_eq!(
            variables,
            [
                ("ONE", "a.b-c"),
                ("TWO_FILE", "/run/x/two.value"),
                ("THREE_CRT_FILE", "/run/x/three.crt"),
                ("THREE_KEY_FILE", "/run/x/three.key"),
            ]
        );
        let listed: Vec<_> = items.iter().flat_map(|item| super::names(item.env, item.value)).collect();
        assert_eq!(listed, variables.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let files: Vec<_> = layout.files.iter().map(|(name, text)| (name.as_str(), text.expose())).collect();
        assert_eq!(files, [("two.value", "a b"), ("three.crt", "C"), ("three.key", "K")]);
    }
}
