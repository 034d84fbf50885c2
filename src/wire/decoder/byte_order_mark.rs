//! The byte order mark that a stream may begin with, in however many pieces it comes.

use super::Decoder;

pub(super) const BYTE_ORDER_MARK: &[u8; 3] = b"\xef\xbb\xbf";

impl Decoder {
    #[cold]
    pub(super) fn skip_byte_order_mark(&mut self) {
        let Some(seen) = self.byte_order_mark.map(usize::from) else {
            return;
        };
        let expected = &BYTE_ORDER_MARK[seen..];
        let same = std::iter::zip(expected, &self.chunk)
            .take_while(|(a, b)| a == b)
            .count();
        if same == expected.len() {
            self.byte_order_mark = None;
            self.start = same;
        } else if same == self.chunk.len() {
            // It has three bytes.
            self.byte_order_mark = Some((seen + same) as u8);
            self.start = same;
        } else {
            // It was none, so what looked like it is the beginning of the first line.
            self.byte_order_mark = None;
            self.held.extend_from_slice(&BYTE_ORDER_MARK[..seen]);
            self.cut.extend(&BYTE_ORDER_MARK[..seen]);
            self.block.len += seen;
            self.in_block |= seen > 0;
        }
        self.scanned = self.start;
    }
}
