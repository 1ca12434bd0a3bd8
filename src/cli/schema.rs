//! `schema`: the JSON Schema of `apim-agent.toml`, in the draft that TOML language servers read.
//! <https://json-schema.org/draft-07/json-schema-release-notes>

mod forms;
mod settings;

use super::print::print;
use crate::{
    config::{
        Kind,
        keys::{self, Key},
    },
    error::{Class, Error, Result},
};
use serde_json::{Map, Value, json};
use std::process::ExitCode;

pub(super) fn schema() -> Result<ExitCode> {
    let mut text = serde_json::to_vec_pretty(&root())
        .map_err(|error| Error::new(Class::Internal, "cannot write the schema").why(error.to_string()))?;
    text.push(b'\n');
    print(&text)
}

/// The whole file.
fn root() -> Value {
    let mut properties = Map::new();
    for key in keys::KEYS {
        match key.name.split_once('.') {
            None => {
                properties.insert(key.name.to_owned(), setting("", key));
            }
            Some((table, leaf)) => {
                let of_table = properties.entry(table).or_insert_with(|| table_of(table));
                of_table["properties"][leaf] = setting(table, &Key { name: leaf, ..*key });
            }
        }
    }
    for section in keys::SECTIONS {
        properties.insert(section.name.to_owned(), entries(section));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "apim-agent.toml",
        "description": "What an apim-agent fetches, and for whom. No secret belongs here.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "definitions": {"token": {
            "description": "A JSON Web Token: files and variables that hold one are given by name.",
            "type": "string",
            "pattern": r"^eyJ[^.]*\.",
        }},
    })
}

fn table_of(name: &str) -> Value {
    json!({
        "description": meaning(name),
        "type": "object",
        "properties": {},
        "additionalProperties": false,
    })
}

/// A table of tables: any name but that of the plain ones, which only a credential may have.
fn entries(section: &keys::Section) -> Value {
    // Those of [identity], in words too.
    let words = match section.name {
        "identities" => "identity",
        "gateways" => "gateway",
        name => name,
    };
    let properties: Map<_, _> =
        section.keys.iter().map(|key| (key.name.to_owned(), setting(words, key))).collect();
    let mut entry = json!({"type": "object", "properties": properties, "additionalProperties": false});
    let mut names = json!({"pattern": "^[0-9A-Za-z_-]{1,64}$"});
    if section.name == "credentials" {
        entry["allOf"] = Kind::ALL.iter().map(|(name, kind)| of_kind(name, *kind)).collect();
    } else {
        names["not"] = json!({"const": keys::DEFAULT});
    }
    json!({
        "description": meaning(section.name),
        "type": "object",
        "propertyNames": names,
        "additionalProperties": entry,
    })
}

/// A kind takes its own settings only: one without an effect is a misunderstanding.
fn of_kind(name: &str, kind: Kind) -> Value {
    let keys: Vec<&str> = ["kind", "env", "required"].iter().chain(kind.keys()).copied().collect();
    // What is left out is an access token.
    let required: &[&str] = if kind == Kind::AccessToken { &[] } else { &["kind"] };
    let mut then = json!({"propertyNames": {"enum": keys}});
    if kind == Kind::SubscriptionKey {
        then["properties"] = json!({"scope": {"pattern": forms::SUBSCRIPTION_SCOPE}});
    }
    json!({"if": {"properties": {"kind": {"const": name}}, "required": required}, "then": then})
}

fn setting(table: &str, key: &Key) -> Value {
    let row = settings::ROWS.iter().find(|(of, name, ..)| *of == table && *name == key.name);
    // There is one of each, says the test; a setting without would be free in its form.
    let Some((.., form, words)) = row else { return json!({}) };
    let mut schema = form.schema();
    schema["description"] = json!(words);
    schema["examples"] = json!([example(key)]);
    schema
}

/// A list and a flag are written in the table of settings as in JSON.
fn example(key: &Key) -> Value {
    let parsed = (key.is_list() || key.is_flag()).then(|| serde_json::from_str(key.example).ok()).flatten();
    parsed.unwrap_or_else(|| json!(key.example))
}

fn meaning(table: &str) -> &'static str {
    settings::TABLES.iter().find(|(name, _)| *name == table).map_or("", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_a_row_and_each_row_a_setting() {
        let mut wanted: Vec<_> =
            keys::KEYS.iter().map(|key| key.name.split_once('.').unwrap_or(("", key.name))).collect();
        for section in keys::SECTIONS.iter().filter(|of| ["exchanges", "credentials"].contains(&of.name)) {
            wanted.extend(section.keys.iter().map(|key| (section.name, key.name)));
        }
        let found: Vec<_> = settings::ROWS.iter().map(|(table, key, ..)| (*table, *key)).collect();
        assert_eq!(found, wanted);
        let tables: Vec<_> = settings::TABLES.iter().map(|(name, _)| *name).collect();
        assert_eq!(tables, keys::TABLES);
    }
}
