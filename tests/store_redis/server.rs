//! A server of the test's own, that nobody else can reach and that is gone with it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tower_sse::store::InstanceId;
use tower_sse::store::redis as redis_store;
use tower_sse::store::redis::{Connection, Keys, Lifetimes, Partitions, Tail};

use crate::rights::rights;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) struct Server {
    process: Child,
    directory: PathBuf,
    keys: Keys,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[], Partitions::single()).unwrap_or_else(|said| panic!("{said}"))
    }

    /// The only node of a cluster.
    pub(crate) fn start_node() -> Self {
        // Nodes talk over a port of TCP, and another process may have taken the one that was free.
        let start = || {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
            let port = free.unwrap().port().to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &port];
            Self::with(&options, Partitions::of_cluster())
        };
        let attempts = (0..10).map(|_| start()).find(Result::is_ok);
        attempts.expect("a free port").expect("a server")
    }

    /// What it said if it has not started.
    fn with(options: &[&str], partitions: Partitions) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("redis-{}-{number}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let mut process = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                "0",
                "--unixsocket",
                "socket",
            ])
            .args(["--save", "", "--enable-debug-command", "local"])
            .args(["--user", "gateway"])
            .args(rights())
            .args(options)
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server, which tests/setup installs");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let server = Server {
            process,
            directory,
            keys: Keys::new("sse", partitions),
        };
        let mut said = String::new();
        while !said.contains("eady to accept connections") {
            let Some(Ok(line)) = lines.next() else {
                return Err(said);
            };
            said.push_str(&line);
            said.push('\n');
        }
        // It would wait for somebody to read on.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(server)
    }

    pub(crate) fn address(&self) -> String {
        self.admin_address() + "?user=gateway&pass=password"
    }

    pub(crate) fn place(&self) -> redis_store::Server {
        redis_store::Server::parse(&self.address()).unwrap()
    }

    fn admin_address(&self) -> String {
        format!("unix://{}", self.directory.join("socket").display())
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) async fn connect(&self, instance: u64) -> Connection {
        let lifetimes = Lifetimes {
            log: HOUR,
            ended: HOUR / 2,
        };
        let keys = self.keys.clone();
        Connection::open(&self.place(), InstanceId(instance), keys, lifetimes)
            .await
            .unwrap()
    }

    pub(crate) async fn tail(&self) -> Tail {
        Tail::open(&self.place(), self.keys.clone()).await.unwrap()
    }

    /// A connection for what a store does not do.
    pub(crate) async fn admin(&self) -> Admin {
        let client = redis::Client::open(self.admin_address()).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let link = client.get_multiplexed_async_connection_with_config(&config);
        Admin(link.await.unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) struct Admin(MultiplexedConnection);

impl Admin {
    /// Sends a command, whose words have spaces between them.
    pub(crate) async fn run<T: redis::FromRedisValue>(&mut self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        cmd.arg(words.collect::<Vec<_>>());
        let result = cmd.query_async(&mut self.0).await;
        result.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}
