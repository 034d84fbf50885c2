//! What the admin listener says.

use std::time::{Duration, Instant};

use super::gateway::{Gateway, PATIENCE};
use super::wire::get;

/// Its answer, without the head.
pub(crate) async fn admin(gateway: &Gateway, path: &str) -> String {
    let answer = get(gateway.admin.expect("an admin listener"), path).await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    body.to_owned()
}

/// Waits until the answer is as it should be.
pub(crate) async fn admin_until(
    gateway: &Gateway,
    path: &str,
    is_right: impl Fn(&str) -> bool,
) -> String {
    let began = Instant::now();
    loop {
        let answer = admin(gateway, path).await;
        if is_right(&answer) {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "still {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The value of a metric, whose name has its labels behind it.
pub(crate) async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let metrics = admin(gateway, "/metrics").await;
    let mut lines = metrics.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .expect("a number")
}

/// Requests that went upstream and came to this.
pub(crate) async fn upstream_requests_with(gateway: &Gateway, result: &str) -> u64 {
    let name = format!("sse_upstream_connects_total{{route=\"default\",result=\"{result}\"}}");
    metric(gateway, &name).await
}

/// Requests that went upstream and were answered.
pub(crate) async fn upstream_requests(gateway: &Gateway) -> u64 {
    upstream_requests_with(gateway, "ok").await
}

/// Requests that went upstream, whatever became of them.
pub(crate) async fn all_upstream_requests(gateway: &Gateway) -> u64 {
    let metrics = admin(gateway, "/metrics").await;
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("sse_upstream_connects_total{"))
        .filter_map(|line| line.rsplit(' ').next());
    counts
        .map(|count| count.parse::<u64>().expect("a number"))
        .sum()
}
