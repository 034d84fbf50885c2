//! What a store says that cannot be used: one sentence that names what would be right, and no password.

use std::error::Error as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower_sse::store::{RedisStore, StoreError};

use crate::node::SECRET;
use crate::server::Server;

async fn refused(url: &str) -> StoreError {
    let connecting =
        tokio::time::timeout(Duration::from_secs(30), RedisStore::connect(url, SECRET));
    let connected = connecting.await.expect("it ends in time");
    connected
        .map(drop)
        .expect_err("nobody is there that can be used")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_used_says_why() {
    let server = Server::start();
    let connect = async |url: &str, secret: &[u8]| {
        let connected = RedisStore::connect(url, secret).await;
        connected.map(drop).map_err(|error| error.to_string())
    };
    let secret = &SECRET[..];
    assert_eq!(connect(&server.url(), secret).await, Ok(()));
    let short = connect(&server.url(), &secret[..31]).await.unwrap_err();
    assert!(short.contains("32 bytes"), "{short}");
    let away = connect("unix:///nowhere/redis.sock", secret).await;
    assert_eq!(away.unwrap_err(), "the store cannot be reached");

    let mut admin = server.admin().await;
    let () = redis::cmd("ACL")
        .arg("SETUSER")
        .arg("gateway")
        .arg("-xadd")
        .arg("-hset")
        .query_async(&mut admin)
        .await
        .unwrap();
    let rights = connect(&server.url(), secret).await.unwrap_err();
    assert_eq!(rights, "the user of the store may not: XADD, HSET");
    let () = redis::cmd("ACL")
        .arg("SETUSER")
        .arg("gateway")
        .arg("+xadd")
        .arg("+hset")
        .query_async(&mut admin)
        .await
        .unwrap();

    let () = redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory")
        .arg("1")
        .query_async(&mut admin)
        .await
        .unwrap();
    let full = connect(&server.url(), secret).await.unwrap_err();
    assert!(full.contains("maxmemory"), "{full}");
}

/// What answers all that it is asked like this.
pub(crate) async fn answering(with: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut asked, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut question = [0; 1024];
                while asked.read(&mut question).await.is_ok_and(|len| len > 0) {
                    let _ = asked.write_all(with.as_bytes()).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn what_a_server_answers_is_told_and_whether_it_may_pass() {
    for (answer, told, may_pass) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis server", false),
        ("*1\r\n*1\r\n", "cannot be reached", true),
        (
            "-ERR unknown command `HELLO`, with args\r\n",
            "older than Redis 6.0",
            false,
        ),
        (
            "-NOAUTH Authentication required.\r\n",
            "another user or password",
            false,
        ),
        (
            "-WRONGPASS invalid pair\r\n",
            "another user or password",
            false,
        ),
        (
            "-DENIED Redis is running in protected mode\r\n",
            "give it a password",
            false,
        ),
        (
            "-LOADING Redis is loading\r\n",
            "takes no commands now",
            true,
        ),
        (
            "-MASTERDOWN Link is down\r\n",
            "takes no commands now",
            true,
        ),
        ("-ERR max number of clients reached\r\n", "maxclients", true),
    ] {
        let address = answering(answer).await;
        let error = refused(&format!("redis://{address}")).await;
        assert!(error.to_string().contains(told), "{answer:?}: {error}");
        assert_eq!(error.is_away(), may_pass, "{answer:?}: {error}");
    }
    let address = answering("-ERR unknown command 'SENTINEL', with args\r\n").await;
    let error = refused(&format!("redis+sentinel://{address}/main")).await;
    assert!(error.to_string().contains("no sentinel"), "{error}");
}

#[tokio::test]
async fn no_password_is_told() {
    let password = "do-not-tell";
    let server = Server::start_with(&["--rename-command", "HELLO", "HOWDY", "--save", ""]);
    let url = server
        .url()
        .replace("pass=password", &format!("pass={password}"));
    let address = answering("+OK\r\n").await;
    for url in [
        url,
        format!("redis://u:{password}@{address}"),
        format!("redis://u:{password}@nowhere.invalid"),
        format!("redis://u:{password}/@127.0.0.1"),
        format!("redis://127.0.0.1:{password}"),
        format!("redis://u:{password}@127.0.0.1/{password}"),
    ] {
        let error = refused(&url).await;
        let cause = error.source().map(ToString::to_string);
        let told = format!("{error} {error:?} {cause:?}");
        assert!(!told.contains(password), "{told}");
    }
}

#[tokio::test]
async fn who_is_named_without_a_password_is_not_the_default_user() {
    let server = Server::start();
    let url = |user: &str| server.url().replace("user=gateway&pass=password", user);
    let error = refused(&url("user=gateway")).await;
    assert!(
        error.to_string().contains("another user or password"),
        "{error}"
    );
    let mut admin = server.admin().await;
    let () = redis::cmd("ACL")
        .arg("SETUSER")
        .arg("gateway")
        .arg("nopass")
        .query_async(&mut admin)
        .await
        .unwrap();
    assert!(
        RedisStore::connect(&url("user=gateway"), SECRET)
            .await
            .is_ok()
    );
}

/// Its channels are those of all the others.
#[tokio::test]
async fn what_is_in_another_database_has_names_of_its_own() {
    let mut server = Server::start();
    let url = server.url() + "&db=2";
    let error = refused(&url).await.to_string();
    assert!(error.contains("+select"), "{error}");
    server.may("select");
    let error = refused(&url.replace("db=2", "db=99")).await.to_string();
    assert!(error.contains("no such database"), "{error}");
    let _store = RedisStore::connect(&url, SECRET).await.unwrap();
    let mut admin = server.admin().await;
    let select = redis::cmd("SELECT").arg(2).take();
    let () = select.query_async(&mut admin).await.unwrap();
    let keys = redis::cmd("KEYS").arg("*").take();
    let keys: Vec<String> = keys.query_async(&mut admin).await.unwrap();
    assert!(!keys.is_empty());
    assert!(
        keys.iter().all(|key| key.starts_with("sse:2:{")),
        "{keys:?}"
    );
}
