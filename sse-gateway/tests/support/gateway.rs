//! Runs the gateway as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::address::address_behind;

/// How long anything may take before a test gives up. Nothing waits that long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway, killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    /// That of the admin listener, if it has one.
    pub(crate) admin: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    is_read: Arc<AtomicBool>,
}

impl Gateway {
    /// Starts a gateway in front of `upstream` and waits until it listens.
    pub(crate) fn start(upstream: &str) -> Self {
        Self::with(upstream, &[], &[])
    }

    /// The same with more flags and environment variables.
    pub(crate) fn with(upstream: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::listening("exec", upstream, "off", flags, environment)
    }

    /// The same with an admin listener.
    pub(crate) fn with_admin(upstream: &str, flags: &[&str]) -> Self {
        Self::listening("exec", upstream, "127.0.0.1:0", flags, &[])
    }

    /// The same with an admin listener and environment variables.
    pub(crate) fn with_admin_in(upstream: &str, environment: &[(&str, &str)]) -> Self {
        Self::listening("exec", upstream, "127.0.0.1:0", &[], environment)
    }

    /// The same with an admin listener, after `ulimit` with these arguments.
    pub(crate) fn with_admin_and_ulimit(upstream: &str, limit: &str, flags: &[&str]) -> Self {
        let start = format!("ulimit {limit} && exec");
        Self::listening(&start, upstream, "127.0.0.1:0", flags, &[])
    }

    /// The same with environment variables too.
    pub(crate) fn with_all(upstream: &str, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::listening("exec", upstream, "127.0.0.1:0", flags, environment)
    }

    /// Kills it, and starts another where it was.
    pub(crate) fn succeeded_by(self, upstream: &str, flags: &[&str]) -> Self {
        let listen = self.address.to_string();
        drop(self);
        Self::listening_on(&listen, "exec", upstream, "off", flags, &[])
    }

    /// By a file that says where it listens, and has an upstream.
    pub(crate) fn by_file(file: &Path) -> Self {
        let mut command = program("exec");
        command.arg("--config").arg(file);
        Self::run(command)
    }

    fn listening(
        start: &str,
        upstream: &str,
        admin: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::listening_on("127.0.0.1:0", start, upstream, admin, flags, environment)
    }

    fn listening_on(
        listen: &str,
        start: &str,
        upstream: &str,
        admin: &str,
        flags: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = command(listen, start, upstream, admin);
        command.args(flags).envs(environment.iter().copied());
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the gateway starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (found, address) = mpsc::channel();
        let stderr = child.stderr.take().expect("stderr is piped");
        let is_read = Arc::new(AtomicBool::new(true));
        thread::spawn({
            let (log, is_read) = (Arc::clone(&log), Arc::clone(&is_read));
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    while !is_read.load(Ordering::Relaxed) {
                        thread::park();
                    }
                    if let Some(address) = ["http", "https"].iter().find_map(|scheme| {
                        address_behind(&line, &format!("listening on {scheme}://"))
                    }) {
                        let _ = found.send(address);
                    }
                    let mut log = log.lock().expect("log");
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        let Ok(address) = address.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            let _ = child.wait();
            let log = log.lock().expect("log");
            panic!("the gateway does not listen; it said:\n{log}");
        };
        // It is told before.
        let told = log.lock().expect("log").clone();
        let admin = told
            .lines()
            .find_map(|line| address_behind(line, "admin on http://"));
        Self {
            child,
            address,
            admin,
            log,
            is_read,
        }
    }

    /// Reads no more of its log, and leaves the pipe open.
    pub(crate) fn stop_reading(&self) {
        self.is_read.store(false, Ordering::Relaxed);
    }

    /// All it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("log").clone()
    }

    /// Waits until the log has this text, and returns all of it.
    pub(crate) fn log_with(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(began.elapsed() < PATIENCE, "no {text:?} in the log:\n{log}");
            thread::sleep(PAUSE);
        }
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "it does not exit; it said:\n{}",
                self.log()
            );
            thread::sleep(PAUSE);
        }
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }
}

/// What a gateway says that ends at its start with the exit code 2.
pub(crate) fn refusal(listen: &str, start: &str, upstream: &str) -> String {
    refused(command(listen, start, upstream, "off"))
}

/// The same with these flags.
pub(crate) fn refusal_with(upstream: &str, flags: &[String]) -> String {
    let mut command = command("127.0.0.1:0", "exec", upstream, "off");
    command.args(flags);
    refused(command)
}

fn refused(mut command: Command) -> String {
    let output = command.output().expect("it runs");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{told}");
    told
}

fn command(listen: &str, start: &str, upstream: &str, admin: &str) -> Command {
    let mut command = program(start);
    command
        .args(["--upstream", upstream])
        .args(["--listen", listen, "--admin-listen", admin]);
    command
}

/// The gateway after this beginning of a command for the shell.
fn program(start: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{start} \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_sse-gateway"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PAUSE: Duration = Duration::from_millis(10);
