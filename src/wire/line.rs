//! Lines, and what the first bytes of one say about it.

use memchr::memchr2;

/// How the lines of a stream end. The standard takes all three, mixed at will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LineEnding {
    /// A line feed.
    #[default]
    Lf,
    /// A carriage return and a line feed.
    CrLf,
    /// A carriage return alone.
    Cr,
}

impl LineEnding {
    /// The bytes that end a line.
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            LineEnding::Lf => b"\n",
            LineEnding::CrLf => b"\r\n",
            LineEnding::Cr => b"\r",
        }
    }

    /// How the last of these lines ends.
    #[cfg(feature = "store")]
    pub(crate) fn of_last(lines: &[u8]) -> Self {
        match lines {
            [.., b'\r', b'\n'] => LineEnding::CrLf,
            [.., b'\r'] => LineEnding::Cr,
            _ => LineEnding::Lf,
        }
    }
}

/// Which kinds of lines a block has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const DATA: Kinds = Kinds(1);
    pub(crate) const COMMENT: Kinds = Kinds(2);
    pub(crate) const EVENT: Kinds = Kinds(4);
    pub(crate) const ID: Kinds = Kinds(8);
    pub(crate) const RETRY: Kinds = Kinds(16);
    /// A field that the standard does not know, which clients ignore.
    pub(crate) const UNKNOWN: Kinds = Kinds(32);

    /// As many bytes as it takes to tell the kind of a line: `event:` and `retry:`.
    pub(crate) const PREFIX: usize = 6;

    /// The kind of a line of which at least the first [`PREFIX`](Self::PREFIX) bytes are given, if it has as many.
    pub(crate) fn of_line(line: &[u8]) -> Kinds {
        let named = |name: &[u8]| {
            line.starts_with(name) && matches!(line.get(name.len()), None | Some(b':'))
        };
        match line.first() {
            Some(b':') => Kinds::COMMENT,
            Some(b'd') if named(b"data") => Kinds::DATA,
            Some(b'i') if named(b"id") => Kinds::ID,
            Some(b'e') if named(b"event") => Kinds::EVENT,
            Some(b'r') if named(b"retry") => Kinds::RETRY,
            _ => Kinds::UNKNOWN,
        }
    }

    #[inline]
    pub(crate) fn has(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(crate) fn add(&mut self, other: Kinds) {
        self.0 |= other.0;
    }

    pub(crate) const fn or(self, other: Kinds) -> Self {
        Kinds(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Kinds) -> Self {
        Kinds(self.0 & !other.0)
    }

    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether a line of this kind takes effect when it is read, not at the blank line.
    #[inline]
    pub(crate) fn is_immediate(self) -> bool {
        self.0 & !(Kinds::COMMENT.0 | Kinds::RETRY.0) == 0
    }
}

/// The beginning of a line that a chunk ended in the middle of.
#[derive(Debug, Default)]
pub(super) struct CutLine {
    /// Zero when the chunk begins with a new line.
    pub(super) len: usize,
    prefix: [u8; Kinds::PREFIX],
}

impl CutLine {
    pub(super) fn extend(&mut self, part: &[u8]) {
        if let Some(room) = self.prefix.get_mut(self.len..) {
            let known = room.len().min(part.len());
            room[..known].copy_from_slice(&part[..known]);
        }
        self.len += part.len();
    }

    /// The kind of the line that ends with this part; the next one begins uncut.
    pub(super) fn finish(&mut self, part: &[u8]) -> Kinds {
        self.extend(part);
        let line = std::mem::take(self);
        Kinds::of_line(&line.prefix[..line.len.min(Kinds::PREFIX)])
    }
}

/// The length of the first line, if its end is there.
#[inline]
pub(super) fn line_len(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'\n' | b'\r' => Some(0),
        _ => memchr2(b'\n', b'\r', rest),
    }
}

/// The lines of a block, without their endings, and the blank line left out.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(crate) fn new(block: &'a [u8]) -> Self {
        Lines { rest: block }
    }
}

impl<'a> Iterator for Lines<'a> {
    /// The line, and the line with its ending.
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let len = memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len());
            let ending = match &self.rest[len..] {
                [b'\r', b'\n', ..] => 2,
                [] => 0,
                _ => 1,
            };
            let (whole, rest) = self.rest.split_at(len + ending);
            self.rest = rest;
            if len > 0 {
                return Some((&whole[..len], whole));
            }
        }
    }
}

/// Where the first block with a line of one of these kinds begins, and how that line ends.
#[cfg(feature = "relay")]
pub(crate) fn first_block(bytes: &[u8], kinds: Kinds) -> Option<(usize, LineEnding)> {
    let mut block = 0;
    let mut at = 0;
    while let Some(len) = line_len(&bytes[at..]) {
        let (line, behind) = bytes[at..].split_at(len);
        let ending = match behind {
            [b'\r', b'\n', ..] => LineEnding::CrLf,
            [b'\r', ..] => LineEnding::Cr,
            _ => LineEnding::Lf,
        };
        if Kinds::of_line(line).has(kinds) {
            return Some((block, ending));
        }
        at += len + ending.as_bytes().len();
        if line.is_empty() {
            block = at;
        }
    }
    None
}

/// The value of the line's field if it has this name; a comment has an empty one.
///
/// One space after the colon is not part of the value.
pub(crate) fn value_of<'a>(name: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        [] => Some(b""),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}
