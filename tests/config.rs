//! The configuration from outside: files, variables and flags to a `Config`, or to words that help.

use apim_agent::{
    config::{self, Choice, Config, Entry, Env, Inputs, Kind, Place, Source},
    error::{Class, Error},
};
use proptest::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Variables with which a file needs nothing more to be complete.
const BASE: [(&str, &str); 4] = [
    ("AZURE_TENANT_ID", "contoso.onmicrosoft.com"),
    ("AZURE_CLIENT_ID", "3f2b8e6a-91c4-4d7e-8a35-6b0f4c9d1e22"),
    ("APIM_AGENT_GATEWAY_URL", "https://contoso.azure-api.net"),
    ("APIM_AGENT_SCOPE", "api://orders/.default"),
];

/// A folder with (or without) a configuration, as the current one.
struct Desk {
    folder: tempfile::TempDir,
    env: Env,
    flags: Vec<Entry>,
    /// Whether its file is named: what may be said in one that is found is tested elsewhere.
    named: bool,
}

impl Desk {
    fn new(file: Option<&str>, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("temp");
        if let Some(text) = file {
            fs::write(folder.path().join("apim-agent.toml"), text).expect("write");
        }
        Self { folder, env: env.iter().copied().collect(), flags: Vec::new(), named: file.is_some() }
    }

    fn with<R>(&self, choice: Choice<'_>, then: impl FnOnce(&Inputs<'_>) -> R) -> R {
        then(&Inputs {
            file: choice,
            env: &self.env,
            flags: &self.flags,
            folder: self.folder.path(),
            host_name: "host",
        })
    }

    fn load(&self) -> Result<Config, Error> {
        self.with(Choice::Usual(self.named.then_some(Path::new("apim-agent.toml"))), config::load)
    }

    fn place(&self) -> Result<Place, Error> {
        self.with(Choice::Usual(None), config::place)
    }
}

fn render(error: &Error) -> String {
    let part =
        |name, text: &Option<String>| text.as_ref().map_or(String::new(), |text| format!("{name}: {text}\n"));
    format!("what: {}\n{}{}", error.what, part("why", &error.why), part("fix", &error.fix))
}

/// Each `NAME.toml` is refused with the words in `NAME.err`. A line `# base` gives it [`BASE`], and `# env: K=V` a
/// variable. To write the `.err` files anew (and then to read them!): `APIM_AGENT_BLESS=1 cargo test --test config`.
fn entra(config: &Config) -> &config::Entra {
    config.exchanges[config::DEFAULT].method.entra().expect("Entra")
}

#[test]
fn each_mistake_gets_the_words_that_help() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/config");
    let bless = std::env::var_os("APIM_AGENT_BLESS").is_some();
    let mut files: Vec<PathBuf> = fs::read_dir(&cases)
        .expect("cases")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    assert!(files.len() > 40, "only {} cases found", files.len());

    let mut failures = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("case");
        let mut env: Vec<(&str, &str)> = if text.contains("# base\n") { BASE.to_vec() } else { Vec::new() };
        env.extend(text.lines().filter_map(|line| line.strip_prefix("# env: ")?.split_once('=')));
        let seen = match Desk::new(Some(&text), &env).load() {
            Err(error) if error.class == Class::Config => render(&error),
            other => format!("not refused: {other:?}\n"),
        };
        assert!(!seen.contains("HIDDEN"), "{}: a secret is shown: {seen}", file.display());
        let expected = file.with_extension("err");
        if bless {
            fs::write(&expected, &seen).expect("bless");
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if wanted != seen {
            failures.push(format!("--- {}\nwanted:\n{wanted}seen:\n{seen}", file.display()));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.concat());
}

