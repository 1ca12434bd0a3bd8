//! Names and values, as NAME=value between NULs: what is rendered reads back the same, by readers of our own that know
//! nothing of quoting. The programs that people use are run by tests/env_readers/.
#![no_main]

use apim_agent::{
    secret::Secret,
    sink::env_file::{Content, Format, check_name, check_value, render},
};
use std::collections::BTreeMap;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let pairs: Vec<(&str, &str)> = text.split('\0').filter_map(|pair| pair.split_once('=')).collect();
    let secrets: Vec<Secret> = pairs.iter().map(|(_, value)| Secret::new((*value).to_owned())).collect();
    let values: Vec<(&str, &Secret)> = pairs.iter().map(|(name, _)| *name).zip(&secrets).collect();
    let content =
        Content { gateway_url: "https://g", generation: 1, expires_at: None, values: &values, missing: &[] };
    let good = pairs.iter().all(|(name, value)| check_name(name).is_ok() && check_value(name, value).is_ok());
    for format in [Format::File, Format::Dotenv, Format::Sh, Format::Fish, Format::Json] {
        let text = match render(format, &content) {
            Ok(text) => text,
            Err(error) => {
                assert!(!good, "{error}");
                let told = |value: &&str| value.len() > 20 && error.to_string().contains(*value);
                assert!(!pairs.iter().map(|(_, value)| value).any(told), "the value is in the message");
                continue;
            }
        };
        assert!(good, "{format:?} takes what is refused");
        assert_eq!(text.len(), text.capacity(), "a buffer that grew leaves copies behind");
        let text = std::str::from_utf8(&text).expect("ASCII");
        if format == Format::Json {
            let object: BTreeMap<String, String> = serde_json::from_str(text).expect("an object of strings");
            let last: BTreeMap<&str, &str> = pairs.iter().copied().collect();
            assert!(last.iter().all(|(name, value)| object[*name] == **value));
            continue;
        }
        let found = lines(format, text);
        assert_eq!(found.len(), pairs.len() + 3);
        assert!(
            found[3..].iter().zip(&pairs).all(|(found, pair)| (found.0.as_str(), found.1.as_str()) == *pair)
        );
    }
});

fn lines(format: Format, text: &str) -> Vec<(String, String)> {
    let (start, separator) = match format {
        Format::Sh => ("export ", '='),
        Format::Fish => ("set -gx ", ' '),
        _ => ("", '='),
    };
    let lines =
        text.strip_suffix('\n').expect("whole lines").split('\n').filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) =
                line.strip_prefix(start).and_then(|line| line.split_once(separator)).expect("an assignment");
            let value = if format == Format::Fish && value == "''" { "" } else { value };
            (name.to_owned(), value.to_owned())
        })
        .collect()
}
