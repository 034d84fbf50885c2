//! A naive reader of event streams: section 9.2.6 of the HTML standard, sentence by sentence.
//!
//! It is dull on purpose. It takes the whole stream at once, decodes it, looks at each character and
//! copies everything; nothing in it is shared with the code it judges. The quotes are the standard's.

/// What a client makes of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it does, in the order in which it does it.
    pub effects: Vec<Effect>,
    /// The last event ID string of the event source at the end: what it would reconnect with.
    pub last_event_id: String,
    /// The lines it ignored because they begin with a colon, without the colon.
    pub comments: Vec<String>,
}

/// Something that a client does when it reads a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Dispatch(Dispatched),
    /// Sets the reconnection time, in milliseconds; what is larger than fits counts as the largest.
    Reconnection(u64),
}

/// An event as it reaches the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    pub event_type: String,
    pub data: String,
    pub last_event_id: String,
    /// Whether its own block set that id; no client tells, but whoever gives ids must know.
    pub sets_id: bool,
}

impl Seen {
    pub fn events(&self) -> Vec<&Dispatched> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Dispatch(event) => Some(event),
                Effect::Reconnection(_) => None,
            })
            .collect()
    }

    pub fn reconnection_times(&self) -> Vec<u64> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Dispatch(_) => None,
                Effect::Reconnection(millis) => Some(*millis),
            })
            .collect()
    }
}

/// How often a client of another kind, of which there are many, hands something to its application: at each blank line, if
/// there was data, or an event type or a reconnection time since the last one, or an id at any time before.
///
/// This is httpx-sse (and with it the SDKs of OpenAI, Anthropic and MCP for Python) word for word:
/// `if not event and not data and not last_event_id and retry is None: return None`.
///
/// A byte order mark at the beginning is to be taken off before.
pub fn eager_dispatches(stream: &[u8]) -> usize {
    let text = String::from_utf8_lossy(stream);
    let (mut data, mut event_type, mut id, mut retry) = (false, false, false, false);
    let mut dispatches = 0;
    for line in lines(&text) {
        if line.is_empty() {
            dispatches += usize::from(data || event_type || id || retry);
            (data, event_type, retry) = (false, false, false);
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data = true,
            "event" => event_type = !value.is_empty(),
            "id" if !value.contains('\0') => id = !value.is_empty(),
            // It tries to read a number, and takes some that the standard does not.
            "retry" => retry |= value.trim().parse::<i128>().is_ok() || is_number(value),
            _ => {}
        }
    }
    dispatches
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a whole stream.
pub fn read(stream: &[u8]) -> Seen {
    // "Streams must be decoded using the UTF-8 decode algorithm."
    // "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any."
    let stream = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    read_unmarked(stream)
}

/// Reads a part of a stream that is not its beginning, so that a byte order mark is none.
pub fn read_unmarked(stream: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(stream);

    // "When a stream is parsed, a data buffer, an event type buffer, and a last event ID buffer must
    // be associated with it. They must be initialized to the empty string."
    let mut reader = Reader::default();

    // "Lines must be processed, in the order they are received, as follows:"
    for line in lines(&text) {
        reader.process_line(&line);
    }

    // "Once the end of the file is reached, any pending data must be discarded. (If the file ends in
    // the middle of an event, before the final empty line, the incomplete event is not dispatched.)"
    reader.seen
}

/// "The stream must then be parsed by reading everything line by line, with a U+000D CARRIAGE RETURN
/// U+000A LINE FEED (CRLF) character pair, a single U+000A LINE FEED (LF) character not preceded by a
/// U+000D CARRIAGE RETURN (CR) character, and a single U+000D CARRIAGE RETURN (CR) character not
/// followed by a U+000A LINE FEED (LF) character being the ways in which a line can end."
///
/// What stands behind the last line ending is no line: it is pending when the file ends.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' => {
                if characters.peek() == Some(&'\n') {
                    characters.next();
                }
                lines.push(std::mem::take(&mut line));
            }
            '\n' => lines.push(std::mem::take(&mut line)),
            _ => line.push(character),
        }
    }
    lines
}

