//! A Redis server of the test's own, which can be killed and started again.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;

/// What nodes log in as, who may do what is documented and no more.
pub(crate) const LOGIN: &str = "?user=gateway&pass=password";

pub(crate) struct Server {
    process: Child,
    directory: PathBuf,
    options: Vec<String>,
    rights: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&["--save", ""])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nodes-{}-{number}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.into()).collect();
        // On a cluster it may do this too.
        let rights = vec!["+cluster|nodes".to_owned()];
        let process = run(&directory, &options, &rights).unwrap_or_else(|said| panic!("{said}"));
        Server {
            process,
            directory,
            options,
            rights,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.admin_url() + LOGIN
    }

    fn admin_url(&self) -> String {
        format!("unix://{}", self.directory.join("socket").display())
    }

    /// Kills it; what it has not written is lost.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        let process = run(&self.directory, &self.options, &self.rights);
        self.process = process.unwrap_or_else(|said| panic!("{said}"));
    }

    /// A connection for what a node does not do.
    pub(crate) async fn admin(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.admin_url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Whether these bytes are in what it keeps of any stream.
    pub(crate) async fn has(&self, bytes: &[u8]) -> bool {
        let mut admin = self.admin().await;
        let keys = redis::cmd("KEYS").arg("sse:*").take();
        let keys: Vec<String> = keys.query_async(&mut admin).await.unwrap();
        let mut has = false;
        for key in keys {
            let dump = redis::cmd("DUMP").arg(key).take();
            let dump: Option<Vec<u8>> = dump.query_async(&mut admin).await.unwrap();
            has |= memchr::memmem::find(&dump.unwrap_or_default(), bytes).is_some();
        }
        has
    }
}

impl Server {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// An option for when it starts the next time.
    pub(crate) fn add(&mut self, option: &str, value: &str) {
        self.options.extend([format!("--{option}"), value.into()]);
    }

    /// Starts it again with this option for a port that nobody has. Another process may have taken the one that was free.
    pub(crate) fn listen(&mut self, option: &str) -> u16 {
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let port = free.unwrap().port();
            self.add(option, &port.to_string());
            if self.restart() {
                return port;
            }
        }
        panic!("no free port");
    }

    /// Whether it has started again.
    /// One right more, from its next start on.
    pub(crate) fn may(&mut self, command: &'static str) {
        self.rights.push(format!("+{command}"));
        assert!(self.restart());
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it says so of its replication.
    pub(crate) async fn wait_for(&self, text: &str) {
        let waiting = async {
            loop {
                let mut admin = self.admin().await;
                let mut cmd = redis::cmd("INFO");
                let info = cmd.arg("replication").query_async(&mut admin).await;
                if info.is_ok_and(|info: String| info.contains(text)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(crate::PATIENCE, waiting).await;
        waited.expect("it says so in time");
    }

    pub(crate) fn restart(&mut self) -> bool {
        self.kill();
        let started = run(&self.directory, &self.options, &self.rights);
        started.map(|process| self.process = process).is_ok()
    }
}

/// What it said if it has not started.
fn run(directory: &PathBuf, options: &[String], rights: &[String]) -> Result<Child, String> {
    let mut process = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", "0"])
        .args(["--unixsocket", "socket"])
        .args(["--user", "gateway"])
        .args(crate::rights::rights())
        .args(rights)
        .args(options)
        .current_dir(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server, which tests/setup installs");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains("eady to accept connections") {
        let Some(Ok(line)) = lines.next() else {
            let _ = process.wait();
            return Err(said);
        };
        said.push_str(&line);
        said.push('\n');
    }
    // It would wait for somebody to read on.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    Ok(process)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
