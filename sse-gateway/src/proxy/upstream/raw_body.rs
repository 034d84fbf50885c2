//! The body of a response that is read from the connection itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::proxy::failure::FailureKind;

use super::connect::Io;
use super::exchange::Upload;
use super::response_head::Framing;

/// A body, read when it is asked for. While it waits it has no buffer.
pub(super) struct RawBody {
    /// None once the body has ended.
    io: Option<Io>,
    framing: Framing,
    /// What came with the head, and is not read yet.
    early: Bytes,
    /// What is yet to be sent of the request.
    upload: Option<Box<Upload>>,
    /// Whether the connection can carry another request.
    keeps: bool,
    /// What is given behind the data.
    last: Option<Box<Last>>,
}

enum Last {
    Trailers(HeaderMap),
    Failure(BoxError),
}

/// A connection that can carry another request, with what is yet to be sent of the last.
pub(super) type Kept = (Io, Option<Box<Upload>>);

impl RawBody {
    pub(super) fn new(
        io: Io,
        framing: Framing,
        early: Bytes,
        upload: Option<Box<Upload>>,
        keeps: bool,
    ) -> Self {
        RawBody {
            io: Some(io),
            framing,
            early,
            upload,
            keeps,
            last: None,
        }
    }

    /// The connection of a body that has ended, if it can carry another request. Others are closed.
    pub(super) fn take_kept(&mut self) -> Option<Kept> {
        if !self.is_whole() {
            return None;
        }
        // What came behind the end nobody has asked for.
        let keeps = self.keeps && self.early.is_empty();
        let kept = self.io.take().map(|io| (io, self.upload.take()));
        kept.filter(|_| keeps)
    }

    /// Whether all of it was read.
    fn is_whole(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunked) => chunked.is_end(),
            Framing::UntilClose => false,
        }
    }

    /// Takes what was read up to the end of the body, and gives what of it is data.
    fn read(&mut self, bytes: &[u8]) -> (usize, Bytes) {
        match &mut self.framing {
            Framing::UntilClose => (bytes.len(), Bytes::copy_from_slice(bytes)),
            Framing::Length(left) => {
                let there =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= there as u64;
                (there, Bytes::copy_from_slice(&bytes[..there]))
            }
            Framing::Chunked(chunked) => {
                let mut data = BytesMut::with_capacity(bytes.len());
                let read = match chunked.read(bytes, &mut data) {
                    Ok(read) => read,
                    Err(invalid) => {
                        self.last = Some(Box::new(Last::Failure(invalid.into())));
                        bytes.len()
                    }
                };
                if chunked.is_end() {
                    match chunked.take_trailers() {
                        Ok(None) => {}
                        Ok(Some(fields)) => self.last = Some(Box::new(Last::Trailers(fields))),
                        Err(invalid) => self.last = Some(Box::new(Last::Failure(invalid.into()))),
                    }
                }
                (read, data.freeze())
            }
        }
    }

    /// What the connection has. None at the end of the body.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            if self.last.is_some() || self.is_whole() {
                return Poll::Ready(None);
            }
            if !self.early.is_empty() {
                let mut early = std::mem::take(&mut self.early);
                let (read, data) = self.read(&early);
                self.early = early.split_off(read);
                if !data.is_empty() {
                    return Poll::Ready(Some(Ok(data)));
                }
                continue;
            }
            let Some(mut io) = self.io.take() else {
                return Poll::Ready(None);
            };
            let read = io.poll_read_with(cx, |bytes| {
                let (read, data) = self.read(bytes);
                // What is behind the end nobody has asked for.
                self.keeps &= read == bytes.len();
                data
            });
            match read {
                Poll::Pending => {
                    self.io = Some(io);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Some(data))) => {
                    self.io = Some(io);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Ok(None)) if matches!(self.framing, Framing::UntilClose) => {
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(None)) => {
                    let error = io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the connection ended before the body did",
                    );
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

impl Body for RawBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let (Some(io), Some(upload)) = (&mut this.io, &mut this.upload) {
            if let Poll::Ready(sent) = upload.poll(io, cx) {
                this.upload = None;
                if let Err(failure) = sent {
                    // The response is read all the same, unless there is nobody to read it.
                    this.keeps = false;
                    if failure.kind() == FailureKind::Client {
                        this.io = None;
                        let why = format!("the body of the request did not come: {failure}");
                        return Poll::Ready(Some(Err(why.into())));
                    }
                }
            }
        }
        match this.poll_data(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(data))) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => match this.last.take().map(|last| *last) {
                None => Poll::Ready(None),
                Some(Last::Trailers(fields)) => Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Some(Last::Failure(error)) => {
                    this.io = None;
                    Poll::Ready(Some(Err(error)))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && (self.is_whole() || self.io.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::UntilClose => SizeHint::default(),
        }
    }
}
