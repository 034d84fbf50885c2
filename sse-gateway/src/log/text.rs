//! Lines of text, as `tracing-subscriber` writes them where there are no colours.
//!
//! Two lines for each stream are a part of what it costs, and there each name, sign and value goes through the machinery of `write!`
//! with a colour that is none. There are no spans in the gateway, and so none in a line.

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{Debug, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Gives each line to a function, with its line feed.
pub(super) struct Text<F>(pub(super) F);

impl<S, F> Layer<S> for Text<F>
where
    S: Subscriber,
    F: Fn(&str) + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Taken, since a value may log when it is written.
        let mut line = LINE.take();
        line.clear();
        write_time(SystemTime::now(), &mut line);
        line.push_str(level(*event.metadata().level()));
        event.record(&mut Fields {
            line: &mut line,
            is_first: true,
        });
        line.push('\n');
        self.0(&line);
        LINE.set(line);
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::TRACE => " TRACE ",
        Level::DEBUG => " DEBUG ",
        Level::INFO => "  INFO ",
        Level::WARN => "  WARN ",
        Level::ERROR => " ERROR ",
    }
}

/// To the microsecond. What is the same for a second is written once.
fn write_time(now: SystemTime, line: &mut String) {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() || text.is_empty() {
            *second = since.as_secs();
            text.clear();
            let whole = UNIX_EPOCH + Duration::from_secs(*second);
            // Writing to a `String` does not fail.
            let _ = write!(text, "{}", humantime::format_rfc3339_seconds(whole));
            text.pop();
        }
        line.push_str(text);
    });
    line.push('.');
    let micros = since.subsec_micros();
    for place in [100_000, 10_000, 1_000, 100, 10, 1] {
        line.push(digit(micros / place % 10));
    }
    line.push('Z');
}

fn digit(value: u32) -> char {
    char::from_digit(value, 10).unwrap_or('?')
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

struct Fields<'a> {
    line: &'a mut String,
    is_first: bool,
}

impl Fields<'_> {
    /// Whether it is the text of the line, which has no name.
    fn begin(&mut self, field: &Field) -> bool {
        if !std::mem::take(&mut self.is_first) {
            self.line.push(' ');
        }
        let name = field.name();
        if name == "message" {
            return true;
        }
        self.line.push_str(name.strip_prefix("r#").unwrap_or(name));
        self.line.push('=');
        false
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.begin(field) {
            push_harmless(self.line, value);
        } else if value.bytes().all(is_plain) {
            self.line.push('"');
            self.line.push_str(value);
            self.line.push('"');
        } else {
            let _ = write!(self.line, "{value:?}");
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &tracing::field::display(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !self.begin(field) {
            let _ = write!(self.line, "{value:?}");
            return;
        }
        let start = self.line.len();
        let _ = write!(self.line, "{value:?}");
        if !self.line[start..]
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte))
        {
            let text = self.line.split_off(start);
            push_harmless(self.line, &text);
        }
    }
}

/// Whether a text in quotes has it as it is.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
}

/// Puts what a terminal would obey as its number.
fn push_harmless(line: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '\x07' | '\x08' | '\x0c' | '\x1b' | '\x7f' => {
                let _ = write!(line, "\\x{:02x}", u32::from(char));
            }
            '\u{80}'..='\u{9f}' => {
                let _ = write!(line, "\\u{{{:x}}}", u32::from(char));
            }
            _ => line.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Lines without their times.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    const TIME: &str = "2026-11-29T02:37:51.451143Z";

    impl Written {
        fn push(&self, line: &str) {
            let line = line[TIME.len()..].to_owned();
            self.0.lock().expect("no panic").push(line);
        }

        fn lines(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().expect("no panic"))
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.push(std::str::from_utf8(bytes).expect("text"));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn lines_are_those_of_tracing_subscriber() {
        let (ours, theirs) = (Written::default(), Written::default());
        let lines = ours.clone();
        let subscriber = tracing_subscriber::registry()
            .with(Text(move |line: &str| lines.push(line)))
            .with(
                fmt::layer()
                    .with_writer(theirs.clone())
                    .with_ansi(false)
                    .with_target(false),
            );
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("an error");
            tracing::warn!(
                number = 7,
                negative = -7_i64,
                is = true,
                half = 0.5,
                "a {} warning",
                "fine"
            );
            tracing::info!(r#type = "x", none = None::<u64>, some = Some("y"));
            tracing::debug!(a = ?Some("b"), b = %"c d", wide = u128::MAX, "last");
            tracing::trace!(duration = ?Duration::from_millis(1500), bytes = &b"\x00\xff"[..]);
            let error: Box<dyn Error> = io::Error::other("cause").into();
            tracing::info!(error = &*error, "failed");
            for code in (0..0x180).chain([0x300, 0x200b, 0x1f600, 0xfffd]) {
                let text = char::from_u32(code).expect("a character").to_string();
                tracing::info!("{text}");
                tracing::info!(text, shown = %text, debug = ?text, message = text);
            }
        });
        let (ours, theirs) = (ours.lines(), theirs.lines());
        assert_eq!(ours.len(), theirs.len());
        assert!(ours.len() > 700, "{}", ours.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn times_are_those_of_humantime() {
        let mut at = UNIX_EPOCH + Duration::from_micros(951_827_199_000_000);
        for step in [
            0,
            1,
            999_998,
            1,
            999_999,
            86_400_000_000,
            0,
            1_234_567_890_123_456,
        ] {
            at += Duration::from_micros(step);
            let mut line = String::new();
            write_time(at, &mut line);
            assert_eq!(line, humantime::format_rfc3339_micros(at).to_string());
        }
    }
}
