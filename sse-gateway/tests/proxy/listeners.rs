//! Several addresses, and Unix sockets, that clients connect to.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::gateway::{Gateway, PATIENCE, refusal, refusal_with};
use crate::support::address::address_behind;
use crate::tls::Authority;
use crate::wire::{WireUpstream, field};

/// A folder for sockets, gone when the test is done.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("gateway-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// As an address of `--listen`.
fn address(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Opens a stream on a connection, and gives the head that the upstream got.
pub(crate) async fn opened<S>(mut client: S, upstream: &WireUpstream) -> String
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\
                   X-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.expect("writes");
    let mut server = upstream.accept().await;
    let head = server.head().await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: 1\n\n")
        .await;
    drop(server);
    let mut got = String::new();
    let read = timeout(PATIENCE, client.read_to_string(&mut got)).await;
    read.expect("an end in time").expect("reads");
    assert!(got.contains("data: 1\n\n"), "{got}");
    head
}

async fn over_unix(path: &Path) -> UnixStream {
    UnixStream::connect(path).await.expect("connects")
}

#[tokio::test]
async fn each_address_is_served_and_all_of_them_close_at_the_end() {
    let upstream = WireUpstream::bind().await;
    let folder = Folder::new("each");
    let path = folder.path("gateway.sock");
    let flags = ["--listen", &address(&path), "--listen-mode", "0600"];
    let mut gateway = Gateway::with(&upstream.url, &flags, &[]);
    let log = gateway.log_with(&format!("listening on {}", address(&path)));
    assert!(log.contains("listening on http://127.0.0.1:"), "{log}");
    let mode = fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let head = opened(over_unix(&path).await, &upstream).await;
    assert_eq!(
        field(&head, "x-forwarded-for"),
        [""; 0],
        "who, is not known"
    );
    assert_eq!(field(&head, "x-forwarded-host"), ["h"]);
    let client = TcpStream::connect(gateway.address).await;
    let head = opened(client.expect("connects"), &upstream).await;
    assert_eq!(field(&head, "x-forwarded-for"), ["127.0.0.1"]);

    gateway.terminate();
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(!path.exists(), "its file goes with it");
}

#[tokio::test]
async fn who_connects_to_a_unix_socket_is_believed_where_that_is_said() {
    let upstream = WireUpstream::bind().await;
    let folder = Folder::new("believed");
    let path = folder.path("gateway.sock");
    let listen = address(&path);
    let flags = ["--listen", &listen, "--trusted-proxy", "unix"];
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let head = opened(over_unix(&path).await, &upstream).await;
    assert_eq!(field(&head, "x-forwarded-for"), ["203.0.113.9"]);
    gateway.log_with("client=203.0.113.9");
    let client = TcpStream::connect(gateway.address).await;
    let head = opened(client.expect("connects"), &upstream).await;
    assert_eq!(field(&head, "x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test]
async fn only_a_socket_that_nobody_listens_on_gives_way() {
    let upstream = WireUpstream::bind().await;
    let folder = Folder::new("room");
    let refused = |path: &Path| refusal(&address(path), "exec", &upstream.url);

    let file = folder.path("file");
    fs::write(&file, "text").expect("written");
    let told = refused(&file);
    let why = "what is there is no socket, and is left alone; choose another path";
    assert!(
        told.contains(&format!(
            "--listen: cannot listen on {}: {why}",
            address(&file)
        )),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&file).expect("it stays"), "text");

    let living = folder.path("living.sock");
    let other = UnixListener::bind(&living).expect("binds");
    let told = refused(&living);
    assert!(
        told.contains("another process listens there; stop it, or choose another path"),
        "{told}"
    );
    assert!(living.exists());
    drop(other);
    let gateway = Gateway::with(&upstream.url, &["--listen", &address(&living)], &[]);
    opened(over_unix(&living).await, &upstream).await;
    drop(gateway);

    let told = refused(&folder.path("none/gateway.sock"));
    assert!(told.contains("; its folder has to be there"), "{told}");
    let taken = address(&living);
    let told = refusal_with(
        &upstream.url,
        &[
            "--listen".into(),
            taken.clone(),
            "--listen".into(),
            taken.clone(),
        ],
    );
    assert!(
        told.contains(&format!(
            "--listen: {taken} is there twice; keep one of them"
        )),
        "{told}"
    );
}

#[tokio::test]
async fn each_listener_of_a_file_has_its_own_encryption() {
    let upstream = WireUpstream::bind().await;
    let folder = Folder::new("file");
    let [one, other] = [Authority::new("one"), Authority::new("other")];
    let [_, cert, _, key] = one.issue("a", "a.example");
    let [_, other_cert, _, other_key] = other.issue("b", "b.example");
    let path = folder.path("gateway.sock");
    let file = folder.path("gateway.toml");
    let text = format!(
        "upstream = '{}'
        admin_listen = 'off'
        [tls]
        cert = '{cert}'
        key = '{key}'
        [[listen]]
        address = '127.0.0.1:0'
        tls_cert = 'off'
        tls_key = 'off'
        [[listen]]
        address = '127.0.0.1:0'
        [[listen]]
        address = '{}'
        mode = '0600'
        tls_cert = '{other_cert}'
        tls_key = '{other_key}'\n",
        upstream.url,
        address(&path)
    );
    fs::write(&file, &text).expect("written");
    let gateway = Gateway::by_file(&file);
    let log = gateway.log_with("listening on unix:");
    assert!(
        log.contains(&format!("listening on {} (https)", address(&path))),
        "{log}"
    );

    let plain = TcpStream::connect(gateway.address).await;
    let head = opened(plain.expect("connects"), &upstream).await;
    assert_eq!(field(&head, "x-forwarded-proto"), ["http"]);
    let encrypted: SocketAddr = log
        .lines()
        .find_map(|line| address_behind(line, "listening on https://"))
        .expect("an address");
    let stream = TcpStream::connect(encrypted).await.expect("connects");
    let stream = one.client().over(stream, "a.example").await;
    let head = opened(stream.expect("shakes hands"), &upstream).await;
    assert_eq!(field(&head, "x-forwarded-proto"), ["https"]);
    let stream = other
        .client()
        .over(over_unix(&path).await, "b.example")
        .await;
    let head = opened(stream.expect("shakes hands"), &upstream).await;
    assert_eq!(field(&head, "x-forwarded-proto"), ["https"]);

    fs::write(&file, text.replace("'0600'", "'0660'")).expect("written");
    gateway.signal("-HUP");
    gateway.log_with("what has changed in listen holds from a restart on");
}
