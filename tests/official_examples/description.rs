//! The official descriptions (`OpenAPI` 2.0 as files that refer to each other) and what they say of an answer.

use serde_json::{Map, Value};
use std::{
    cell::RefCell,
    collections::HashMap,
    path::{Path, PathBuf},
    rc::Rc,
};

/// Files read so far.
#[derive(Default)]
pub(crate) struct Files(RefCell<HashMap<PathBuf, Rc<Value>>>);

/// A place in a file.
#[derive(Clone)]
pub(crate) struct Node {
    file: PathBuf,
    pub(crate) value: Value,
}

impl Files {
    pub(crate) fn read(&self, path: &Path) -> Rc<Value> {
        let path = path.canonicalize().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if let Some(known) = self.0.borrow().get(&path) {
            return Rc::clone(known);
        }
        let text = std::fs::read(&path).unwrap();
        let value =
            Rc::new(serde_json::from_slice(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display())));
        self.0.borrow_mut().insert(path, Rc::clone(&value));
        value
    }

    pub(crate) fn node(&self, file: &Path, value: &Value) -> Node {
        self.resolve(Node { file: file.to_owned(), value: value.clone() })
    }

    /// Follows `$ref`, also into another file, until there is none.
    fn resolve(&self, node: Node) -> Node {
        let Some(target) = node.value.get("$ref").and_then(Value::as_str) else { return node };
        let (path, pointer) = target.split_once('#').unwrap_or((target, ""));
        let file = if path.is_empty() { node.file } else { node.file.parent().unwrap().join(path) };
        let value = self.read(&file).pointer(pointer).unwrap_or_else(|| panic!("no {target}")).clone();
        self.resolve(Node { file, value })
    }

    pub(crate) fn child(&self, node: &Node, value: &Value) -> Node {
        self.node(&node.file, value)
    }

    /// Where `value` departs from the schema `schema`: one line each, with the place.
    pub(crate) fn departures(&self, value: &Value, schema: &Node) -> Vec<String> {
        let mut found = Vec::new();
        self.compare(value, schema, "$", &mut found);
        found
    }

    fn compare(&self, value: &Value, schema: &Node, place: &str, found: &mut Vec<String>) {
        let text = |name: &str| schema.value.get(name).and_then(Value::as_str);
        let number = |name: &str| schema.value.get(name).and_then(Value::as_u64);
        match (text("type"), value) {
            (Some("object") | None, Value::Object(fields)) => {
                self.compare_fields(fields, schema, place, found);
            }
            (Some("array"), Value::Array(items)) => {
                let item = self.child(schema, &schema.value["items"]);
                for (index, value) in items.iter().enumerate() {
                    self.compare(value, &item, &format!("{place}[{index}]"), found);
                }
            }
            (Some("string"), Value::String(text_value)) => {
                let length = u64::try_from(text_value.chars().count()).unwrap();
                if number("minLength").is_some_and(|min| length < min)
                    || number("maxLength").is_some_and(|max| length > max)
                {
                    found.push(format!("{place}: {length} characters"));
                }
                if schema.value.get("enum").is_some_and(|all| !all.as_array().unwrap().contains(value)) {
                    found.push(format!("{place}: {value} is not one of the enumeration"));
                }
                if text("format") == Some("date-time") && !is_date_time(text_value) {
                    found.push(format!("{place}: {value} is no date and time"));
                }
            }
            (Some("integer"), Value::Number(number)) if number.is_i64() || number.is_u64() => {}
            (Some("number"), Value::Number(_)) | (Some("boolean"), Value::Bool(_)) => {}
            (kind, _) => {
                found.push(format!("{place}: a {}, not a {}", kind_of(value), kind.unwrap_or("object")));
            }
        }
    }

    fn compare_fields(
        &self,
        fields: &Map<String, Value>,
        schema: &Node,
        place: &str,
        found: &mut Vec<String>,
    ) {
        let (properties, required) = self.members(schema);
        for (name, value) in fields {
            let place = format!("{place}.{name}");
            match properties.get(name) {
                None => match schema.value.get("additionalProperties") {
                    Some(schema_of_all @ Value::Object(_)) => {
                        self.compare(value, &self.child(schema, schema_of_all), &place, found);
                    }
                    _ => found.push(format!("{place}: not in the description")),
                },
                Some(schema) if schema.value.get("x-ms-secret") == Some(&Value::Bool(true)) => {
                    found.push(format!("{place}: a secret, which no answer may hold"));
                }
                Some(schema) => self.compare(value, schema, &place, found),
            }
        }
        for name in required.iter().filter(|name| !fields.contains_key(*name)) {
            found.push(format!("{place}.{name}: required and missing"));
        }
    }

    /// Properties and required names of an object, those of `allOf` included.
    fn members(&self, schema: &Node) -> (HashMap<String, Node>, Vec<String>) {
        let (mut properties, mut required) = (HashMap::new(), Vec::new());
        for part in schema.value.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            let (more, needed) = self.members(&self.child(schema, part));
            properties.extend(more);
            required.extend(needed);
        }
        for (name, value) in schema.value.get("properties").and_then(Value::as_object).into_iter().flatten() {
            properties.insert(name.clone(), self.child(schema, value));
        }
        let names = schema.value.get("required").and_then(Value::as_array).into_iter().flatten();
        required.extend(names.map(|name| name.as_str().unwrap().to_owned()));
        (properties, required)
    }
}

/// Where the fields that both have are of different kinds.
pub(crate) fn unlike(ours: &Value, example: &Value, place: &str) -> Vec<String> {
    match (ours, example) {
        (Value::Object(ours), Value::Object(example)) => ours
            .iter()
            .filter_map(|(name, value)| Some(unlike(value, example.get(name)?, &format!("{place}.{name}"))))
            .flatten()
            .collect(),
        (Value::Array(ours), Value::Array(example)) => ours
            .iter()
            .flat_map(|ours| {
                example.iter().flat_map(move |example| unlike(ours, example, &format!("{place}[]")))
            })
            .collect(),
        _ if kind_of(ours) == kind_of(example) => Vec::new(),
        _ => vec![format!("{place}: a {}, in the example a {}", kind_of(ours), kind_of(example))],
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_date_time(text: &str) -> bool {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).is_ok()
}