#[test]
fn the_example_is_complete_and_valid() {
    let example = include_str!("../gitpod/apim-agent.toml");
    let config = Desk::new(Some(example), &[]).load().expect("valid");
    assert_eq!(config.credentials.len(), 2);

    // Every setting is in it, at least as a comment.
    let in_table = |header: &str, leaf: &str| {
        let of_table = example.split("\n[").find(|part| part.starts_with(header)).expect(header);
        of_table.lines().any(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{leaf} = ")))
    };
    for key in config::keys::KEYS {
        let found = match key.name.split_once('.') {
            Some((table, leaf)) => in_table(&format!("{table}]"), leaf),
            None => example
                .lines()
                .any(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{} = ", key.name))),
        };
        assert!(found, "{} is not in the example", key.name);
    }
}

#[test]
fn the_example_of_everything_has_everything() {
    let example = include_str!("../gitpod/everything.toml");
    let config = Desk::new(Some(example), &[]).load().expect("valid");
    for section in config::keys::SECTIONS {
        let entries = example.split("\n[").filter(|part| part.starts_with(section.name));
        let lines: Vec<&str> = entries.flat_map(str::lines).collect();
        for key in section.keys {
            // The plain tables show those that every entry has in common with them.
            let plain = ["gateways", "identities"].contains(&section.name) && key.name == "probe";
            let found = lines.iter().any(|line| line.starts_with(&format!("{} = ", key.name)));
            assert!(found || plain, "{}.NAME.{} is not in the example", section.name, key.name);
        }
    }
    for (_, kind) in Kind::ALL {
        assert!(config.credentials.iter().any(|credential| credential.target.kind() == kind), "no {kind}");
    }
    assert_eq!(
        config.exchanges["government"].method.entra().expect("Entra").audience,
        "api://AzureADTokenExchangeUSGov"
    );
}

/// The example again, with every commented setting switched on: the comments must not rot either.
#[test]
fn the_comments_of_the_example_are_valid_too() {
    let example = include_str!("../gitpod/apim-agent.toml");
    let on: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, value)| !key.contains(' ') && value.starts_with(['"', '['])) =>
            {
                rest
            }
            _ => line,
        })
        .collect();
    assert_ne!(on.join("\n"), example.trim_end());
    Desk::new(Some(&on.join("\n")), &[]).load().expect("valid with everything on");
}

#[test]
fn variables_alone_are_enough_for_one_access_token() {
    let config = Desk::new(None, &BASE).load().expect("valid");
    let [credential] = config.credentials.as_slice() else { panic!("{:?}", config.credentials) };
    assert_eq!(credential.target.kind(), Kind::AccessToken);
    assert_eq!(
        (credential.target.to_string().as_str(), credential.env.as_str()),
        ("api://orders/.default", "APIM_ACCESS_TOKEN")
    );
    assert_eq!(config.gateway().url.as_str(), "https://contoso.azure-api.net/");
    assert_eq!(config.identity().source, Source::Auto);
    assert_eq!((config.workspace.as_str(), config.request_timeout), ("host", Duration::from_secs(10)));
}

#[test]
fn a_cloud_sets_what_is_not_set_by_name() {
    let endpoints = |file: &str| {
        let config = Desk::new(Some(file), &BASE).load().expect("valid");
        [
            entra(&config).authority.to_string(),
            entra(&config).arm.url.to_string(),
            entra(&config).arm.scope.clone(),
            entra(&config).audience.clone(),
        ]
    };
    assert_eq!(
        endpoints(""),
        [
            "https://login.microsoftonline.com/",
            "https://management.azure.com/",
            "https://management.azure.com/.default",
            "api://AzureADTokenExchange"
        ]
    );
    assert_eq!(
        endpoints("cloud = \"us-government\""),
        [
            "https://login.microsoftonline.us/",
            "https://management.usgovcloudapi.net/",
            "https://management.usgovcloudapi.net/.default",
            "api://AzureADTokenExchangeUSGov"
        ]
    );
    assert_eq!(
        endpoints(
            "cloud = \"china\"\n[arm]\nurl = \"https://127.0.0.1:8443/\"\n[entra]\nauthority = \"https://localhost\""
        ),
        [
            "https://localhost/",
            "https://127.0.0.1:8443/",
            "https://management.chinacloudapi.cn/.default",
            "api://AzureADTokenExchangeChina"
        ]
    );
}

