//! The examples do what they say: each is run as a program, and a client looks at what it sends.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower_sse::wire::{Decoded, Decoder, SequentialId};

/// An example at work, stopped when it is dropped.
struct Example {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Example {
    /// Starts one, on a port of its own if it is a server.
    fn start(name: &str, args: &[&str]) -> Self {
        Self::start_with(name, args, &[])
    }

    fn start_with(name: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        static FOLDER: LazyLock<PathBuf> = LazyLock::new(build);
        let program = FOLDER.join(name);
        let mut process = Command::new(&program)
            .args(args)
            .env("PORT", "0")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let out = BufReader::new(process.stdout.take().expect("it is piped"));
        Example { process, out }
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The URL in the command that it prints at first.
    fn url(&mut self) -> String {
        let line = self.line();
        let url = line.strip_prefix("curl -N ").expect(&line);
        url.rsplit(' ').next().unwrap().to_owned()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Builds the examples, which `cargo test` does only if it was not told what else to test, and gives their
/// folder: beside that of the tests.
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).expect("it is in target/debug/deps");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        other => other.expect("it has the name of a profile"),
    };
    // As the tests were built, or all dependencies would be built anew: all features are those of the workspace.
    let features = [
        ("metrics", cfg!(feature = "metrics")),
        ("relay", cfg!(feature = "relay")),
        ("axum", cfg!(feature = "axum")),
        ("redis", cfg!(feature = "redis")),
        ("simulation", cfg!(feature = "simulation")),
    ];
    let on = features.into_iter().filter(|(_, is_on)| *is_on);
    let on: Vec<_> = on.map(|(name, _)| name).collect();
    let choice: [&str; 4] = match on.len() == features.len() {
        true => ["--workspace", "--all-features", "--examples", "--quiet"],
        false => ["-p", "tower-sse", "--examples", "--quiet"],
    };
    let mut cargo = Command::new(env!("CARGO"));
    // What is said of this package: build scripts look at it, and would be run again with all that rests on them.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    let built = cargo
        .arg("build")
        .args(choice)
        .args(["--profile", profile])
        .args(["--features", &on.join(",")])
        .arg("--target-dir")
        .arg(folder.parent().expect("it is in target"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "the examples are built");
    folder.join("examples")
}

async fn send(method: Method, url: &str) -> Response<Incoming> {
    let request = Request::builder().method(method).uri(url);
    let request = request.body(Full::<Bytes>::from("Why?")).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.unwrap()
}

/// Reads until this was seen; a minute is more than any machine needs.
async fn read_until(body: &mut Incoming, seen: &str) -> String {
    let mut all = String::new();
    let reading = async {
        while !all.contains(seen) {
            let frame = body.frame().await.expect("it has not ended").unwrap();
            let data = frame.into_data().expect("it is data");
            all += std::str::from_utf8(&data).unwrap();
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), reading).await;
    in_time.unwrap_or_else(|_| panic!("`{seen}` did not come"));
    all
}

/// The data of the events, with `*` in front of those with an id of ours.
fn data(text: String) -> Vec<String> {
    let mut decoder = Decoder::new();
    decoder.push(text.into());
    let mut all = Vec::new();
    while let Some(Decoded::Event(event)) = decoder.next() {
        let Some(data) = event.data() else { continue };
        let ours = event
            .id()
            .is_some_and(|id| SequentialId::parse(id).is_some());
        let mark = if ours { "*" } else { "" };
        all.push(format!("{mark}{}", String::from_utf8_lossy(&data)));
    }
    all
}

#[tokio::test]
async fn axum() {
    let mut example = Example::start("axum", &[]);
    let mut body = send(Method::GET, &example.url()).await.into_body();
    let text = read_until(&mut body, "notice 3\n\n").await;
    assert!(text.starts_with("retry: 3000\nid: "), "{text}");
    assert_eq!(data(text), ["*notice 1", "*notice 2", "*notice 3"]);
}

#[tokio::test]
async fn own_stage() {
    let mut example = Example::start("own_stage", &[]);
    let response = send(Method::GET, &example.url()).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        text,
        "data: tick 1\n\ndata: tick 2\n\ndata: tick 3\n\nevent: quota\ndata: that was all for today\n\n"
    );
}

#[tokio::test]
async fn hyper_client() {
    let mut server = Example::start("axum", &[]);
    let url = server.url();
    let mut client = Example::start("hyper_client", &[&url]);
    assert_eq!(client.line(), format!("200 OK from {url}"));
    assert_eq!(client.line(), "reconnect after 3s");
    for number in 1..=3 {
        let line = client.line();
        let data = format!("-{number}: notice {number}");
        assert!(
            line.starts_with("message, id ts") && line.ends_with(&data),
            "{line}"
        );
    }
}

#[tokio::test]
async fn tokens() {
    let mut example = Example::start("tokens", &[]);
    let response = send(Method::POST, &example.url()).await;
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut body = response.into_body();
    let silence = read_until(&mut body, ":\n").await;
    assert!(!silence.contains("data"), "a comment comes at once");

    // Ctrl-C, while the model thinks.
    let process = rustix::process::Pid::from_child(&example.process);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(example.line(), "draining, 1 streams are open");
    let text = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.starts_with(":\n"), "heartbeats flow: {text}");
    assert_eq!(
        data(text),
        [
            r#"{"text": "Dependable"}"#,
            r#"{"text": " streams"}"#,
            r#"{"text": " need"}"#,
            r#"{"text": " heartbeats"}"#,
            r#"{"text": "."}"#,
            "[DONE]"
        ]
    );
    assert!(example.process.wait().unwrap().success());
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn several_nodes() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("examples-redis");
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("socket");
    let mut redis = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server, which tests/setup installs");
    let mut lines = BufReader::new(redis.stdout.take().unwrap()).lines();
    let ready = lines.find(|line| {
        line.as_ref()
            .is_ok_and(|line| line.contains("eady to accept"))
    });
    assert!(ready.is_some(), "it starts");
    let url = format!("unix://{}", socket.display());
    let environment = [("REDIS", &*url)];
    let mut nodes = [0, 1].map(|_| Example::start_with("several_nodes", &["0"], &environment));
    let mut first = listen(&nodes[0].url()).await;
    let text = read_until(&mut first, "notice 1\n\n").await;
    assert_eq!(
        nodes[0].line(),
        "the upstream is asked for what is behind 0"
    );
    // The other gives the same, with the same ids, and asks nobody.
    let mut second = listen(&nodes[1].url()).await;
    let [ours, theirs] = [
        read_until(&mut first, "notice 3\n\n").await,
        read_until(&mut second, "notice 3\n\n").await,
    ];
    assert!(
        ours.ends_with(&theirs) || theirs.ends_with(&ours),
        "{ours} {theirs}"
    );
    assert_eq!(data(text), ["*notice 1"]);
    // The one that counts stops, and the other goes on.
    let [counting, other] = nodes;
    drop(counting);
    let rest = read_until(&mut second, "notice 5\n\n").await;
    assert_eq!(data(rest).last().map(String::as_str), Some("*notice 5"));
    drop(other);
    redis.kill().unwrap();
    redis.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(feature = "redis")]
async fn listen(url: &str) -> Incoming {
    let request = Request::get(url).header("accept", "text/event-stream");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    client.request(request).await.unwrap().into_body()
}
