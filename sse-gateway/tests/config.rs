//! What `sse-gateway` is told, through the binary itself: flags, variables and files, and what it says about mistakes.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

#[test]
fn every_setting_is_a_flag_a_variable_and_a_key() {
    for (key, in_file, in_environment, as_flag) in SETTINGS.iter().copied() {
        let file = TomlFile::new(key, &format!("{}{key} = {in_file}\n", with_upstream(key)));
        let line = if key == "upstream" { 1 } else { 2 };
        let from_file = (in_file.trim_matches('\'').to_owned(), file.at(line));
        assert_eq!(setting(&check(&file).out(), key), from_file);

        let variable = format!("SSE_GATEWAY_{}", key.to_uppercase());
        let from_environment = check(&file).env(&variable, in_environment).out();
        assert_eq!(
            setting(&from_environment, key),
            (in_environment.to_owned(), variable.clone())
        );

        let flag = format!("--{}", key.replace('_', "-"));
        let from_flag = check(&file)
            .env(&variable, in_environment)
            .args([&flag, as_flag])
            .out();
        assert_eq!(setting(&from_flag, key), (as_flag.to_owned(), flag));
    }
}

#[test]
fn every_setting_has_the_documented_default() {
    let file = TomlFile::new("defaults", "upstream = 'http://127.0.0.1:5000'");
    let found = stdout(&check(&file).out());
    let table: Vec<Vec<&str>> = found
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let expected = [
        ["listen", "127.0.0.1:8080"],
        ["listen_mode", "0660"],
        ["proxy_protocol", "off"],
        ["admin_listen", "127.0.0.1:9078"],
        ["admin_hosts", "off"],
        ["ready_upstream", "off"],
        ["trusted_proxy", "off"],
        ["tls.cert", "off"],
        ["tls.key", "off"],
        ["tls.client_ca", "off"],
        ["tls.client_fields", "off"],
        ["upstream_ca", "off"],
        ["upstream_cert", "off"],
        ["upstream_key", "off"],
        ["upstream_name", "off"],
        ["upstream_insecure", "off"],
        ["admin_token", "off"],
        ["token_param", "off"],
        ["token_cookie", "off"],
        ["cors_origins", "off"],
        ["jwt.keys", "off"],
        ["jwt.issuer", "off"],
        ["jwt.audience", "off"],
        ["jwt.claims", "off"],
        ["jwt.fields", "off"],
        ["jwt.leeway", "30s"],
        ["forward_auth.url", "off"],
        ["forward_auth.fields", "off"],
        ["forward_auth.asks", "off"],
        ["forward_auth.cache", "off"],
        ["forward_auth.timeout", "5s"],
        ["preset", "off"],
        ["heartbeat", "15s"],
        ["heartbeat_frame", "line"],
        ["opening_comment", "off"],
        ["ids", "fill"],
        ["retry", "3s"],
        ["retry_jitter", "0.5"],
        ["pause_event", "off"],
        ["max_event_bytes", "1MiB"],
        ["compress", "off"],
        ["share", "off"],
        ["ignore", "off"],
        ["share_private", "off"],
        ["resume", "off"],
        ["secret_file", "off"],
        ["store", "off"],
        ["store_secret", "off"],
        ["store_ca", "off"],
        ["store_cert", "off"],
        ["store_key", "off"],
        ["store_prefix", "sse"],
        ["store_seal", "off"],
        ["store_ack", "primary"],
        ["store_down", "wait"],
        ["max_relays", "10000"],
        ["max_idle_relays", "2000"],
        ["max_idle_relays_per_client", "200"],
        ["history_events", "auto"],
        ["history_bytes", "auto"],
        ["history_age", "5m"],
        ["history_budget", "256MiB"],
        ["start", "live"],
        ["gap_event", "auto"],
        ["gap_data", "{missed}"],
        ["slow_client", "disconnect"],
        ["client_stall_timeout", "30s"],
        ["on_full", "auto"],
        ["on_leave", "linger:10s"],
        ["no_answer", "close"],
        ["retry_statuses", "off"],
        ["hold", "off"],
        ["open_after", "off"],
        ["give_up", "5m"],
        ["after_end", "again"],
        ["keep_finished", "60s"],
        ["idle_timeout", "15m"],
        ["idle_counts", "bytes"],
        ["lifetime", "off"],
        ["client_gone_timeout", "60s"],
        ["connect_timeout", "5s"],
        ["head_timeout", "60s"],
        ["drain_window", "10s"],
        ["drain_deadline", "30s"],
        ["max_streams", "off"],
        ["max_streams_per_route", "off"],
        ["max_streams_per_client", "off"],
        ["max_streams_per_field", "off"],
        ["max_rate_per_client", "off"],
        ["max_connection_rate_per_client", "off"],
        ["threads", "auto"],
        ["log_format", "text"],
        ["access_log", "off"],
        ["otel", "off"],
    ];
    assert_eq!(table[0], ["SETTING", "VALUE", "FROM"]);
    assert_eq!(table[1][..2], ["upstream", "http://127.0.0.1:5000"]);
    for (row, [key, value]) in table[2..].iter().zip(expected) {
        assert_eq!(row, &[key, value, "default"]);
    }
    assert!(
        table[2 + expected.len()].is_empty(),
        "no setting is missing here"
    );
}