#[test]
fn a_credential_is_probed_at_its_own_path_or_at_the_gateways() {
    let file = "[gateway]\nprobe = \"/shared\"\n\
                [credentials.a]\nscope = \"a/.default\"\nenv = \"A\"\n\
                [credentials.b]\nscope = \"b/.default\"\nenv = \"B\"\nprobe = \"/own\"\n";
    let config = Desk::new(Some(file), &BASE).load().expect("valid");
    let probes: Vec<_> = config.credentials.iter().map(|credential| credential.probe.as_deref()).collect();
    assert_eq!(probes, [Some("/shared"), Some("/own")]);
}

/// `run --emulator` is nothing but settings.
#[test]
fn overrides_beat_the_environment_and_the_file() {
    let mut desk = Desk::new(Some("[entra]\ntenant_id = \"file.example\""), &BASE);
    desk.flags = vec![
        Entry::flag("--emulator", "entra.tenant_id", "7a1d0f3c-5b5e-4c0e-9d58-0d5c1e6f2a11"),
        Entry::flag("--emulator", "credentials.key.kind", "subscription-key"),
        Entry::flag("--emulator", "credentials.key.scope", "/products/starter"),
        Entry::flag("--emulator", "credentials.key.env", "APIM_SUBSCRIPTION_KEY"),
        Entry::flag("--emulator", "credentials.key.lifetime", "20s"),
        Entry::flag("--set", "credentials.key.lifetime", "30s"),
        Entry::flag(
            "--emulator",
            "gateway.service",
            "/subscriptions/b9e8d7c6-0a1b-4c2d-8e3f-4a5b6c7d8e44/resourceGroups/rg/providers/Microsoft.ApiManagement/service/apim-emulator",
        ),
    ];
    let config = desk.load().expect("valid");
    assert_eq!(entra(&config).tenant_id, "7a1d0f3c-5b5e-4c0e-9d58-0d5c1e6f2a11");
    let [key] = config.credentials.as_slice() else { panic!("{:?}", config.credentials) };
    assert_eq!((key.target.kind(), key.lifetime), (Kind::SubscriptionKey, Duration::from_secs(30)));
    assert_eq!(key.grace, Duration::from_millis(7500), "the default leaves room in a short life");

    desk.flags.push(Entry::flag("--set", "gateway.uri", "x"));
    let error = desk.load().expect_err("unknown key");
    assert_eq!(
        render(&error),
        "what: gateway.uri is not a setting\n\
         why: flag --set: allowed in [gateway] are url, service, probe\n\
         fix: did you mean gateway.url? For example: --set gateway.url=https://contoso.azure-api.net\n"
    );
}

#[test]
fn relative_paths_begin_where_they_are_written() {
    let desk = Desk::new(None, &BASE);
    let home = desk.folder.path().join("settings");
    fs::create_dir(&home).expect("folder");
    fs::write(home.join("mine.toml"), "ca_file = \"ca.pem\"\n[identity]\nbearer_file = \"/abs\"")
        .expect("write");
    let mut desk = desk;
    desk.flags = vec![Entry::flag("--runtime-dir", "runtime_dir", "run")];
    let config =
        desk.with(Choice::Usual(Some(Path::new("settings/mine.toml"))), config::load).expect("valid");
    assert_eq!(config.ca_file, Some(home.join("ca.pem")));
    assert_eq!(config.runtime_dir, Some(desk.folder.path().join("run")));
    assert_eq!(config.identity().bearer_file, Path::new("/abs"));
}

#[test]
fn a_named_file_has_to_be_there_and_an_unnamed_one_not() {
    let desk = Desk::new(None, &BASE);
    desk.load().expect("no file is fine");
    let error = desk.with(Choice::Usual(Some(Path::new("gone.toml"))), config::load).expect_err("named");
    assert_eq!((error.class, error.why.as_deref()), (Class::Config, Some("flag --config names it")));

    let variables: Vec<_> = BASE.into_iter().chain([("APIM_AGENT_CONFIG", "gone.toml")]).collect();
    let desk = Desk::new(Some("this file = is not read"), &variables);
    let error = desk.with(Choice::Usual(None), config::load).expect_err("named by a variable");
    assert_eq!(error.why.as_deref(), Some("variable APIM_AGENT_CONFIG names it"));
    desk.with(Choice::Nothing, config::load).expect("no file is wanted at all");
}

