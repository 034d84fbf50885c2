//! A Redis server of the test's own, which can be killed and started again.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use redis::aio::MultiplexedConnection;

/// What a node may do, and no more.
const RIGHTS: &str = "on >secret ~sse:* resetchannels &sse:* -@all +evalsha +script|load +xadd +xrange +hmget +hget \
    +hset +exists +del +rename +pexpire +set +sadd +srem +smembers +ssubscribe +sunsubscribe +spublish +info +hello \
    +auth +multi +exec";

pub(crate) struct Server {
    process: Child,
    directory: PathBuf,
    options: Vec<&'static str>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&["--save", ""])
    }

    pub(crate) fn start_with(options: &[&'static str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nodes-{}-{number}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Server {
            process: run(&directory, options),
            directory,
            options: options.to_vec(),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.admin_url() + "?user=gateway&pass=secret"
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
        self.process = run(&self.directory, &self.options);
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

fn run(directory: &PathBuf, options: &[&str]) -> Child {
    let mut process = Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "socket"])
        .args(["--user", "gateway"])
        .args(RIGHTS.split_whitespace())
        .args(options)
        .current_dir(directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server, which tests/setup installs");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut is_ready = false;
    while !is_ready {
        let line = lines.next().expect("a server that starts").unwrap();
        is_ready = line.contains("eady to accept connections");
    }
    // It would wait for somebody to read on.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    process
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
