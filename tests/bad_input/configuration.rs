//! A slip in the configuration: named with its line before anything is touched.

use super::{KEY, refused, support::scene::Scene};

#[test]
fn a_typo_is_named_with_its_line_and_the_nearest_key() {
    let cases: [(&str, &str, &[&str]); 4] = [
        ("tenant_id =", "tenant_di =", &["tenant_di", "tenant_id"]),
        ("[gateway]", "[gatway]", &["gatway", "gateway"]),
        ("kind =", "knid =", &["knid", "kind"]),
        ("\"subscription-key\"", "\"subscription-kee\"", &["subscription-kee", "subscription-key"]),
    ];
    for (right, wrong, words) in cases {
        let scene = Scene::new(&[], KEY);
        let mut line = 0;
        scene.workspace.edit(|text| {
            line = 1 + text.lines().position(|line| line.contains(right)).unwrap();
            text.replacen(right, wrong, 1)
        });
        let place = format!("apim-agent.toml:{line}");
        refused(&scene, wrong, &[], 78, &[words, &[&place]].concat());
        scene.assert_untouched();
    }
}

#[test]
fn a_flag_and_a_variable_are_held_to_the_same() {
    let scene = Scene::new(&[], KEY);
    refused(
        &scene,
        "flag",
        &[("gateway.ulr", "https://127.0.0.1")],
        78,
        &["gateway.ulr", "gateway.url", "--set"],
    );
    let mut command = scene.command(&[], &["run"]);
    command.env("APIM_AGENT_GATEWAY_ULR", "https://127.0.0.1");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("APIM_AGENT_GATEWAY_ULR") && text.contains("APIM_AGENT_GATEWAY_URL"), "{text}");
}