#[test]
fn what_is_not_a_text_file_is_refused_without_waiting() {
    let desk = Desk::new(None, &BASE);
    let path = desk.folder.path().join("apim-agent.toml");
    let why = || desk.load().expect_err("refused").why.expect("why");

    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    assert_eq!(why(), "it is not a regular file");
    fs::remove_file(&path).expect("remove");
    fs::write(&path, b"cloud = \"\xff\"").expect("write");
    assert_eq!(why(), "it is not UTF-8 from byte 9 on");
    fs::write(&path, "#".repeat(300 * 1024)).expect("write");
    assert_eq!(why(), "it is larger than 256 KiB");
}

#[test]
fn a_file_further_up_in_the_repository_is_found() {
    let desk = Desk::new(Some("workspace = \"from-the-root\""), &BASE);
    let inner = desk.folder.path().join("src/deep");
    fs::create_dir_all(&inner).expect("folders");
    let load = || {
        let (env, flags) = (&desk.env, &desk.flags);
        config::load(&Inputs { file: Choice::Usual(None), env, flags, folder: &inner, host_name: "host" })
    };
    assert_eq!(load().expect("valid").workspace, "host", "not in a repository: nothing above is trusted");
    fs::create_dir(desk.folder.path().join(".git")).expect("folder");
    assert_eq!(load().expect("valid").workspace, "from-the-root");
}

#[test]
fn an_agent_is_found_although_the_configuration_is_broken() {
    let broken = "workspace = \"mine\"\nruntime_dir = \"/dev/shm/x\"\n[gateway\nurl = 5\n";
    let place = Desk::new(Some(broken), &[]).place().expect("found");
    assert_eq!(
        (place.workspace.as_str(), place.runtime_dir.as_deref()),
        ("mine", Some(Path::new("/dev/shm/x")))
    );
    assert_eq!(place.doubt.expect("told").what, "apim-agent.toml is not valid TOML");

    let incomplete = Desk::new(Some("workspace = \"mine\"\nbanana = 1"), &[]).place().expect("found");
    assert_eq!(incomplete.workspace, "mine");

    let gone = Desk::new(None, &[("APIM_AGENT_CONFIG", "gone.toml"), ("GITPOD_ENVIRONMENT_ID", "e5f6")]);
    let place = gone.place().expect("found");
    assert_eq!(place.workspace, "e5f6");
    assert!(place.doubt.is_some());

    let error = Desk::new(Some("workspace = 7"), &[]).place().expect_err("its own setting is wrong");
    assert_eq!(error.what, "workspace is an integer");
}

/// Depth costs stack when a parser recurses, and also when its tree is dropped. A file may be this long.
#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let deep = 40 * 1024;
    for text in [
        format!("{}a = 1", "a.".repeat(deep)),
        format!("[{}a]", "a.".repeat(deep)),
        format!("x = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("x = {}1{}", "{y=".repeat(deep), "}".repeat(deep)),
    ] {
        let error = Desk::new(Some(&text), &BASE).load().expect_err("nonsense");
        assert_eq!(error.class, Class::Config);
        assert!(error.to_string().len() < 2000, "the file comes back in the message");
    }
}

