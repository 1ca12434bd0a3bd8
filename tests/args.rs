//! The command line from outside.

use apim_agent::cli::{
    args::{self, Args, Command, Format, Log},
    emulator_args::{Lives, TrustedIssuer},
};
use clap::error::ErrorKind;
use std::time::Duration;

fn parse(line: &str) -> Result<Args, clap::Error> {
    args::parse(std::iter::once("apim-agent").chain(line.split(' ').filter(|word| !word.is_empty())))
}

fn refused(line: &str) -> String {
    let error = parse(line).expect_err(line);
    assert_eq!(args::exit_code(&error), 64, "{line}");
    error.to_string()
}

#[test]
fn the_definition_is_sound() {
    args::command().debug_assert();
}

#[test]
fn global_flags_stand_before_and_after_the_command() {
    for line in ["--workspace w --log info status --json", "status --json --workspace w --log info"] {
        let args = parse(line).expect(line);
        assert_eq!((args.global.workspace.as_deref(), args.global.log), (Some("w"), Log::Info), "{line}");
        assert!(matches!(args.command, Command::Status(status) if status.json), "{line}");
    }
    assert_eq!(parse("refresh").expect("valid").global.log, Log::Warn);
}

#[test]
fn the_emulator_alone_takes_no_settings() {
    let emulator = args::command();
    let global = |argument: &&clap::Arg| argument.is_global_set() && argument.get_id() != "log";
    let names: Vec<_> = emulator.get_arguments().filter(global).filter_map(clap::Arg::get_long).collect();
    assert_eq!(names.len(), 5);
    for name in names {
        let text = refused(&format!("emulator --{name} a=b"));
        assert!(text.contains(&format!("--{name} has no effect on the emulator alone")), "{text}");
        parse(&format!("run --emulator --{name} a=b")).expect(name);
    }
    parse("emulator --log info").expect("valid");
}

#[test]
fn settings_come_in_the_order_in_which_they_win() {
    let args = parse("run --ca-file ca.pem --set ca_file=x --set gateway.url=https://h/?a=b").expect("valid");
    let settings: Vec<String> = args
        .global
        .settings()
        .into_iter()
        .map(|entry| format!("{} {}={}", entry.origin, entry.path, entry.text))
        .collect();
    assert_eq!(
        settings,
        ["flag --set ca_file=x", "flag --set gateway.url=https://h/?a=b", "flag --ca-file ca_file=ca.pem"]
    );
}

#[test]
fn a_command_to_exec_keeps_its_own_flags() {
    for line in ["exec -- make -j2 --workspace=theirs", "exec make -j2 --workspace=theirs"] {
        let args = parse(line).expect(line);
        assert_eq!(args.global.workspace, None, "{line}");
        let Command::Exec(exec) = args.command else { panic!("{line}") };
        assert_eq!(exec.command, ["make", "-j2", "--workspace=theirs"], "{line}");
    }
    refused("exec");
    refused("exec --");
}

#[test]
fn env_prints_for_sh_unless_told_otherwise() {
    for (line, expected) in [
        ("env", Format::Sh),
        ("env --format fish", Format::Fish),
        ("env --format json", Format::Json),
        ("env --format dotenv", Format::Dotenv),
    ] {
        let Command::Env(env) = parse(line).expect(line).command else { panic!("{line}") };
        assert_eq!(env.format, expected);
    }
    assert!(
        refused("env --format csh")
            .contains("sh, fish, powershell, dotenv, json, docker, systemd, github, curl")
    );
}

#[test]
fn short_lives_are_a_shorthand_that_single_flags_beat() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let lives = |line| match parse(line).expect(line).command {
        Command::Run(run) => run.options.lives(),
        Command::Emulator(emulator) => emulator.options.lives(),
        other => panic!("{other:?}"),
    };
    assert_eq!(lives("run --emulator"), Lives::default());
    assert_eq!(
        lives("run --emulator --short-lives"),
        Lives { access_token: seconds(20), id_token: seconds(60), key: seconds(20), grace: seconds(4) }
    );
    assert_eq!(
        lives("emulator --short-lives --key-life 10m --grace 0s"),
        Lives { access_token: seconds(20), id_token: seconds(60), key: seconds(600), grace: seconds(0) }
    );
}

