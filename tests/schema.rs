//! The schema beside the examples is the one that the program prints, and says what the loader says.
#![allow(clippy::unwrap_used)] // A test says by failing what it missed.

use apim_agent::config::forms;
use serde_json::Value;
use std::{fs, process::Command};

fn printed() -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_apim-agent")).arg("schema").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn the_schema_beside_the_examples_is_the_programs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gitpod/apim-agent.schema.json");
    assert!(
        fs::read(path).unwrap() == printed(),
        "out of date: apim-agent schema > gitpod/apim-agent.schema.json"
    );
}

/// The names that an editor offers are those that the loader takes.
#[test]
fn each_name_that_is_offered_is_taken() {
    let schema: Value = serde_json::from_slice(&printed()).unwrap();
    let names = |pointer: &str| -> Vec<String> {
        serde_json::from_value(schema.pointer(pointer).unwrap()["enum"].clone()).unwrap()
    };
    let clouds = names("/properties/cloud");
    assert!(clouds.iter().all(|name| forms::cloud(name).is_ok()));
    assert_eq!(clouds.len(), apim_agent::config::cloud::Cloud::ALL.len());

    let folder = tempfile::tempdir().unwrap();
    let complaint = |setting: &str| {
        let file = folder.path().join("apim-agent.toml");
        fs::write(&file, format!("[exchanges.a]\n{setting} = \"banana\"\nkind = \"token-exchange\"\n"))
            .unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let text = if setting == "kind" { text.replace("kind = \"token-exchange\"\n", "") } else { text };
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_apim-agent"));
        command.env_clear().args(["run", "--config"]).arg(&file);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    for key in ["kind", "client_auth"] {
        let names = names(&format!("/properties/exchanges/additionalProperties/properties/{key}"));
        let said = complaint(key);
        assert!(said.contains(&format!("allowed are {}", names.join(", "))), "{key}: {names:?}\n{said}");
    }
}
