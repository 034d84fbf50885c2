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

/// The size in front of a chunk, without the machinery of `write!`: there is one for each event and client.
pub(super) fn write_size(size: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789ABCDEF"[(size >> (4 * digit)) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_the_formatter_does() {
        let shifts = (0..usize::BITS).map(|shift| 1_usize << shift);
        let sizes = shifts.flat_map(|size| [size - 1, size, size | 0xabc]);
        for size in sizes.chain([usize::MAX]) {
            let mut out = Vec::new();
            write_size(size, &mut out);
            assert_eq!(out, format!("{size:X}\r\n").into_bytes());
        }
    }
}