proptest! {
    /// Nothing that a file can hold makes us panic, and what is complained about is a line that exists.
    #[test]
    fn no_text_panics(text in "(\\PC|[\n\r\t\u{0}\u{feff}=\\[\\]\"'.#{}]){0,200}") {
        let document = config::document::parse("f", &text);
        let lines = text.split('\n').count();
        for problem in document.problems.iter().chain(&document.syntax) {
            if let Some(config::problem::Origin::File { line, .. }) = problem.origin {
                prop_assert!((1..=lines).contains(&line), "{problem:?}");
            }
        }
    }

    /// The same for texts that are nearly configurations, all the way through.
    #[test]
    fn no_configuration_panics(lines in proptest::collection::vec(line(), 0..20)) {
        let env: Env = BASE.into_iter().collect();
        let document = config::document::parse("f", &lines.join("\n"));
        let layers = config::layers::Layers::resolve(document, &env, &[], "host");
        config::trust::needs(&layers);
        let folders = config::validate::Folders { file: Path::new("/"), current: Path::new("/") };
        match config::validate::config(layers, folders) {
            Ok(config) => prop_assert!(!config.credentials.is_empty()),
            Err(error) => prop_assert!(error.class == Class::Config && error.fix.is_some()),
        }
    }
}

fn line() -> impl Strategy<Value = String> {
    let names = config::keys::KEYS.iter().chain(config::keys::CREDENTIAL_KEYS);
    let names: Vec<&str> = names.map(|key| key.name.rsplit('.').next().expect("a name")).collect();
    let value = prop_oneof![
        "\"\\PC{0,12}\"",
        "'/[a-z/?#]{0,12}'",
        "\"[0-9]{1,20}(ms|s|m|h)\"",
        "\"https?://[a-z@:/?#.]{0,12}\"",
        "[0-9]{1,3}",
        "[\\[\\]{}]{1,3}",
    ];
    prop_oneof![
        (proptest::sample::select(names), value).prop_map(|(name, value)| format!("{name} = {value}")),
        proptest::sample::select(config::keys::TABLES).prop_map(|table| format!("[{table}]")),
        "[a-z_.-]{1,8}".prop_map(|name| format!("[credentials.{name}]")),
        "\\PC{0,20}",
    ]
}

/// Whoever runs another server must not be handed what Entra would take for the workspace's application.
#[test]
fn a_token_for_entra_is_sent_to_entra_only() {
    let broker = |lines: &str| {
        let file = format!(
            "{lines}\n[exchanges.broker]\nkind = \"token-exchange\"\ntoken_endpoint = \"https://sts.example/token\"\n\
             [credentials.partner]\nkind = \"brokered\"\nexchange = \"broker\"\nenv = \"PARTNER\"\n"
        );
        Desk::new(Some(&file), &BASE[2..3])
    };
    let audience = |desk: &Desk, set: Option<&str>| {
        let flags = set.map(|audience| Entry::flag("--set", "exchanges.broker.subject_audience", audience));
        let flags: Vec<_> = flags.into_iter().collect();
        desk.with(Choice::Usual(Some(Path::new("apim-agent.toml"))), |inputs| {
            config::load(&Inputs { flags: &flags, ..*inputs })
        })
        .map(|config| {
            let config::Method::TokenExchange(method) = &config.exchanges["broker"].method else {
                panic!("a broker")
            };
            method.subject_audience.clone()
        })
    };
    let plain = broker("");
    let unset = audience(&plain, None).expect_err("nothing says what the broker is called");
    assert!(render(&unset).contains("exchanges.broker.subject_audience is not set"), "{}", render(&unset));
    assert_eq!(audience(&plain, Some("api://broker")).expect("the broker's own"), "api://broker");
    for entras in
        ["api://AzureADTokenExchange", "api://AzureADTokenExchangeUSGov", "API://azureadtokenexchangechina"]
    {
        let error = render(&audience(&plain, Some(entras)).expect_err("Entra's"));
        assert!(error.contains("exchanges.broker would send away a token for Entra"), "{error}");
        assert!(error.contains("api://broker"), "{error}");
    }
    // That of the identity counts too, whichever it is.
    let of_identity = broker("[identity]\naudience = \"api://AzureADTokenExchange\"");
    assert!(audience(&of_identity, None).is_err());
    assert_eq!(audience(&of_identity, Some("api://broker")).expect("the exchange's word"), "api://broker");
}