/// Every option of the emulator, so that a new one cannot be forgotten in `first_given`.
#[test]
fn emulator_options_with_run_need_the_emulator() {
    let command = args::command();
    let emulator = command.find_subcommand("emulator").expect("emulator");
    let global = |name: &str| command.get_arguments().any(|arg| arg.get_long() == Some(name));
    let mut seen = 0;
    for name in emulator.get_arguments().filter_map(clap::Arg::get_long).filter(|name| !global(name)) {
        let value = match name {
            "help" | "ready-file" => continue,
            "short-lives" => "",
            "trust-issuer" => "https://issuer.example",
            "rate-limit" => "9",
            name if name.starts_with("port-") => "8443",
            _ => "5s",
        };
        let line = format!("--{name} {value}");
        parse(&format!("emulator {line}")).expect(&line);
        parse(&format!("run --emulator {line}")).expect(&line);
        assert!(
            refused(&format!("run {line}")).contains(&format!("--{name} only makes sense with --emulator"))
        );
        seen += 1;
    }
    assert_eq!(seen, 20);
    refused("run --ready-file r.json");
    parse("emulator --ready-file r.json").expect("valid");
}

#[test]
fn trusted_issuers() {
    let args = parse("emulator --trust-issuer https://a.example/x --trust-issuer http://127.0.0.1:9,sub:1,2")
        .expect("valid");
    let Command::Emulator(emulator) = args.command else { panic!("not the emulator") };
    assert_eq!(
        emulator.options.trust_issuer,
        [
            TrustedIssuer { url: "https://a.example/x".to_owned(), subject: None },
            TrustedIssuer { url: "http://127.0.0.1:9".to_owned(), subject: Some("sub:1,2".to_owned()) },
        ]
    );
    for line in ["a.example", "https://a.example,", ",sub", "ftp://a.example"] {
        refused(&format!("emulator --trust-issuer {line}"));
    }
}

#[test]
fn mistakes_exit_64_and_help_exits_0() {
    for line in [
        "",
        "rnu",
        "run --emulatr",
        "status extra",
        "run --emulator --key-life 1s",
        "emulator --port-arm 70000",
        "status --log loud",
    ] {
        refused(line);
    }
    assert!(refused("statsu").contains("'status'"), "the nearest command is suggested");
    for (line, kind) in [
        ("--help", ErrorKind::DisplayHelp),
        ("run --help", ErrorKind::DisplayHelp),
        ("--version", ErrorKind::DisplayVersion),
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!((error.kind(), args::exit_code(&error)), (kind, 0), "{line}");
    }
}

/// What somebody typed by mistake may be a secret, and ends up in a CI log.
#[test]
fn a_refused_setting_does_not_say_what_it_was() {
    assert!(!refused("run --set=HIDDEN").contains("HIDDEN"), "{}", refused("run --set=HIDDEN"));
}

#[test]
fn help_fits_a_terminal_and_gives_an_example() {
    let main = parse("--help").expect_err("help").to_string();
    assert!(main.contains("Exit codes:") && main.contains("  78  the configuration is wrong"), "{main}");
    for name in ["run", "exec", "env", "status", "refresh", "emulator"] {
        let help = parse(&format!("{name} --help")).expect_err("help").to_string();
        assert!(
            help.contains("\n  apim-agent ") || help.contains("\n  eval "),
            "{name} has no example:\n{help}"
        );
        let longest = help.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(110), "{name}: {longest:?}\n{help}");
    }
}

#[test]
fn the_help_names_each_identity_source() {
    let help = parse("run --help").expect_err("the help").to_string();
    for (name, _) in apim_agent::config::Source::ALL {
        let is_named = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == name);
        assert!(is_named, "{name} is not in the help");
    }
    assert!(help.contains("AD FS"), "{help}");
}
