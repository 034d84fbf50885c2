//! Event streams that the upstream encodes though it was not asked to.

use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder};

use crate::gateway::Gateway;
use crate::support::admin::metric;
use crate::wire::{Wire, WireUpstream};

struct Encoder(Box<dyn EncodeV2>);

impl Encoder {
    fn new(coding: &str) -> Self {
        Encoder(match coding {
            "gzip" => Box::new(GzipEncoder::new(Level::Default.into())),
            "deflate" => Box::new(ZlibEncoder::new(Level::Default.into())),
            "br" => Box::new(BrotliEncoder::new(EncoderParams::default())),
            _ => Box::new(ZstdEncoder::new(3)),
        })
    }

    /// A chunk with this text, flushed.
    fn chunk(&mut self, text: &str) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        let mut input = PartialBuffer::new(text.as_bytes());
        self.0.encode(&mut input, &mut output).expect("is encoded");
        assert!(self.0.flush(&mut output).expect("is flushed"));
        chunk(output.written())
    }

    /// The end of the stream.
    fn end(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 10];
        let mut output = WriteBuffer::new_initialized(&mut buffer);
        assert!(self.0.finish(&mut output).expect("is ended"));
        [chunk(output.written()), b"0\r\n\r\n".to_vec()].concat()
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let size = format!("{:x}\r\n", bytes.len());
    [size.as_bytes(), bytes, b"\r\n"].concat()
}

fn head(coding: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: {coding}\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )
}

async fn asked(upstream: &WireUpstream, gateway: &Gateway, accept: &str) -> (Wire, Wire) {
    let request =
        format!("GET /s HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\nAccept-Encoding: gzip\r\n\r\n");
    upstream.asked(gateway.address, &request).await
}

#[tokio::test]
async fn each_event_is_seen_as_soon_as_it_was_flushed() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        for (flags, accept) in [
            (&[][..], "text/event-stream"),
            (&[], "*/*"),
            (&["--share", "on"], "text/event-stream"),
            (&["--resume", "on"], "text/event-stream"),
        ] {
            let upstream = WireUpstream::bind().await;
            let gateway = Gateway::with_admin(&upstream.url, flags);
            let (mut client, mut server) = asked(&upstream, &gateway, accept).await;
            server.send(head(coding)).await;
            let mut encoder = Encoder::new(coding);
            server.send(encoder.chunk("data: 1\n\n")).await;
            let seen = client.until("data: 1\n").await.to_lowercase();
            assert!(!seen.contains("content-encoding"), "{coding}: {seen}");
            let large = "x".repeat(100_000);
            server
                .send(encoder.chunk(&format!("data: {large}\n\ndata: 2\n\n")))
                .await;
            let seen = client.until("data: 2\n").await;
            let has_id = seen.contains("\nid: t");
            assert!(has_id, "{coding}: {accept} {flags:?}");
            let name = format!("sse_decoded_streams_total{{coding=\"{coding}\"}}");
            assert_eq!(metric(&gateway, &name).await, 1);
            server.send(encoder.end()).await;
            if flags.is_empty() {
                client.until("0\r\n\r\n").await;
            }
        }
    }
}

#[tokio::test]
async fn a_broken_encoding_ends_the_stream_and_the_log_says_why() {
    let whole = |coding| Encoder::new(coding).chunk("data: 1\n\n");
    for (coding, behind) in [
        ("gzip", chunk(b"\x07\xff\xff\xff")),
        ("deflate", chunk(b"\x07\xff\xff\xff")),
        ("zstd", chunk(b"\xff\xff\xff\xff\xff")),
        // The stream ends, and its encoding does not.
        ("gzip", b"0\r\n\r\n".to_vec()),
        ("br", b"0\r\n\r\n".to_vec()),
        ("zstd", b"0\r\n\r\n".to_vec()),
    ] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with_admin(&upstream.url, &[]);
        let (mut client, mut server) = asked(&upstream, &gateway, "text/event-stream").await;
        server.send(head(coding)).await;
        server.send(whole(coding)).await;
        client.until("data: 1\n").await;
        server.send(behind).await;
        let rest = client.rest().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "{coding}: {rest}");
        gateway.log_with(&format!("the upstream's {coding} is broken: "));
        let closed = "sse_streams_closed_total{route=\"default\",reason=\"upstream_error\"}";
        assert_eq!(metric(&gateway, closed).await, 1, "{coding}");
    }
}

#[tokio::test]
async fn what_is_no_event_stream_stays_encoded() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (mut client, mut server) = asked(&upstream, &gateway, "*/*").await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    let answer = client.until("abc").await.to_lowercase();
    assert!(answer.contains("content-encoding: gzip"), "{answer}");
}
