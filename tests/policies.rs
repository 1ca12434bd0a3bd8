//! The policies that people apply at a real gateway: well-formed, within API Management's rules, and the fragment's
//! expression decides as the code does, which a C# compiler shows where there is one (Debian: mono-mcs).
#![allow(clippy::unwrap_used)] // A test says by failing what it missed.

use apim_agent::{clock, gateway::mark, lease::subscription_key::naming};
use roxmltree::{Document, Node};
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

const FRAGMENT: &str = "expire-workspace-keys";
const HOUR: Duration = Duration::from_hours(1);

fn policy(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("gitpod/policies").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn elements<'a>(node: Node<'a, 'a>) -> Vec<&'a str> {
    node.children().filter(Node::is_element).map(|child| child.tag_name().name()).collect()
}

#[test]
fn all_are_well_formed_and_have_their_sections() {
    for name in ["echo.xml", "partner.xml"] {
        let text = policy(name);
        let document = Document::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            elements(document.root_element()),
            ["inbound", "backend", "outbound", "on-error"],
            "{name}"
        );
    }
}

/// <https://learn.microsoft.com/azure/api-management/policy-fragments>, "Limitations".
#[test]
fn the_fragment_keeps_to_the_rules_for_fragments() {
    let text = policy(&format!("{FRAGMENT}.xml"));
    assert!(text.len() < 32 * 1024);
    let document = Document::parse(&text).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "fragment");
    for forbidden in ["inbound", "outbound", "backend", "on-error", "base", "include-fragment"] {
        assert!(!document.descendants().any(|node| node.has_tag_name(forbidden)), "{forbidden}");
    }
}

#[test]
fn the_fragment_is_the_first_thing_after_the_base() {
    let text = policy("echo.xml");
    let document = Document::parse(&text).unwrap();
    let inbound = document.descendants().find(|node| node.has_tag_name("inbound")).unwrap();
    assert_eq!(elements(inbound)[..2], ["base", "include-fragment"]);
    let include = document.descendants().find(|node| node.has_tag_name("include-fragment")).unwrap();
    assert_eq!(include.attribute("fragment-id"), Some(FRAGMENT));
}

/// The C# of the fragment's decision, as API Management reads it out of the XML.
fn expression() -> String {
    let text = policy(&format!("{FRAGMENT}.xml"));
    let document = Document::parse(&text).unwrap();
    let variable = document.descendants().find(|node| node.has_tag_name("set-variable")).unwrap();
    let value = variable.attribute("value").unwrap();
    value.strip_prefix("@{").and_then(|value| value.strip_suffix('}')).unwrap().to_owned()
}

/// All that the expression may use, with the types that the documentation gives it.
fn program() -> String {
    format!(
        r#"using System; using System.Text.RegularExpressions;
class Subscription {{ public DateTime CreatedDate; public DateTime? EndDate; public string Id, Key, Name, PrimaryKey, SecondaryKey; public DateTime? StartDate; }}
class Context {{ public Subscription Subscription; }}
static class Program {{
    static bool Decide(Context context) {{ {} }}
    static DateTime Date(string seconds, DateTimeKind kind) {{
        return new DateTime(new DateTime(1970, 1, 1).Ticks + long.Parse(seconds) * TimeSpan.TicksPerSecond, kind);
    }}
    static void Main() {{
        Console.WriteLine(Decide(new Context()));
        Console.WriteLine(Decide(new Context {{ Subscription = new Subscription() }}));
        for (string line; (line = Console.ReadLine()) != null;) {{
            var part = line.Split('\t');
            foreach (var kind in new[] {{ DateTimeKind.Utc, DateTimeKind.Unspecified }}) {{
                var subscription = new Subscription {{ Id = part[0], Name = part[1], CreatedDate = Date(part[2], kind) }};
                if (part[3] != "") subscription.EndDate = Date(part[3], kind);
                Console.WriteLine(Decide(new Context {{ Subscription = subscription }}));
            }}
        }}
    }}
}}"#,
        expression()
    )
}

/// A subscription as the policy sees it.
struct Case {
    sid: String,
    name: String,
    created: SystemTime,
    end: Option<SystemTime>,
}

fn cases(now: SystemTime) -> Vec<Case> {
    let ours = naming::sid("https://issuer.example", "subject", "workspace", "key");
    let name = |until| naming::display_name("until until", Some("ada@example.com"), until);
    let (past, future) = (now - HOUR, now + HOUR);
    let mut cases = Vec::new();
    for sid in [
        ours.as_str(),
        "ws-1",
        "master",
        &ours[..34],
        &format!("{ours}0"),
        &format!("ws-{}", ours[3..].to_uppercase()),
    ] {
        let names = [
            name(past),
            name(future),
            "apim-agent".to_owned(),
            "apim-agent x".to_owned(),
            "apim-agent x until tomorrow".to_owned(),
            "apim-agent x until ".to_owned(),
            "Partner portal".to_owned(),
            "my apim-agent x".to_owned(),
            String::new(),
        ];
        for name in names {
            for created in [now - 47 * HOUR, now - 49 * HOUR, now - 1000 * HOUR] {
                for end in [None, Some(past), Some(future)] {
                    cases.push(Case { sid: sid.to_owned(), name: name.clone(), created, end });
                }
            }
        }
    }
    cases
}

#[test]
fn the_fragments_expression_decides_as_the_code_does() {
    if ["mcs", "mono"].iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        // Past the harness, which keeps what a test that passes has printed.
        let _ = writeln!(
            std::io::stderr(),
            "NOT TESTED: the fragment's C#, since mcs or mono is missing (Debian: mono-mcs)"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (source, program_file) = (folder.path().join("program.cs"), folder.path().join("program.exe"));
    fs::write(&source, program()).unwrap();
    let compiled = Command::new("mcs")
        .arg(format!("-out:{}", program_file.display()))
        .args(["-langversion:7", "-warnaserror"])
        .arg("-nowarn:649") // fields that nobody sets are the documentation's
        .arg(&source)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));

    let now = clock::now();
    let cases = cases(now);
    let line = |case: &Case| {
        let end = case.end.map_or_else(String::new, |end| clock::unix(end).to_string());
        format!("{}\t{}\t{}\t{end}\n", case.sid, case.name, clock::unix(case.created))
    };
    // Somewhere else than in UTC, as a self-hosted gateway may be.
    let mut child = Command::new("mono")
        .arg(&program_file)
        .env("TZ", "Asia/Tokyo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = cases.iter().map(line).collect();
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut decided = text.lines();
    assert_eq!(
        [decided.next(), decided.next()],
        [Some("False"); 2],
        "no subscription, and one without a name"
    );

    let mut refused = 0;
    for case in &cases {
        let end = mark::end(case.end, &case.name, Some(case.created));
        let expected = mark::is_ours(&case.sid, &case.name) && end.is_some_and(|end| end <= now);
        let expected = if expected { "True" } else { "False" };
        assert_eq!([decided.next(), decided.next()], [Some(expected); 2], "{}", line(case));
        refused += usize::from(expected == "True");
    }
    assert_eq!(decided.next(), None);
    assert!(refused > 20 && refused < cases.len() / 4, "{refused} of {}", cases.len());
}
