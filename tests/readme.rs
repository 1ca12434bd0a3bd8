//! The README and docs/ say what is so: its tables are the code's, its configurations load, its paths exist, its sample is what
//! the program prints, and its role is enough.
#![allow(clippy::unwrap_used)] // A test says by failing what it missed.

mod support;

use apim_agent::{
    cli::args,
    config::{self, Choice, Config, Env, Inputs, Source, duration, keys},
    error::{Class, Error},
};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::{BINARY, bare, process::Process};

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// All pages that people read, by their path.
fn pages() -> Vec<(String, String)> {
    let mut paths =
        vec!["README.md".to_owned(), "gitpod/README.md".to_owned(), "gitpod/policies/README.md".to_owned()];
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_str().unwrap()));
    paths.extend(docs.filter(|path| Path::new(path).extension().is_some_and(|kind| kind == "md")));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap())).collect()
}

/// All of them in one text.
fn all() -> String {
    pages().into_iter().map(|(_, text)| text + "\n").collect()
}

/// The rows of the first table after `mark`, without head and rule; each cell trimmed.
fn table(readme: &str, mark: &str) -> Vec<Vec<String>> {
    let (_, after) = readme.split_once(mark).unwrap_or_else(|| panic!("no page has the mark {mark:?}"));
    let rows =
        after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}

/// What stands between backquotes.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The fenced blocks in `language`.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

fn load(toml: &str) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(config::FILE_NAME), toml).unwrap();
    let env: Env = std::iter::empty::<(&str, &str)>().collect();
    config::load(&Inputs {
        file: Choice::Usual(Some(Path::new(config::FILE_NAME))),
        env: &env,
        flags: &[],
        folder: folder.path(),
        host_name: "host",
    })
}

