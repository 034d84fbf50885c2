//! A Redis server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

/// A Redis server of the test's own.
pub(crate) struct Redis {
    pub(crate) process: Child,
    pub(crate) directory: PathBuf,
}

impl Redis {
    pub(crate) async fn start(name: &str) -> Self {
        let name = format!("redis-{}-{name}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join("secret"), "s".repeat(32)).expect("a secret");
        let redis = Redis {
            process: Self::run(&directory),
            directory,
        };
        redis.ready().await;
        redis
    }

    pub(crate) fn run(directory: &Path) -> Child {
        Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", ""])
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which tests/setup installs")
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub(crate) async fn ready(&self) {
        let socket = self.directory.join("socket");
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it answers to a command.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        let cli = cli.arg("-s").arg(self.directory.join("socket")).args(words);
        let output = cli.output().expect("redis-cli, which comes with it");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a gateway is told of it, beside how its streams are kept.
    pub(crate) fn flags(&self, how: &[&str]) -> Vec<String> {
        let path = |name| self.directory.join(name).display().to_string();
        let store = format!("unix://{}", path("socket"));
        let secret = path("secret");
        let store = ["--store", &store, "--store-secret", &secret];
        how.iter()
            .chain(&store)
            .copied()
            .map(str::to_owned)
            .collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
