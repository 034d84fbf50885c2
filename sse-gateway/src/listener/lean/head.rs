//! The head of a response, as hyper writes it.

use std::time::SystemTime;

use http::header::DATE;
use http::response::Parts;
use hyper::ext::ReasonPhrase;

/// The head of a stream in chunks.
pub(super) fn written(parts: &Parts) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let reason = parts.extensions.get::<ReasonPhrase>();
    let canonical = parts.status.canonical_reason().unwrap_or("<none>");
    let reason = reason.map_or(canonical.as_bytes(), ReasonPhrase::as_bytes);
    push(
        &mut head,
        &[b"HTTP/1.1 ", parts.status.as_str().as_bytes(), b" ", reason],
    );
    for (name, value) in &parts.headers {
        push(
            &mut head,
            &[name.as_str().as_bytes(), b": ", value.as_bytes()],
        );
    }
    push(&mut head, &[b"transfer-encoding: chunked"]);
    if !parts.headers.contains_key(DATE) {
        let date = httpdate::fmt_http_date(SystemTime::now());
        push(&mut head, &[b"date: ", date.as_bytes()]);
    }
    push(&mut head, &[]);
    head
}

fn push(head: &mut Vec<u8>, line: &[&[u8]]) {
    for part in line {
        head.extend_from_slice(part);
    }
    head.extend_from_slice(b"\r\n");
}