#[test]
fn the_table_of_settings_is_the_codes() {
    let rows = table(&all(), "<!-- settings:");
    let named = |name: &str, path: &str, aliases: &[&str]| {
        let variables =
            std::iter::once(keys::variable(path)).chain(aliases.iter().map(|&alias| alias.to_owned()));
        (name.to_owned(), variables.collect::<Vec<_>>())
    };
    let mut wanted: Vec<_> = keys::KEYS.iter().map(|key| named(key.name, key.name, key.aliases)).collect();
    let sections =
        keys::SECTIONS.iter().filter(|section| ["exchanges", "credentials"].contains(&section.name));
    wanted.extend(sections.flat_map(|section| {
        section.keys.iter().map(|key| {
            let path = format!("{}.NAME.{}", section.name, key.name);
            named(&path, &path, key.aliases)
        })
    }));
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (code(&row[0])[0].to_owned(), code(&row[1]).into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(shown, wanted);
}

#[test]
fn the_defaults_are_those_that_one_gets() {
    let config = load(
        "[entra]\ntenant_id = \"contoso.com\"\nclient_id = \"00000000-0000-0000-0000-000000000000\"\n\
         [gateway]\nurl = \"https://h\"\n[credentials.a]\nscope = \"api://a/.default\"\nenv = \"A\"\n",
    )
    .unwrap();
    let url = |url: &url::Url| url.as_str().trim_end_matches('/').to_owned();
    let credential = &config.credentials[0];
    let entra = config.exchanges[config::DEFAULT].method.entra().unwrap();
    let defaults = [
        ("request_timeout", duration::show(config.request_timeout)),
        ("revoke_timeout", duration::show(config.revoke_timeout)),
        ("identity.source", "auto".to_owned()),
        ("identity.audience", entra.audience.clone()),
        ("identity.bearer_file", config.identity().bearer_file.display().to_string()),
        ("identity.variable", config::ID_TOKEN_VARIABLE.to_owned()),
        ("entra.authority", url(&entra.authority)),
        ("arm.url", url(&entra.arm.url)),
        ("arm.scope", entra.arm.scope.clone()),
        ("credentials.NAME.kind", credential.target.kind().to_string()),
        ("credentials.NAME.lifetime", duration::show(credential.lifetime)),
    ];
    let rows = table(&all(), "<!-- settings:");
    for (key, default) in defaults {
        let row = rows.iter().find(|row| code(&row[0]) == [key]).unwrap();
        assert_eq!(code(&row[2]).first().copied(), Some(default.as_str()), "default of {key}");
    }
    // "Required" is what cannot be left out.
    let problem = load("[credentials.NAME]").unwrap_err().to_string();
    for row in &rows {
        let key = code(&row[0])[0];
        assert_eq!(row[2] == "required", problem.contains(&format!("{key} is not set")), "{key}: {problem}");
    }
}

#[test]
fn the_table_of_sources_is_the_codes_and_in_the_order_of_auto() {
    let rows = table(&all(), "<!-- sources:");
    let shown: Vec<_> = rows.iter().map(|row| code(&row[0])[0].to_owned()).collect();
    let names: Vec<_> = Source::ALL.iter().map(|(name, _)| *name).filter(|name| *name != "auto").collect();
    assert_eq!(shown, names);
    // What a source looks for, it says when it is not there; so says the table.
    let (home, runtime_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let values = ["AZURE_TENANT_ID=contoso.com", "AZURE_CLIENT_ID=00000000-0000-0000-0000-000000000000"];
    let more = ["APIM_AGENT_GATEWAY_URL=https://127.0.0.1:1", "APIM_AGENT_SCOPE=api://a/.default"];
    let mut command = bare(home.path());
    command.envs(values.iter().chain(&more).map(|pair| pair.split_once('=').unwrap()));
    command.env("XDG_RUNTIME_DIR", runtime_dir.path());
    command.args(["--set", "identity.bearer_file=no-bearer", "run"]);
    let (status, text) = Process::start(&mut command).finish();
    assert_eq!(status.code(), Some(78), "{text}");
    for row in &rows {
        let name = code(&row[0])[0];
        if !Source::ALL.iter().any(|(known, source)| *known == name && source.is_found_by_itself()) {
            assert!(!text.contains(&format!("{name}: ")) && row[1] == "it is named", "{name}: {text}");
            continue;
        }
        let (_, said) =
            text.split_once(&format!("{name}: ")).unwrap_or_else(|| panic!("no {name} in {text}"));
        let said = said.split(';').next().unwrap();
        let here = if name == "env" { code(&row[2]) } else { code(&row[1]) };
        let word = |word: &str| word.replace("identity.bearer_file", "bearer_file");
        assert!(said.contains(&word(here[0])), "{name}: {said:?} says nothing of {}", here[0]);
    }
}

#[test]
fn the_exit_codes_are_the_codes() {
    let all =
        [Class::Usage, Class::Unavailable, Class::Internal, Class::TryAgain, Class::Denied, Class::Config];
    // A class that is new to this list is found by its exit code in the help.
    let help = args::command().render_help().to_string();
    let (_, help) = help.split_once("Exit codes:\n").unwrap();
    let in_help = help.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok());
    let in_help: BTreeSet<u8> = in_help.collect();
    let in_code: BTreeSet<u8> =
        all.map(|class| Error::new(class, "").exit_code()).into_iter().chain([0]).collect();
    let in_readme: BTreeSet<u8> =
        table(&readme(), "<!-- exit codes:").iter().map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(in_readme, in_code);
    assert_eq!(in_readme, in_help);
}

#[test]
fn the_commands_and_flags_are_those_of_the_command_line() {
    let readme = readme();
    let all = all();
    let command = args::command();
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let shown: Vec<_> = table(&readme, "## Commands").iter().map(|row| code(&row[0])[0].to_owned()).collect();
    assert_eq!(shown, names);

    let emulator = command.find_subcommand("emulator").unwrap();
    let flags = emulator.get_arguments().filter_map(|argument| argument.get_long());
    let wanted: BTreeSet<_> =
        flags.filter(|flag| !["ready-file", "help"].contains(flag)).map(|flag| format!("--{flag}")).collect();
    let rows = table(&all, "<!-- emulator flags:");
    let shown: BTreeSet<_> = rows
        .iter()
        .flat_map(|row| [code(&row[0]), code(&row[2])].concat())
        .filter(|word| word.starts_with("--"))
        .map(str::to_owned)
        .collect();
    assert_eq!(shown, wanted);

    // Every line that calls us parses.
    let lines = blocks(&all, "sh").join("\n");
    let calls = lines.lines().filter_map(|line| line.trim().strip_prefix("apim-agent "));
    let mut count = 0;
    for call in calls {
        let words = call.split(['#', '&', '>', '|', '<']).next().unwrap().split_whitespace();
        args::parse(std::iter::once("apim-agent").chain(words))
            .unwrap_or_else(|error| panic!("{call}: {error}"));
        count += 1;
    }
    assert!(count >= 4, "only {count} calls found");
}

#[test]
fn each_configuration_loads() {
    let text = all();
    let mut blocks = blocks(&text, "toml").into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert!(blocks.len() >= 2);
    for example in ["gitpod/apim-agent.toml", "gitpod/everything.toml"] {
        blocks.push(fs::read_to_string(root().join(example)).unwrap());
    }
    // A fragment that names nothing to be had is no configuration.
    for block in
        blocks.into_iter().filter(|block| block.contains("[entra]") || block.contains("[credentials"))
    {
        let config = load(&block).unwrap_or_else(|error| panic!("{error}\n{block}"));
        assert!(!config.credentials.is_empty());
    }
}

/// The names by which a page's headings are linked to, as GitHub makes them.
fn anchors(prose: &str) -> BTreeSet<String> {
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let kept = |letter: &char| letter.is_alphanumeric() || "-_ ".contains(*letter);
    headings
        .map(|line| line.trim_matches(['#', ' ']).to_lowercase())
        .map(|line| line.chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn each_link_and_path_leads_somewhere() {
    for (file, text) in pages() {
        let folder = root().join(&file).parent().unwrap().to_owned();
        let prose = prose(&text);
        let links = prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.contains("://")) {
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { root().join(&file) } else { folder.join(path) };
            assert!(target.exists(), "{file}: {link} leads nowhere");
            if let Some(anchor) = anchor {
                let there = self::prose(&fs::read_to_string(&target).unwrap());
                assert!(anchors(&there).contains(anchor), "{file}: no heading for {link}");
            }
        }
        let ours = ["src/", "tests/", "scripts/", "gitpod/", "docs/", ".ci/"];
        for path in code(&prose).into_iter().filter(|word| ours.iter().any(|start| word.starts_with(start))) {
            let path = path.split(' ').next().unwrap();
            assert!(root().join(path).exists(), "{file}: {path} does not exist");
        }
    }
    // Messages of ours send people there.
    let azure = fs::read_to_string(root().join("docs/azure.md")).unwrap();
    for heading in ["Rights in Azure", "Cleaning up after dead workspaces"] {
        assert!(azure.contains(&format!("\n## {heading}\n")), "{heading}");
    }
}

#[test]
fn each_page_is_reached_from_the_front_page() {
    let (mut known, mut queue) = (BTreeSet::new(), vec![root().join("README.md")]);
    while let Some(page) = queue.pop() {
        if !known.insert(page.canonicalize().unwrap()) {
            continue;
        }
        let text = prose(&fs::read_to_string(&page).unwrap());
        let links = text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
        queue.extend(
            links
                .filter(|link| Path::new(link).extension().is_some_and(|kind| kind == "md"))
                .map(|link| page.parent().unwrap().join(link)),
        );
    }
    for (page, _) in pages() {
        assert!(known.contains(&root().join(&page).canonicalize().unwrap()), "nothing leads to {page}");
    }
}

/// What changes from run to run becomes `#`: numbers, ids, ports, times, and the two paths.
fn shape(line: &str) -> String {
    let word = |word: &str| {
        if word.ends_with("/ca.pem") {
            return "CA".to_owned();
        }
        if word.ends_with("/env") {
            return "ENV".to_owned();
        }
        let parts = word.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
        let part = |part: &str| {
            let letters = part.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
            if letters.contains(|letter: char| letter.is_ascii_digit()) {
                format!("#{}", &part[letters.len()..])
            } else {
                part.to_owned()
            }
        };
        parts.map(part).collect::<String>()
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// The sample in the README against the real thing, with exactly the rights that the role of docs/azure.md gives.
#[test]
fn the_sample_is_what_one_sees_and_the_role_is_enough() {
    let readme = readme();
    let role: serde_json::Value = serde_json::from_str(blocks(&all(), "json")[0]).unwrap();
    let actions: Vec<_> = role["Actions"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    assert_eq!(actions.len(), 3);

    let (home, runtime_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let mut command: Command = bare(home.path());
    command.env("XDG_RUNTIME_DIR", runtime_dir.path());
    command.args(["--workspace", "acme-payments", "run", "--emulator"]);
    for action in actions {
        command.args(["--role-action", action]);
    }
    let agent = Process::start(&mut command);
    agent.wait_for("\nCtrl-C wipes");
    agent.signal(Signal::SIGINT);
    let (status, text) = agent.finish();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains("\nrevoked "), "{text}");

    let (_, after) = readme.split_once("<!-- sample:").unwrap();
    let samples = blocks(after, "text");
    let ending = samples.iter().find(|block| block.starts_with("wiped ")).unwrap();
    // Who ends first is up to the network, and how fast a wipe is to the machine.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text
            .lines()
            .map(|line| shape(&line.replace("less than ", "")))
            .filter(|line| !line.is_empty())
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(
        sorted(&format!("{}\n{ending}", samples[0])),
        sorted(&text),
        "README.md's sample is out of date:\n{text}"
    );
    assert!(Path::new(BINARY).exists());
}