#[derive(Default)]
struct Reader {
    data: String,
    event_type: String,
    last_event_id: String,
    sets_id: bool,
    seen: Seen,
}

impl Reader {
    fn process_line(&mut self, line: &str) {
        // "If the line is empty (a blank line): Dispatch the event, as defined below."
        if line.is_empty() {
            self.dispatch();
        }
        // "If the line starts with a U+003A COLON character (:): Ignore the line."
        else if let Some(comment) = line.strip_prefix(':') {
            self.seen.comments.push(comment.to_owned());
        }
        // "If the line contains a U+003A COLON character (:): Collect the characters on the line
        // before the first U+003A COLON character (:), and let field be that string. Collect the
        // characters on the line after the first U+003A COLON character (:), and let value be that
        // string."
        else if let Some(colon) = line.find(':') {
            let name = &line[..colon];
            let mut value = &line[colon + 1..];
            // "If value starts with a U+0020 SPACE character, remove it from value."
            if value.starts_with(' ') {
                value = &value[1..];
            }
            // "Process the field using the steps described below, using field as the field name and
            // value as the field value."
            self.process_field(name, value);
        }
        // "Otherwise, the string is not empty but does not contain a U+003A COLON character (:):
        // Process the field using the steps described below, using the whole line as the field name,
        // and the empty string as the field value."
        else {
            self.process_field(line, "");
        }
    }

    /// "Field names must be compared literally, with no case folding performed."
    #[allow(clippy::collapsible_match)] // each "if" of the text is one here
    fn process_field(&mut self, name: &str, value: &str) {
        match name {
            // "Set the event type buffer to field value."
            "event" => self.event_type = value.to_owned(),
            // "Append the field value to the data buffer, then append a single U+000A LINE FEED (LF)
            // character to the data buffer."
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // "If the field value does not contain U+0000 NULL, then set the last event ID buffer to
            // the field value. Otherwise, ignore the field."
            "id" => {
                if !value.contains('\0') {
                    self.last_event_id = value.to_owned();
                    self.sets_id = true;
                }
            }
            // "If the field value consists of only ASCII digits, then interpret the field value as an
            // integer in base ten, and set the event stream's reconnection time to that integer.
            // Otherwise, ignore the field."
            "retry" => {
                if is_number(value) {
                    let mut time: u64 = 0;
                    for digit in value.bytes() {
                        time = time.saturating_mul(10);
                        time = time.saturating_add(u64::from(digit - b'0'));
                    }
                    self.seen.effects.push(Effect::Reconnection(time));
                }
            }
            // "Otherwise: The field is ignored."
            _ => {}
        }
    }

    /// "When the user agent is required to dispatch the event, the user agent must process the event
    /// using the following steps […]"
    fn dispatch(&mut self) {
        // "Set the last event ID string of the event source to the value of the last event ID buffer.
        // The buffer does not get reset […]"
        self.seen.last_event_id = self.last_event_id.clone();
        let sets_id = std::mem::take(&mut self.sets_id);
        // "If the data buffer is an empty string, set the data buffer and the event type buffer to the
        // empty string and return."
        if self.data.is_empty() {
            self.event_type = String::new();
            return;
        }
        // "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the
        // last character from the data buffer."
        if self.data.ends_with('\n') {
            self.data.pop();
        }
        // "Initialize event's type attribute to "message", its data attribute to data, […] and its
        // lastEventId attribute to the last event ID string of the event source."
        let mut event = Dispatched {
            event_type: "message".to_owned(),
            data: self.data.clone(),
            last_event_id: self.seen.last_event_id.clone(),
            sets_id,
        };
        // "If the event type buffer has a value other than the empty string, change the type of the
        // newly created event to equal the value of the event type buffer."
        if !self.event_type.is_empty() {
            event.event_type = self.event_type.clone();
        }
        // "Set the data buffer and the event type buffer to the empty string."
        self.data = String::new();
        self.event_type = String::new();
        // "Queue a task which, if the readyState attribute is set to a value other than CLOSED,
        // dispatches the newly created event at the EventSource object."
        self.seen.effects.push(Effect::Dispatch(event));
    }
}
