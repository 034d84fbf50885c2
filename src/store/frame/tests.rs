use proptest::prelude::*;

use super::*;

fn fence() -> impl Strategy<Value = Fence> {
    let fence = |(counter, random)| Fence { counter, random };
    (any::<u64>(), any::<u64>()).prop_map(fence)
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

prop_compose! {
    fn stored()(
        has_data in any::<bool>(),
        sets_id in any::<bool>(),
        is_gap in any::<bool>(),
        upstream in prop::option::of(bytes(4)),
        body in any::<prop::sample::Index>(),
        bytes in bytes(40),
    ) -> Stored {
        let body = body.index(bytes.len() + 1);
        Stored { has_data, sets_id, is_gap, upstream, body, bytes }
    }
}

prop_compose! {
    fn frame()(
        epoch in any::<u64>(),
        fence in fence(),
        base in 0..MAX_NUMBER / 2,
        left_out in prop_oneof![Just(0), 0..MAX_NUMBER / 2],
        sequence in 0..MAX_NUMBER,
        was in prop::collection::vec((0..MAX_NUMBER, fence()), 0..MAX_WAS),
        events in prop::collection::vec(stored(), 1..MAX_EVENTS),
    ) -> Frame {
        let was = was.into_iter().map(|(first, fence)| Was { first, fence }).collect();
        Frame { epoch, fence, base, first: base + 1 + left_out, sequence, was, events }
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(frame in frame()) {
        prop_assert_eq!(Frame::parse(&frame.to_bytes()), Ok(frame));
    }

    #[test]
    fn a_frame_that_is_cut_or_goes_on_is_none(frame in frame(), at in any::<prop::sample::Index>()) {
        let bytes = frame.to_bytes();
        let cut = bytes.slice(..at.index(bytes.len()));
        prop_assert!(Frame::parse(&cut).is_err());
        let longer = Bytes::from([&bytes[..], b"\0"].concat());
        prop_assert!(Frame::parse(&longer).is_err());
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        frame in frame(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        noise in bytes(200),
    ) {
        let mut bytes = frame.to_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [Bytes::from(bytes), noise] {
            if let Ok(frame) = Frame::parse(&bytes) {
                prop_assert_eq!(Frame::parse(&frame.to_bytes()), Ok(frame));
            }
        }
    }
}

fn of(events: usize, size: usize) -> Frame {
    let stored = Stored {
        has_data: true,
        sets_id: false,
        is_gap: false,
        upstream: None,
        body: 0,
        bytes: Bytes::from(vec![b'a'; size]),
    };
    Frame {
        epoch: 1,
        fence: Fence::default(),
        base: 0,
        first: 1,
        sequence: 0,
        was: Vec::new(),
        events: vec![stored; events],
    }
}

#[test]
fn a_frame_has_bounds() {
    for (events, size, expected) in [
        (MAX_EVENTS, 10, None),
        (MAX_EVENTS + 1, 10, Some(FrameError::TooLarge)),
        (2, MAX_FRAME / 2, Some(FrameError::TooLarge)),
        (1, MAX_FRAME, None),
        (1, MAX_LARGE, Some(FrameError::TooLarge)),
        (0, 0, Some(FrameError::Malformed)),
    ] {
        let parsed = Frame::parse(&of(events, size).to_bytes());
        assert_eq!(parsed.err(), expected, "{events} of {size}");
    }
}

#[test]
fn another_version_is_left_alone() {
    let mut bytes = of(1, 1).to_bytes().to_vec();
    bytes[0] = 2;
    let parsed = Frame::parse(&Bytes::from(bytes));
    assert_eq!(parsed, Err(FrameError::Version(2)));
}
