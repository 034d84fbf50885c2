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

/// All that it answers is there.
pub(crate) async fn admin_answers(gateway: &Gateway) {
    let admin = gateway.admin.expect("an admin listener");
    for path in ["/healthz", "/readyz", "/metrics", "/streams"] {
        let got = get(admin, path).await;
        assert!(got.starts_with("HTTP/1.1 200 "), "{path}: {got}");
    }
}

/// Waits until there are no descriptors for more clients.
pub(crate) async fn until_paused(gateway: &Gateway) {
    admin_until(gateway, "/metrics", |metrics| {
        sum_of(metrics, "sse_accept_pauses_total") > 0
    })
    .await;
}

/// The sum of a metric's series, whatever their labels, in what `/metrics` says. 0 where there are none.
pub(crate) fn sum_of(metrics: &str, name: &str) -> u64 {
    let values = metrics.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let labels = series.strip_prefix(name)?;
        (labels.is_empty() || labels.starts_with('{')).then_some(value)
    });
    values
        .map(|value| value.parse::<u64>().expect("a number"))
        .sum()
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
    sum_of(&metrics, "sse_upstream_connects_total")
}