#[test]
fn check_shows_the_routes_and_what_is_their_own() {
    let file = TomlFile::new(
        "routes",
        "upstream = 'http://127.0.0.1:5000'\n\
         [[route]]\nname = 'chat'\npath = '/v1/chat'\nmethods = ['POST', 'GET']\nupstream = 'h2c://127.0.0.1:8000'\n\
         heartbeat = '5s'\nids = 'off'\n\
         [[route]]\npattern = '/users/*/events'\n",
    );
    let output = check(&file).out();
    let found = stdout(&output);
    let routes: Vec<&str> = found
        .lines()
        .skip_while(|line| !line.starts_with("ROUTE"))
        .collect();
    assert_eq!(
        routes,
        [
            "ROUTE            MATCHES            UPSTREAM               OF ITS OWN",
            "chat             POST,GET /v1/chat  h2c://127.0.0.1:8000   heartbeat 5s, ids off",
            "/users/*/events  /users/*/events    http://127.0.0.1:5000",
            "default          all else           http://127.0.0.1:5000",
            "",
            &format!("{}: ok", file.name()),
        ]
    );
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_preset_sets_what_is_not_set_and_check_tells_which() {
    let file = TomlFile::new(
        "preset",
        "upstream = 'http://127.0.0.1:5000'\nhead_timeout = '1m'\n\
         [[route]]\nname = 'chat'\npath = '/v1'\npreset = 'llm'\nretry = '2s'\n\
         [[route]]\nname = 'news'\npath = '/news'\npreset = 'browser'\nshare = true\n\
         [[route]]\nname = 'plain'\npath = '/plain'\npreset = 'off'\n",
    );
    let found = stdout(&check(&file).out());
    let own: Vec<&str> = found
        .lines()
        .skip_while(|line| !line.starts_with("ROUTE"))
        .filter_map(|line| line.split_once("http://127.0.0.1:5000  "))
        .map(|(_, own)| own)
        .collect();
    assert_eq!(
        own,
        [
            "preset llm, retry 2s, max_event_bytes 8MiB (preset), resume on (preset), history_bytes 16MiB (preset), \
             on_leave linger:1m (preset), idle_counts events (preset)",
            "preset browser, opening_comment on (preset), share true, no_answer hold (preset)",
            "preset off",
        ],
        "{found}"
    );
    for row in [
        "head_timeout  1m ",
        "resume  off  default",
        "preset  off  default",
    ] {
        let row: Vec<_> = row.split_whitespace().collect();
        let is_row = |line: &str| {
            line.split_whitespace()
                .collect::<Vec<_>>()
                .starts_with(&row)
        };
        assert!(found.lines().any(is_row), "{row:?} in {found}");
    }

    let by_flag = stdout(&check(&file).args(["--preset", "mcp"]).out());
    for row in [
        "preset  mcp  --preset",
        "retry  1s  preset mcp",
        "resume  on  preset mcp",
        "idle_timeout  off  preset mcp",
        "heartbeat  15s  default",
    ] {
        let row: Vec<_> = row.split_whitespace().collect();
        let is_row = |line: &str| line.split_whitespace().collect::<Vec<_>>() == row;
        assert!(by_flag.lines().any(is_row), "{row:?} in {by_flag}");
    }
    assert!(!by_flag.contains("warning"), "{by_flag}");
}

#[test]
fn check_says_that_unmatched_requests_are_not_found() {
    let file = TomlFile::new(
        "not_found",
        "[[route]]\npath = '/x'\nupstream = 'http://127.0.0.1:5000'",
    );
    assert!(stdout(&check(&file).out()).contains("all else  none: answered with 404"));
}

#[test]
fn a_mistake_in_a_file_is_told_with_its_line() {
    for (number, (text, line, expected)) in MISTAKES.iter().copied().enumerate() {
        let file = TomlFile::new(&format!("mistake_{number}"), text);
        assert_eq!(
            refused(&mut check(&file)),
            format!("{}: {expected}", file.at(line)),
            "{text}"
        );
        // The gateway itself says the same, however it came to the file.
        assert_eq!(
            refused(&mut gateway(["--config", file.name()])),
            format!("{}: {expected}", file.at(line))
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let missing = "/nowhere/gateway.toml";
    let expected = "/nowhere/gateway.toml: cannot be read, No such file or directory (os error 2); \
                    name a readable TOML file";
    assert_eq!(refused(&mut gateway(["check", missing])), expected);
    assert_eq!(refused(&mut gateway(["--config", missing])), expected);
    assert_eq!(
        refused(gateway([]).env("SSE_GATEWAY_CONFIG", missing)),
        expected
    );

    let directory = env!("CARGO_TARGET_TMPDIR");
    let expected = format!(
        "{directory}: cannot be read, Is a directory (os error 21); name a readable TOML file"
    );
    assert_eq!(refused(&mut gateway(["check", directory])), expected);

    let large = TomlFile::new("large", &"#\n".repeat(600_000));
    let expected = format!(
        "{}: is larger than 1 MiB; name a TOML file of settings",
        large.name()
    );
    assert_eq!(refused(&mut check(&large)), expected);

    let binary = TomlFile::bytes("binary", b"# fine\n\xff");
    assert_eq!(
        refused(&mut check(&binary)),
        format!("{}: not UTF-8; save the file as UTF-8", binary.at(2))
    );

    let deep = TomlFile::new("deep", &format!("x = {}", "[".repeat(100_000)));
    assert!(refused(&mut check(&deep)).starts_with(&format!("{}: not TOML, ", deep.at(1))));
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark() {
    let file = TomlFile::new("bom", "\u{feff}upstream = 'http://127.0.0.1:5000'");
    assert_eq!(check(&file).out().status.code(), Some(0));
}

#[test]
fn the_flag_names_the_file_before_the_variable_does() {
    let file = TomlFile::new("named", "ids = 'some'");
    let error = refused(
        gateway(["--config", file.name()]).env("SSE_GATEWAY_CONFIG", "/nowhere/gateway.toml"),
    );
    assert!(error.starts_with(&file.at(1)), "{error}");
}

#[test]
fn a_list_is_a_repeated_flag_or_a_list_of_the_file() {
    let file = TomlFile::new(
        "list",
        "upstream = 'http://127.0.0.1:5000'\ntrusted_proxy = ['10.0.0.0/8', '::1']",
    );
    let from_file = ("10.0.0.0/8,::1".to_owned(), file.at(2));
    assert_eq!(setting(&check(&file).out(), "trusted_proxy"), from_file);
    let flag = "--trusted-proxy";
    let output = check(&file)
        .args([flag, "127.0.0.1", flag, "fd00::/8,::1"])
        .out();
    assert_eq!(
        setting(&output, "trusted_proxy"),
        ("127.0.0.1,fd00::/8,::1".to_owned(), flag.to_owned())
    );
    let twice = upstream(["--ids", "off", "--ids", "fill"]).out();
    assert_eq!(twice.status.code(), Some(2), "others are given once");
}

#[test]
fn a_bad_value_names_its_flag_or_variable() {
    for (key, value, why) in BAD_VALUES.iter().copied() {
        let flag = format!("--{}={value}", key.replace('_', "-"));
        let name = format!("--{}", key.replace('_', "-"));
        assert_eq!(
            refused(&mut gateway([flag.as_str()])),
            format!("{name}: {why}")
        );
        if !value.is_empty() {
            let name = format!("SSE_GATEWAY_{}", key.to_uppercase());
            assert_eq!(
                refused(gateway([]).env(&name, value)),
                format!("{name}: {why}")
            );
        }
        let file = TomlFile::new(&format!("bad_{key}"), &format!("{key} = {value:?}"));
        assert_eq!(
            refused(&mut check(&file)),
            format!("{}: {key}: {why}", file.at(1))
        );
    }
}

#[test]
fn a_bad_value_is_told_though_another_place_overrides_it() {
    let file = TomlFile::new("overridden", "ids = 'some'");
    let error = refused(
        gateway([
            "--ids",
            "off",
            "--upstream",
            "http://127.0.0.1:5000",
            "--config",
            file.name(),
        ])
        .env("SSE_GATEWAY_IDS", "fill"),
    );
    assert_eq!(
        error,
        format!(
            "{}: ids: \"some\" is not a choice; use fill, replace, keep or off",
            file.at(1)
        )
    );
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let window = "drain_window (1m) is longer than drain_deadline (30s); use a shorter window";
    assert_eq!(
        refused(&mut upstream(["--drain-window", "1m"])),
        format!("--drain-window: {window}")
    );
    assert_eq!(
        refused(upstream([]).env("SSE_GATEWAY_DRAIN_DEADLINE", "1s")),
        "SSE_GATEWAY_DRAIN_DEADLINE: drain_window (10s) is longer than drain_deadline (1s); use a shorter window"
    );
    assert_eq!(
        refused(&mut upstream(["--listen", "localhost:9078"])),
        "--listen: admin_listen (127.0.0.1:9078) is the same as listen (localhost:9078); use another port, or off"
    );
    let keeping = "ids (keep) needs share (off); share the stream, or use fill";
    assert_eq!(
        refused(&mut upstream(["--ids", "keep"])),
        format!("--ids: {keeping}")
    );
    assert_eq!(
        refused(&mut upstream(["--ids", "keep", "--resume", "on"])),
        format!("--ids: {keeping}")
    );
    for (share, is_right) in [("on", true), ("off", false)] {
        let file = TomlFile::new(
            "keeping",
            &format!(
                "upstream = 'http://127.0.0.1:5000'\n[[route]]\npath = '/x'\nids = 'keep'\nshare = '{share}'"
            ),
        );
        if is_right {
            assert_eq!(check(&file).out().status.code(), Some(0));
        } else {
            let expected = format!("{}: {keeping}", file.at(4));
            assert_eq!(refused(&mut check(&file)), expected);
        }
    }
    let storing =
        "store (redis://127.0.0.1) needs store_secret (off); name a file that all gateways have";
    assert_eq!(
        refused(&mut upstream(["--store", "redis://127.0.0.1"])),
        format!("--store: {storing}")
    );
    let sharing = "share (on) does not go with resume (on); turn one of them off; a shared stream is resumed anyway";
    assert_eq!(
        refused(&mut upstream(["--share", "on", "--resume", "on"])),
        format!("--share: {sharing}")
    );
    let file = TomlFile::new(
        "sharing",
        "upstream = 'http://127.0.0.1:5000'\nresume = 'on'\n[[route]]\npath = '/x'\nshare = 'on'",
    );
    assert_eq!(
        refused(&mut check(&file)),
        format!("{}: {sharing}", file.at(5))
    );
    let file = TomlFile::new(
        "ports",
        "upstream = 'http://127.0.0.1:5000'\nlisten = '[::1]:0'\nadmin_listen = '[::1]:0'",
    );
    assert_eq!(
        check(&file).out().status.code(),
        Some(0),
        "the system gives two ports"
    );
}

#[test]
fn what_has_no_effect_is_told() {
    let file = TomlFile::new(
        "needless",
        "upstream = 'http://127.0.0.1:5000'
history_events = 5
history_budget = '1MiB'
[[route]]
path = '/a'
ids = 'replace'
share = true
[[route]]
path = '/b'
heartbeat = 'off'
heartbeat_frame = 'block'
start = 'all'
[[route]]
name = 'again'
path = '/b/c'
[[route]]
name = '/a'
path = '/d'
[[route]]
path = '/d'
methods = ['POST']
",
    );
    let found = stdout(
        &check(&file)
            .env("SSE_GATEWAY_RETRY", "off")
            .args(["--retry-jitter", "1"])
            .out(),
    );
    let warnings: Vec<&str> = found
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .collect();
    assert_eq!(
        warnings,
        [
            format!(
                "{}: ids has no effect: shared and resumable streams always have ids of the gateway",
                file.at(6)
            ),
            format!(
                "{}: heartbeat_frame has no effect: heartbeat is off",
                file.at(11)
            ),
            format!(
                "{}: start has no effect: it is for shared streams, and share is off",
                file.at(12)
            ),
            "--retry-jitter has no effect: retry is off".to_owned(),
            format!(
                "{}: route \"again\" takes nothing: route \"/b\" above it takes all of it",
                file.at(13)
            ),
            format!(
                "{}: two routes have the name \"/a\", and are one in metrics",
                file.at(16)
            ),
            format!(
                "{}: route \"/d\" takes nothing: route \"/a\" above it takes all of it",
                file.at(19)
            ),
        ]
    );
    assert!(found.ends_with(": ok\n"), "{found}");
}

#[test]
fn a_setting_that_has_an_effect_on_one_route_is_not_told() {
    let file = TomlFile::new(
        "of-use",
        "upstream = 'http://127.0.0.1:5000'
history_events = 5
[[route]]
path = '/a'
resume = true
",
    );
    let found = stdout(&check(&file).out());
    assert!(!found.contains("warning"), "{found}");
    let flag = stdout(
        &check(&file)
            .args(["--resume", "off"])
            .args(["--start", "all"])
            .out(),
    );
    assert!(
        flag.contains("warning: --start has no effect: it is for shared streams, and share is off"),
        "{flag}"
    );
}

#[test]
fn what_is_done_without_an_answer_has_an_effect_on_a_stream_that_is_not_shared() {
    let file = TomlFile::new("waiting", "upstream = 'http://127.0.0.1:5000'");
    for flag in ["--hold=on", "--open-after=1s", "--give-up=1s"] {
        let found = stdout(&check(&file).args([flag]).out());
        assert!(!found.contains("warning"), "{flag}: {found}");
    }
}

#[test]
fn help_is_a_command_too() {
    for arguments in [["help"].as_slice(), &["help", "check"], &["help", "demo"]] {
        let output = gateway([]).args(arguments).out();
        assert!(output.status.success());
        assert!(stdout(&output).contains("Usage:"), "{arguments:?}");
    }
}

#[test]
fn without_an_upstream_the_error_shows_how_to_start() {
    let expected = "no upstream is given; start with one, such as: sse-gateway --upstream http://127.0.0.1:5000";
    assert_eq!(refused(&mut gateway([])), expected);
    assert_eq!(
        refused(gateway([]).env("SSE_GATEWAY_UPSTREAM", "")),
        expected
    );
    assert_eq!(refused(&mut check(&TomlFile::new("empty", ""))), expected);
}

#[test]
fn a_misspelt_variable_is_told_and_foreign_ones_are_not() {
    assert_eq!(
        refused(upstream([]).env("SSE_GATEWAY_IDEL_TIMEOUT", "5m")),
        "SSE_GATEWAY_IDEL_TIMEOUT: unknown variable; did you mean SSE_GATEWAY_IDLE_TIMEOUT?"
    );
    let file = TomlFile::new("foreign", "upstream = 'http://127.0.0.1:5000'");
    let foreign = check(&file).env("SSE_GATEWAY_SERVICE_PORT", "8080").out();
    assert_eq!(foreign.status.code(), Some(0));
}

#[test]
fn a_mistake_in_rust_log_is_told_at_the_start_and_by_check() {
    let file = TomlFile::new("rust_log", "upstream = 'http://127.0.0.1:5000'");
    for (text, why) in [
        (
            "sse_gateway=debugg",
            "\"debugg\" is not a level; did you mean debug?",
        ),
        (
            "info,sse-gateway",
            "\"sse-gateway\" is neither a level nor a part of the gateway; did you mean sse_gateway?",
        ),
        (
            "info,a b=1",
            "\"a b\" is not a target; use a level (error, warn, info, debug, trace or off), \
             or TARGET=LEVEL such as sse_gateway=debug",
        ),
    ] {
        let expected = format!("RUST_LOG: {why}");
        assert_eq!(refused(upstream([]).env("RUST_LOG", text)), expected);
        assert_eq!(refused(gateway(["demo"]).env("RUST_LOG", text)), expected);
        assert_eq!(refused(check(&file).env("RUST_LOG", text)), expected);
    }
    let right = check(&file).env("RUST_LOG", "warn,sse_gateway=debug").out();
    assert_eq!(right.status.code(), Some(0));
}

#[test]
fn unknown_flags_are_refused_with_the_nearest() {
    for arguments in [
        ["--heartbeet", "5s"],
        ["demo", "--heartbeet"],
        ["check", "--heartbeet"],
    ] {
        let output = gateway(arguments).out();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            text.contains("--heartbeet") && text.contains("'--heartbeat'"),
            "{text}"
        );
    }
    for arguments in [
        &["--listen"][..],
        &["check"],
        &["tail"],
        &["demo", "--upstream", "http://127.0.0.1:5000"],
    ] {
        assert_eq!(
            gateway([]).args(arguments).out().status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_help_has_every_flag_with_its_default() {
    let output = gateway(["--help"]).out();
    assert_eq!(output.status.code(), Some(0));
    let help = stdout(&output);
    for (key, ..) in SETTINGS.iter().copied() {
        let flag = format!("--{} <", key.replace('_', "-"));
        let mut lines = help
            .lines()
            .skip_while(|line| !line.trim().starts_with(&flag))
            .skip(1);
        let sentence = lines.next().unwrap_or_default();
        assert!(
            key == "upstream" || sentence.contains("[default: "),
            "{flag}: {sentence}"
        );
    }
    for heading in [
        "Addresses:",
        "Encryption:",
        "Who may read:",
        "Streams:",
        "Sharing and resuming:",
        "Timeouts:",
        "Drain:",
        "Limits:",
        "Configuration:",
    ] {
        assert!(help.lines().any(|line| line == heading), "{heading}");
    }
    let widest = help.lines().map(str::len).max();
    assert!(widest <= Some(120), "{widest:?}");
}

#[test]
fn the_manual_and_what_shells_complete_have_every_flag() {
    let manual = stdout(&gateway(["man"]).out()).to_owned();
    assert!(manual.contains(".TH sse-gateway 1"), "{manual}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = gateway(["completions", shell]).out();
        let completions = stdout(&output);
        for (key, ..) in SETTINGS {
            let flag = key.replace(['_', '.'], "-");
            assert!(completions.contains(&flag), "{shell} {flag}");
            let in_roff = flag.replace('-', "\\-");
            assert!(manual.contains(&format!("\\-\\-{in_roff}")), "{flag}");
        }
    }
    let error = gateway(["completions", "tcsh"]).out();
    let error = String::from_utf8_lossy(&error.stderr);
    assert!(
        error.contains("bash, elvish, fish, powershell, zsh"),
        "{error}"
    );
}

#[test]
fn a_certificate_and_its_key_are_given_together() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let write = |name: &str, text: &str| {
        let path = format!("{folder}/{name}");
        std::fs::write(&path, text).expect("written");
        path
    };
    let pair = |name: &str| {
        let made =
            rcgen::generate_simple_self_signed([format!("{name}.example")]).expect("a certificate");
        let cert = write(&format!("{name}.pem"), &made.cert.pem());
        (
            cert,
            write(&format!("{name}.key"), &made.signing_key.serialize_pem()),
        )
    };
    let ((a, a_key), (b, b_key)) = (pair("a"), pair("b"));
    let file = TomlFile::new(
        "tls",
        &format!(
            "upstream = 'http://127.0.0.1:1'\n[tls]\ncert = {a:?}\nkey = {a_key:?}\nclient_ca = {b:?}"
        ),
    );
    let in_file = check(&file).out();
    for (key, value, line) in [
        ("tls.cert", &a, 3),
        ("tls.key", &a_key, 4),
        ("tls.client_ca", &b, 5),
    ] {
        assert_eq!(setting(&in_file, key), (value.clone(), file.at(line)));
    }
    let (both, keys) = (format!("{a},{b}"), format!("{a_key},{b_key}"));
    let in_environment = check(&file)
        .env("SSE_GATEWAY_TLS_CERT", &both)
        .env("SSE_GATEWAY_TLS_KEY", &keys)
        .args(["--tls-client-ca", "off"])
        .out();
    let variable = |name: &str| name.to_owned();
    assert_eq!(
        setting(&in_environment, "tls.cert"),
        (both, variable("SSE_GATEWAY_TLS_CERT"))
    );
    assert_eq!(
        setting(&in_environment, "tls.key"),
        (keys, variable("SSE_GATEWAY_TLS_KEY"))
    );
    assert_eq!(
        setting(&in_environment, "tls.client_ca"),
        ("off".to_owned(), "--tls-client-ca".to_owned())
    );

    let encrypted = write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let cert_right = "give a PEM file that begins with -----BEGIN CERTIFICATE-----";
    let key_right = "give a PEM file that begins with -----BEGIN PRIVATE KEY-----";
    for (flags, expected) in [
        (
            vec!["--tls-cert", &a],
            format!(
                "--tls-cert: tls.cert ({a}) has not as many files as tls.key (off); give each certificate its key, in the same order"
            ),
        ),
        (
            vec!["--tls-key", &a_key],
            format!(
                "--tls-key: tls.cert (off) has not as many files as tls.key ({a_key}); give each certificate its key, in the same order"
            ),
        ),
        (
            vec!["--tls-cert", &a, "--tls-key", &b_key],
            format!("--tls-key: {b_key:?} is not the key of the certificate in {a:?}"),
        ),
        (
            vec!["--tls-cert", "/nowhere/a.pem", "--tls-key", &a_key],
            "--tls-cert: \"/nowhere/a.pem\" cannot be read: No such file or directory (os error 2)"
                .to_owned(),
        ),
        (
            vec!["--tls-cert", &a_key, "--tls-key", &a_key],
            format!("--tls-cert: {a_key:?} has no certificate; {cert_right}"),
        ),
        (
            vec!["--tls-cert", &a, "--tls-key", &a],
            format!("--tls-key: {a:?} has no private key; {key_right}"),
        ),
        (
            vec!["--tls-cert", &a, "--tls-key", &encrypted],
            format!(
                "--tls-key: the key in {encrypted:?} is encrypted; decrypt it: openssl pkey -in {encrypted:?} -out key.pem"
            ),
        ),
        (
            vec!["--tls-client-fields", "x-client"],
            "--tls-client-fields: \"x-client\" is not a field and a part of a certificate; use such as x-client=cn or x-client-cert=fingerprint"
                .to_owned(),
        ),
        (
            vec!["--tls-client-fields", "x-client=name"],
            "--tls-client-fields: \"x-client=name\" has no part of a certificate; use cn, dns, uri, email or fingerprint"
                .to_owned(),
        ),
        (
            vec!["--tls-client-ca", &a_key],
            format!("--tls-client-ca: {a_key:?} has no certificate; {cert_right}, or off"),
        ),
        (
            vec!["--upstream-cert", &a],
            format!(
                "--upstream-cert: upstream_cert ({a}) needs upstream_key (off); give the certificate and its key"
            ),
        ),
        (
            vec!["--upstream-key", &a_key],
            format!(
                "--upstream-key: upstream_key ({a_key}) needs upstream_cert (off); give the certificate and its key"
            ),
        ),
        (
            vec!["--upstream-cert", &a, "--upstream-key", &b_key],
            format!("--upstream-key: {b_key:?} is not the key of the certificate in {a:?}"),
        ),
        (
            vec!["--upstream-ca", &a, "--upstream-insecure", "on"],
            format!(
                "--upstream-insecure: upstream_insecure (on) does not go with upstream_ca ({a}); turn one of them off"
            ),
        ),
        (
            vec!["--store-cert", &a],
            format!(
                "--store-cert: store_cert ({a}) needs store_key (off); give the certificate and its key"
            ),
        ),
        (
            vec!["--store-key", &a_key],
            format!(
                "--store-key: store_key ({a_key}) needs store_cert (off); give the certificate and its key"
            ),
        ),
    ] {
        assert_eq!(refused(upstream([]).args(&flags)), expected);
    }
    let output = check(&TomlFile::new("ca", "upstream = 'http://127.0.0.1:1'"))
        .args(["--tls-client-ca", &a, "--tls-cert", "off"])
        .out();
    let told = String::from_utf8_lossy(&output.stderr).into_owned() + &stdout(&output);
    assert!(
        told.contains("--tls-client-ca has no effect: tls.cert is off"),
        "{told}"
    );
}

#[test]
fn what_is_to_keep_somebody_out_does_not_start_where_it_would_let_all_in() {
    let ca = format!("{}/doors.pem", env!("CARGO_TARGET_TMPDIR"));
    let made = rcgen::generate_simple_self_signed(["ca.example".to_owned()]);
    std::fs::write(&ca, made.expect("a certificate").cert.pem()).expect("written");
    for (flag, value, needs) in [
        ("--tls-client-ca", &*ca, "tls.cert"),
        ("--jwt-issuer", "a", "jwt.keys"),
        ("--jwt-audience", "a", "jwt.keys"),
        ("--jwt-claims", "scope=read", "jwt.keys"),
        ("--jwt-fields", "x-user=sub", "jwt.keys"),
        ("--forward-auth-fields", "x-user", "forward_auth.url"),
    ] {
        assert_eq!(
            refused(upstream([]).args([flag, value])),
            format!(
                "{flag} has no effect: {needs} is off; set that too, or take this out: nobody would be checked"
            )
        );
    }
}

#[test]
fn what_a_token_has_to_be_is_a_table_of_the_file_or_of_a_route() {
    let path = format!("{}/jwt.secret", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, "a secret of more than thirty-two bytes").expect("written");
    let file = TomlFile::new(
        "jwt",
        &format!(
            "upstream = 'http://127.0.0.1:1'\n[jwt]\nkeys = {path:?}\nissuer = 'a'\naudience = ['b', 'c']\n\
             claims = ['scope=read']\nfields = ['x-user=sub']\nleeway = '5s'\n\
             [[route]]\npath = '/open'\n[route.jwt]\nkeys = 'off'"
        ),
    );
    let in_file = check(&file).out();
    for (key, value, line) in [
        ("jwt.keys", &*path, 3),
        ("jwt.issuer", "a", 4),
        ("jwt.audience", "b,c", 5),
        ("jwt.claims", "scope=read", 6),
        ("jwt.fields", "x-user=sub", 7),
        ("jwt.leeway", "5s", 8),
    ] {
        assert_eq!(setting(&in_file, key), (value.to_owned(), file.at(line)));
    }
    let by_flag = check(&file)
        .env("SSE_GATEWAY_JWT_ISSUER", "d")
        .args(["--jwt-keys", "off", "--jwt-leeway", "1s"])
        .out();
    assert_eq!(setting(&by_flag, "jwt.keys").1, "--jwt-keys");
    let auth = TomlFile::new(
        "auth",
        "upstream = 'http://127.0.0.1:1'\n[forward_auth]\nurl = 'http://a:1/check'\nfields = ['x-user']\nasks = ['x-key']\n\
         cache = '5s'\ntimeout = '1s'",
    );
    let in_file = check(&auth).out();
    for (key, value, line) in [
        ("forward_auth.url", "http://a:1/check", 3),
        ("forward_auth.fields", "x-user", 4),
        ("forward_auth.asks", "x-key", 5),
        ("forward_auth.cache", "5s", 6),
        ("forward_auth.timeout", "1s", 7),
    ] {
        assert_eq!(setting(&in_file, key), (value.to_owned(), auth.at(line)));
    }
    assert_eq!(setting(&by_flag, "jwt.issuer").1, "SSE_GATEWAY_JWT_ISSUER");
    let short = format!("{}/short.secret", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&short, "secret").expect("written");
    let private = format!("{}/private.pem", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&private, "-----BEGIN PRIVATE KEY-----\n").expect("written");
    let right =
        "give public keys in PEM, a JSON Web Key Set, or a secret of 32 bytes or more, or off";
    for (flag, value, why) in [
        (
            "--jwt-keys",
            &*short,
            format!(
                "{short:?} is neither PEM nor JSON, and a secret of 6 bytes is too short; {right}"
            ),
        ),
        (
            "--jwt-keys",
            &*private,
            format!("{private:?} has a private key, which is for who makes tokens; {right}"),
        ),
        (
            "--jwt-claims",
            "scope",
            "\"scope\" is not a claim and its value; use such as scope=read".to_owned(),
        ),
        (
            "--jwt-fields",
            "host=sub",
            "\"host=sub\" is not a field and its claim; use such as x-user=sub".to_owned(),
        ),
    ] {
        assert_eq!(
            refused(&mut upstream([flag, value])),
            format!("{flag}: {why}")
        );
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = gateway(["--version"]).out();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        stdout(&output),
        format!("sse-gateway {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_demo_takes_free_ports_when_its_defaults_are_in_use_and_says_so() {
    let _held = DEFAULTS.map(hold);
    let line = demo_line(&mut gateway(["demo"]));
    let [listen, admin] = DEFAULTS;
    for taken in [listen, admin] {
        assert!(
            !line.contains(&format!("http://{taken}"))
                && line.contains(&format!("({taken} is in use)")),
            "{line}"
        );
    }
}

#[test]
fn an_address_that_was_given_to_the_demo_and_is_in_use_is_refused() {
    let _held = DEFAULTS.map(hold);
    let [listen, admin] = DEFAULTS;
    let why = |flag, address| {
        format!(
            "sse-gateway: {flag}: cannot listen on {address}: Address already in use (os error 98); \
             stop what listens there, or choose another port"
        )
    };
    for (demo, expected) in [
        (
            gateway(["demo", "--listen", listen]).env("RUST_LOG", "off"),
            why("--listen", listen),
        ),
        (
            gateway(["demo"])
                .env("RUST_LOG", "off")
                .env("SSE_GATEWAY_ADMIN_LISTEN", admin),
            why("--admin-listen", admin),
        ),
    ] {
        let output = demo.out();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.trim_end()),
            (Some(2), &*expected)
        );
    }
}

// ===== tables =====

/// Where the gateway and its admin listen when nobody says otherwise.
const DEFAULTS: [&str; 2] = ["127.0.0.1:8080", "127.0.0.1:9078"];

/// Key, a value in TOML, one in the environment, one as a flag.
const SETTINGS: &[(&str, &str, &str, &str)] = &[
    (
        "upstream",
        "'http://127.0.0.1:1'",
        "https://a.example,https://b.example",
        "unix:/run/app.sock",
    ),
    (
        "listen",
        "'127.0.0.1:1'",
        "localhost:2,unix:/run/a.sock",
        "[::1]:3",
    ),
    ("listen_mode", "'0600'", "0666", "660"),
    ("proxy_protocol", "'off'", "off", "off"),
    ("admin_listen", "'127.0.0.1:1'", "localhost:2", "off"),
    ("admin_hosts", "'a.example'", "b,c.example", "off"),
    ("ready_upstream", "true", "on", "off"),
    ("trusted_proxy", "'::1'", "10.0.0.0/8,127.0.0.1", "off"),
    ("upstream_name", "'app.internal'", "b.example", "off"),
    ("upstream_insecure", "true", "on", "off"),
    (
        "admin_token",
        "'tests/support/admin.token'",
        "tests/support/admin.token",
        "off",
    ),
    ("token_param", "'token'", "access_token", "off"),
    ("token_cookie", "'session'", "sid", "off"),
    (
        "cors_origins",
        "'https://a.example'",
        "http://localhost:3000,https://b.example",
        "*",
    ),
    ("preset", "'mcp'", "llm", "browser"),
    ("heartbeat", "'1s'", "20s", "off"),
    ("heartbeat_frame", "'line'", "block", "event:heartbeat"),
    ("opening_comment", "true", "off", "on"),
    ("ids", "'fill'", "replace", "off"),
    ("retry", "'1s'", "250ms", "off"),
    ("retry_jitter", "0.25", "0", "1"),
    ("pause_event", "'pause'", "rest", "off"),
    ("max_event_bytes", "65536", "2MiB", "1KiB"),
    ("compress", "true", "on", "off"),
    ("share", "true", "on", "path,query:room"),
    ("ignore", "'x-a'", "x-b,x-c", "off"),
    ("share_private", "false", "on", "off"),
    ("resume", "false", "off", "header:x-user,cookie:session"),
    ("secret_file", "'LICENSE'", "README.md", "off"),
    ("store", "'off'", "off", "off"),
    ("store_secret", "'LICENSE'", "README.md", "off"),
    ("store_ca", "'off'", "off", "off"),
    ("store_cert", "'off'", "off", "off"),
    ("store_key", "'off'", "off", "off"),
    ("store_prefix", "'a'", "b", "team:sse"),
    ("store_seal", "true", "on", "off"),
    ("store_ack", "'replica'", "disk", "primary"),
    ("store_down", "'wait'", "local", "wait"),
    ("max_relays", "1", "2", "30000"),
    ("max_idle_relays", "1", "2", "3"),
    ("max_idle_relays_per_client", "1", "2", "3"),
    ("history_events", "10", "20", "30"),
    ("history_bytes", "2048", "4KiB", "1MiB"),
    ("history_age", "'1s'", "2s", "3s"),
    ("history_budget", "'1MiB'", "2MiB", "4GiB"),
    ("start", "'live'", "all", "last:5"),
    ("gap_event", "'gap'", "missed", "off"),
    ("gap_data", "'x'", "[{missed}]", "y"),
    ("slow_client", "'disconnect'", "skip", "latest"),
    ("client_stall_timeout", "'1s'", "2s", "3s"),
    ("on_full", "'wait'", "drop", "auto"),
    ("on_leave", "'cancel'", "linger:1s", "finish"),
    ("no_answer", "'close'", "answer", "hold"),
    ("retry_statuses", "'503'", "502,503", "off"),
    ("hold", "true", "off", "on"),
    ("open_after", "'1s'", "2s", "off"),
    ("give_up", "'1s'", "2s", "3s"),
    ("after_end", "204", "again", "204"),
    ("keep_finished", "'1s'", "2s", "3s"),
    ("idle_timeout", "'1m'", "2m", "off"),
    ("idle_counts", "'bytes'", "bytes", "events"),
    ("lifetime", "'1h'", "2h", "off"),
    ("client_gone_timeout", "'1s'", "2s", "3s"),
    ("connect_timeout", "'1s'", "2s", "3s"),
    ("head_timeout", "'1s'", "2s", "3s"),
    ("drain_window", "'1s'", "2s", "3s"),
    ("drain_deadline", "'11s'", "12s", "13s"),
    ("max_streams", "1", "2", "off"),
    ("max_streams_per_route", "1", "2", "off"),
    ("max_streams_per_client", "1", "2", "off"),
    ("max_streams_per_field", "'x-user=1'", "x-user=2", "off"),
    ("max_rate_per_client", "'20/s'", "300/m", "5000/h"),
    (
        "max_connection_rate_per_client",
        "'20/s'",
        "300/m",
        "5000/h",
    ),
    ("threads", "1", "2", "auto"),
    ("log_format", "'json'", "text", "json"),
    ("access_log", "true", "on", "off"),
    ("otel", "true", "off", "on"),
];

/// Key, value, and what is said about it.
const BAD_VALUES: &[(&str, &str, &str)] = &[
    (
        "upstream_name",
        "app.internal:443",
        "\"app.internal:443\" is not the name of a host; use one such as app.internal, without a port, or off",
    ),
    (
        "upstream_ca",
        "/dev/null",
        "\"/dev/null\" has no certificate; give a PEM file that begins with -----BEGIN CERTIFICATE-----, or off",
    ),
    (
        "admin_token",
        "/dev/null",
        "\"/dev/null\": a token has at least 16 characters, and this has 0; `openssl rand -hex 32` makes one, or off",
    ),
    (
        "max_streams",
        "0",
        "\"0\" is not a number of streams; use one from 1 to 10000000, such as 20000, or off",
    ),
    (
        "max_rate_per_client",
        "20/d",
        "\"20/d\" is not a rate; use a number up to 1000000 and its time, such as 20/s, 300/m or 5000/h, or off",
    ),
    (
        "token_param",
        "a token",
        "\"a token\" is not a name; use letters, digits, - _ . ~ as in access_token, or off",
    ),
    (
        "cors_origins",
        "app.example",
        "\"app.example\" is not an origin; use origins such as https://app.example or http://localhost:3000, or * alone for all, or off",
    ),
    (
        "cors_origins",
        "https://App.example:443/page",
        "\"https://App.example:443/page\" has more than scheme, host and port; use \"https://app.example\", or off",
    ),
    (
        "cors_origins",
        "https://a.example,*",
        "* does not go with other origins; use origins such as https://app.example or http://localhost:3000, or * alone for all, or off",
    ),
    (
        "cors_origins",
        "https://*.example",
        "\"https://*.example\" has a star, and stands for itself alone; name each origin, or use * alone for all, or off",
    ),
    (
        "cors_origins",
        "https://me@a.example",
        "\"https://me@a.example\" has more than scheme, host and port; use \"https://a.example\", or off",
    ),
    (
        "threads",
        "0",
        "\"0\" is not a number of threads; use one from 1 to 1024, such as 4, or auto",
    ),
    (
        "upstream",
        "127.0.0.1:5000",
        "\"127.0.0.1:5000\" has no known scheme; use one such as http://127.0.0.1:5000, https://host, h2c://host:8000 \
         or unix:/run/app.sock",
    ),
    (
        "upstream",
        "http://a:1,https://b:1",
        "http://a:1 and https://b:1 have different schemes; use one scheme for all upstreams of a route",
    ),
    (
        "upstream",
        "http://app/events",
        "\"http://app/events\" has more than a host and port; use \"http://app\", paths come from the requests",
    ),
    (
        "upstream",
        "http://me:secret@app",
        "the URL holds a user or password; use one such as http://127.0.0.1:5000, https://host, h2c://host:8000 \
         or unix:/run/app.sock",
    ),
    (
        "listen",
        "8080",
        "\"8080\" is not an address and port; use one such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
    ),
    (
        "listen",
        "unix:gateway.sock",
        "\"unix:gateway.sock\" has no absolute path of a socket, of 107 bytes at most; use one such as unix:/run/sse-gateway.sock",
    ),
    (
        "listen",
        "systemd:",
        "\"systemd:\" has no name of a socket (FileDescriptorName=); use one such as systemd:clients",
    ),
    (
        "listen_mode",
        "0888",
        "\"0888\" is not the mode of a socket; use octal digits, such as 0660 or 0600",
    ),
    (
        "proxy_protocol",
        "v3",
        "\"v3\" is not a choice; use off, on, v1 or v2",
    ),
    (
        "admin_listen",
        "on",
        "\"on\" is not an address and port; use one such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080, or off",
    ),
    (
        "admin_hosts",
        "gateway:9078",
        "\"gateway:9078\" has a port, and any port is taken; use gateway",
    ),
    (
        "trusted_proxy",
        "proxy.local",
        "\"proxy.local\" is neither a network nor an address; use networks and addresses such as \
         10.0.0.0/8,127.0.0.1,fd00::/8, unix for Unix sockets, or off",
    ),
    (
        "trusted_proxy",
        "127.0.0.1,10.0.0.0/33",
        "\"10.0.0.0/33\" is neither a network nor an address; use networks and addresses such as \
         10.0.0.0/8,127.0.0.1,fd00::/8, unix for Unix sockets, or off",
    ),
    (
        "trusted_proxy",
        "10.1.2.3/8",
        "\"10.1.2.3/8\" has bits behind its prefix; use 10.0.0.0/8 or 10.1.2.3, or off",
    ),
    (
        "trusted_proxy",
        "127.0.0.1,",
        "an item of the list is empty; use networks and addresses such as 10.0.0.0/8,127.0.0.1,fd00::/8, unix for Unix sockets, or off",
    ),
    (
        "preset",
        "openai",
        "\"openai\" is not a choice; use off, browser, llm or mcp",
    ),
    (
        "heartbeat",
        "15",
        "\"15\" is not a time; use a number and its unit, such as 500ms, 15s or 2h, or off",
    ),
    (
        "heartbeat",
        "0s",
        "\"0s\" is too short; use at least 1ms, or off",
    ),
    (
        "heartbeat_frame",
        "ping",
        "\"ping\" is not a frame; use line, block or event:NAME, such as event:heartbeat",
    ),
    (
        "heartbeat_frame",
        "event:",
        "the event type is empty; use a name such as pause",
    ),
    (
        "opening_comment",
        "yes",
        "\"yes\" is neither on nor off; use on or off",
    ),
    (
        "ids",
        "all",
        "\"all\" is not a choice; use fill, replace, keep or off",
    ),
    (
        "retry",
        "0ms",
        "\"0ms\" is too short; use at least 1ms, or off",
    ),
    (
        "retry_jitter",
        "1.5",
        "\"1.5\" is not a share; use a number from 0 to 1, such as 0.5",
    ),
    (
        "retry_jitter",
        "-1",
        "\"-1\" is not a share; use a number from 0 to 1, such as 0.5",
    ),
    (
        "pause_event",
        "a\nb",
        "\"a\\nb\" is not an event type; use one line without CR, LF and NULL, or off",
    ),
    (
        "pause_event",
        "",
        "the event type is empty; use a name such as pause, or off",
    ),
    (
        "compress",
        "gzip",
        "\"gzip\" is neither on nor off; use on or off",
    ),
    (
        "max_event_bytes",
        "1023",
        "\"1023\" is too small; use a size from 1KiB to 1GiB, such as 64KiB or 1MiB",
    ),
    (
        "share",
        "paths",
        "unknown part of a key: \"paths\"; known are default, host, path, query, query:NAME, header:NAME, cookie:NAME, auth and body; \
         use off, on or a list of these",
    ),
    (
        "resume",
        "header:",
        "\"header:\" is none of these; use on, off, or what a stream is bound to: auth, header:NAME or cookie:NAME, as in header:x-user",
    ),
    (
        "max_streams_per_field",
        "x-user",
        "\"x-user\" is not a field and its number of streams, which is 1 at least; use x-user=10, or off",
    ),
    (
        "store",
        "127.0.0.1:6379",
        "\"127.0.0.1:6379\": the address is not that of a Redis server: it begins with redis://, rediss://, unix:// or \
         redis+sentinel://, and so on; use one such as redis://127.0.0.1:6379, rediss://host or unix:///run/redis.sock, or off",
    ),
    (
        "store",
        "redis+sentinel://host",
        "\"redis+sentinel://host\": the address is not that of a Redis server: behind its sentinels is the name of the primary, \
         as redis+sentinel://host/name; use one such as redis://127.0.0.1:6379, rediss://host or unix:///run/redis.sock, or off",
    ),
    (
        "store",
        "redis://me:secret@host",
        "the URL holds a password, which would be shown; write it into a file, and use file:FILE, or off",
    ),
    (
        "store",
        "redis://me:sec/ret@host",
        "the URL holds a password, which would be shown; write it into a file, and use file:FILE, or off",
    ),
    (
        "store",
        "me:secret@host",
        "the URL holds a password, which would be shown; write it into a file, and use file:FILE, or off",
    ),
    (
        "store_secret",
        "0123456789abcdef0123456789abcdef",
        "it is the name of a file that holds the secret, and there is no such file, or off",
    ),
    (
        "store_secret",
        "/dev/null",
        "\"/dev/null\": a secret has at least 32 bytes, and this has 0; `openssl rand -hex 32` makes one, or off",
    ),
    (
        "store_prefix",
        "{sse}",
        "\"{sse}\" is not a prefix; use up to 64 letters, digits, -, _, : and ., such as sse",
    ),
    (
        "store_ack",
        "all",
        "\"all\" is not a choice; use primary, replica or disk",
    ),
    (
        "store_down",
        "fail",
        "\"fail\" is not a choice; use wait or local",
    ),
    (
        "history_events",
        "0",
        "\"0\" is not a number of events; use one from 1 to 10000000, such as 1000, or auto",
    ),
    (
        "history_budget",
        "1KiB",
        "\"1KiB\" is too small; use a size from 1MiB to 1TiB, such as 256MiB or 4GiB",
    ),
    (
        "start",
        "first",
        "\"first\" is not a start; use live, all or last:N, such as last:20",
    ),
    (
        "slow_client",
        "wait",
        "\"wait\" is not a choice; use disconnect, skip or latest",
    ),
    (
        "on_leave",
        "linger",
        "\"linger\" is not a choice; use cancel, finish or linger:TIME, such as linger:10s",
    ),
    (
        "idle_counts",
        "all",
        "\"all\" is not a choice; use bytes or events",
    ),
    (
        "lifetime",
        "9999days",
        "\"9999days\" is too long; use at most 365days, or off",
    ),
    (
        "connect_timeout",
        "off",
        "\"off\" is not a time; use a number and its unit, such as 500ms, 15s or 2h",
    ),
    (
        "head_timeout",
        "0s",
        "\"0s\" is too short; use at least 1ms",
    ),
    (
        "log_format",
        "xml",
        "\"xml\" is not a choice; use text or json",
    ),
];

/// A file, the line of the mistake, and what is said about it.
const MISTAKES: &[(&str, usize, &str)] = &[
    (
        "\nheartbeet = '5s'",
        2,
        "unknown key \"heartbeet\"; did you mean heartbeat?",
    ),
    (
        "drain-window = '5s'",
        1,
        "unknown key \"drain-window\"; did you mean drain_window?",
    ),
    (
        "[[routes]]\npath = '/x'",
        1,
        "unknown key \"routes\"; did you mean route?",
    ),
    (
        "# colours\n\ncolour = 'red'",
        3,
        "unknown key \"colour\"; the keys of the file are upstream, listen, listen_mode, proxy_protocol, admin_listen, admin_hosts, ready_upstream, trusted_proxy, tls, upstream_ca, upstream_cert, upstream_key, upstream_name, upstream_insecure, admin_token, token_param, token_cookie, cors_origins, jwt, forward_auth, preset, heartbeat, heartbeat_frame, \
         opening_comment, ids, retry, retry_jitter, pause_event, max_event_bytes, compress, share, ignore, share_private, resume, secret_file, store, store_secret, store_ca, store_cert, store_key, store_prefix, store_seal, store_ack, store_down, max_relays, max_idle_relays, max_idle_relays_per_client, history_events, history_bytes, history_age, history_budget, start, gap_event, gap_data, slow_client, client_stall_timeout, on_full, on_leave, no_answer, retry_statuses, hold, open_after, give_up, after_end, keep_finished, \
         idle_timeout, idle_counts, lifetime, client_gone_timeout, connect_timeout, head_timeout, drain_window, drain_deadline, max_streams, max_streams_per_route, max_streams_per_client, max_streams_per_field, max_rate_per_client, max_connection_rate_per_client, threads, log_format, access_log, otel, route",
    ),
    (
        "heartbeat = 15",
        1,
        "heartbeat: wrong type, integer; use TIME|off, such as \"15s\"",
    ),
    (
        "heartbeat = false",
        1,
        "heartbeat: wrong type, boolean; use TIME|off, such as \"15s\"",
    ),
    (
        "\nupstream = 5000",
        2,
        "upstream: wrong type, integer; use URL,…, such as \"http://127.0.0.1:5000\"",
    ),
    (
        "upstream = []",
        1,
        "upstream: the list is empty; give at least one URL, such as http://127.0.0.1:5000",
    ),
    (
        "upstream = ['http://app', 'http://app/']",
        1,
        "upstream: http://app is there twice; name each upstream once",
    ),
    (
        "ids = { fill = true }",
        1,
        "ids: wrong type, table; use fill|replace|keep|off, such as \"fill\"",
    ),
    (
        "retry_jitter = 2",
        1,
        "retry_jitter: \"2\" is not a share; use a number from 0 to 1, such as 0.5",
    ),
    (
        "pause_event = \"a\\u0000\"",
        1,
        "pause_event: \"a\\0\" is not an event type; use one line without CR, LF and NULL, or off",
    ),
    ("ids = 'off'\nids = 'fill'", 2, "not TOML, duplicate key"),
    (
        "\nheartbeat = 15s",
        2,
        "not TOML, string values must be quoted, expected literal string",
    ),
    (
        "path = '/x'",
        1,
        "path belongs to a route; write it below a line [[route]]",
    ),
    (
        "[route]\npath = '/x'",
        1,
        "route is not a list of tables; begin each route with a line [[route]]",
    ),
    (
        "\n[[route]]\npath = '/x'",
        2,
        "route \"/x\" has no upstream; add upstream = \"http://127.0.0.1:5000\" to it or at the top",
    ),
    (
        "\n[[route]]\npath = '/x'\nlisten = '127.0.0.1:1'",
        4,
        "listen holds for the whole gateway; move it above the first [[route]]",
    ),
    (
        "[[listen]]\nadress = '127.0.0.1:1'",
        2,
        "unknown key \"adress\"; did you mean address?",
    ),
    (
        "[[listen]]\ncolour = 'red'",
        2,
        "unknown key \"colour\"; the keys of a listener are address, mode, proxy_protocol, tls_cert, tls_key, tls_client_ca",
    ),
    (
        "[[listen]]\naddress = '127.0.0.1:1,127.0.0.1:2'",
        2,
        "address: \"127.0.0.1:1,127.0.0.1:2\" is not an address and port; use one such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080",
    ),
    (
        "\n[[listen]]\nmode = '0660'",
        2,
        "the listener has no address; add address = \"127.0.0.1:8080\" or address = \"unix:/run/sse-gateway.sock\"",
    ),
    (
        "upstream = 'http://app'\n[[listen]]\naddress = '127.0.0.1:1'\nproxy_protocol = 'on'",
        4,
        "proxy_protocol (on) needs trusted_proxy (off); name those who send its headers, such as 10.0.0.0/8 or unix",
    ),
    (
        "[listen]\naddress = '127.0.0.1:1'",
        1,
        "listen is not a list of tables; begin each listener with a line [[listen]]",
    ),
    (
        "upstream = 'http://app'\n[[listen]]\naddress = '127.0.0.1:1'\n[[listen]]\naddress = '127.0.0.1:1'",
        2,
        "127.0.0.1:1 is there twice; keep one of them",
    ),
    (
        "[[route]]\npath = '/x'\nmetods = ['GET']",
        3,
        "unknown key \"metods\"; did you mean methods?",
    ),
    (
        "[[route]]\npath = '/x'\n[[route]]\ncolour = 'red'",
        4,
        "unknown key \"colour\"; the keys of a route are name, path, pattern, methods, upstream, upstream_ca, upstream_cert, upstream_key, upstream_name, upstream_insecure, token_param, token_cookie, cors_origins, jwt, forward_auth, preset, heartbeat, \
         heartbeat_frame, opening_comment, ids, retry, retry_jitter, pause_event, max_event_bytes, compress, share, ignore, share_private, resume, max_relays, max_idle_relays, max_idle_relays_per_client, history_events, history_bytes, history_age, start, gap_event, gap_data, slow_client, client_stall_timeout, on_full, on_leave, no_answer, retry_statuses, hold, open_after, give_up, after_end, keep_finished, \
         idle_timeout, idle_counts, lifetime, head_timeout, max_streams_per_route, max_streams_per_field",
    ),
    (
        "[[route]]\npath = '/x'\nretry = 'soon'",
        3,
        "retry: \"soon\" is not a time; use a number and its unit, such as 500ms, 15s or 2h, or off",
    ),
    (
        "\n[[route]]\npath = '/x'\npattern = '/x'",
        2,
        "the route has both path and pattern; keep one of them",
    ),
    (
        "\n[[route]]\nname = 'x'",
        2,
        "the route has neither path nor pattern; add path = \"/events\" or pattern = \"/users/*/events\"",
    ),
    (
        "[[route]]\npath = 'x'",
        2,
        "path: \"x\" does not begin with a slash; use a path such as \"/events\"",
    ),
    (
        "[[route]]\npattern = '/x**'",
        2,
        "pattern: \"/x**\" is not a pattern, recursive wildcards must form a single path component; \
         use * for a part of a segment and ** for whole segments",
    ),
    (
        "trusted_proxy = ['10.0.0.0/8', 5]",
        1,
        "trusted_proxy: wrong type, array; use CIDR,…|off, such as \"off\"",
    ),
    (
        "\ntrusted_proxy = []",
        2,
        "trusted_proxy: an item of the list is empty; use networks and addresses such as \
         10.0.0.0/8,127.0.0.1,fd00::/8, unix for Unix sockets, or off",
    ),
    (
        "[[route]]\npath = '/x'\ntrusted_proxy = '::1'",
        3,
        "trusted_proxy holds for the whole gateway; move it above the first [[route]]",
    ),
    (
        "[[route]]\npattern = '/s/:'",
        2,
        "pattern: \":\" names no segment; use a colon and letters, digits, - and _, such as :token",
    ),
    (
        "[[route]]\npath = '/s/:to.ken'",
        2,
        "path: \":to.ken\" names no segment; use a colon and letters, digits, - and _, such as :token",
    ),
    (
        "[[route]]\nname = 5",
        2,
        "name: wrong type, integer; use a string in quotes",
    ),
    (
        "[[route]]\nname = ''",
        2,
        "name: \"\" is not a name; use one word such as \"notices\"",
    ),
    (
        "[[route]]\nmethods = 'GET'",
        2,
        "methods: string is not a list; use a list such as [\"GET\", \"POST\"]",
    ),
    (
        "[[route]]\nmethods = ['GET', 'get']",
        2,
        "methods: \"get\" is not a method; did you mean \"GET\"?",
    ),
];

// ===== helpers =====

/// A file of its own for each case, gone when the test is done.
struct TomlFile(PathBuf);

impl TomlFile {
    fn new(name: &str, text: &str) -> Self {
        Self::bytes(name, text.as_bytes())
    }

    fn bytes(name: &str, bytes: &[u8]) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway_config_{name}.toml"));
        std::fs::write(&path, bytes).expect("the directory for tests can be written");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.to_str().expect("the directory for tests is UTF-8")
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.name())
    }
}

impl Drop for TomlFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

trait Out {
    fn out(&mut self) -> Output;
}

impl Out for Command {
    fn out(&mut self) -> Output {
        self.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.spawn().expect("the gateway starts");
        // A gateway that takes what it should refuse serves for ever.
        let limit = Instant::now() + Duration::from_secs(60);
        while child
            .try_wait()
            .expect("the gateway can be waited for")
            .is_none()
        {
            if Instant::now() > limit {
                let _ = child.kill();
                panic!("still running: {self:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        child.wait_with_output().expect("the gateway has ended")
    }
}

/// The gateway with these arguments and without the variables of whoever runs the tests.
fn gateway<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sse-gateway"));
    command.env_clear().args(arguments);
    command
}

fn upstream<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = gateway(["--upstream", "http://127.0.0.1:5000"]);
    command.args(arguments);
    command
}

fn check(file: &TomlFile) -> Command {
    gateway(["check", file.name()])
}

/// Keeps an address in use. Other runs of these tests may hold it too, and whoever else has it serves as well.
fn hold(address: &str) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("the option is known");
    let address: SocketAddr = address.parse().expect("is an address");
    socket.bind(&address.into()).ok()?;
    socket.listen(1).ok()?;
    Some(socket)
}

/// What the demo prints when it is ready. It is ended then.
fn demo_line(command: &mut Command) -> String {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the gateway starts");
    let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut lines = lines.map_while(Result::ok).skip_while(String::is_empty);
    let said: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    child.kill().expect("the demo runs");
    child.wait().expect("the demo ends");
    said.join("\n")
}

/// The one line on standard error, without the name of the program in front.
fn refused(command: &mut Command) -> String {
    let output = command.out();
    let text = String::from_utf8(output.stderr).expect("errors are UTF-8");
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(2), 0),
        "{command:?}: {text}"
    );
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let line = text.trim_end().strip_prefix("sse-gateway: ");
    line.expect("the line begins with the program").to_owned()
}

fn stdout(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).expect("the answer is UTF-8")
}

/// The value and the place that `check` shows for a setting.
fn setting(output: &Output, key: &str) -> (String, String) {
    let text = stdout(output);
    let row = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|row| row.first() == Some(&key));
    match row.as_deref() {
        Some([_, value, place]) => ((*value).to_owned(), (*place).to_owned()),
        _ => panic!("no row for {key} in\n{text}"),
    }
}

fn with_upstream(key: &str) -> &'static str {
    if key == "upstream" {
        ""
    } else {
        "upstream = 'http://127.0.0.1:5000'\n"
    }
}
