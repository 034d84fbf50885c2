// Reads the bytes of an event stream by hand, to show what an EventSource keeps to itself.

// Cuts text into lines. A CR ends its line at once; an LF that follows, perhaps in the next chunk, belongs to it.
class Lines {
  constructor(line, lineFeed) { this.line = line; this.lineFeed = lineFeed; this.rest = ""; this.afterCr = false; }
  feed(text) {
    if (this.afterCr && text.startsWith("\n")) { this.lineFeed(); text = text.slice(1); }
    if (text) this.afterCr = false;
    this.rest += text;
    let from = 0;
    for (const found of this.rest.matchAll(/\r\n|\n|\r/g)) {
      this.line(this.rest.slice(from, found.index), found[0]);
      from = found.index + found[0].length;
    }
    this.afterCr = from > 0 && from === this.rest.length && this.rest.endsWith("\r");
    this.rest = this.rest.slice(from).slice(-65536);
  }
}

// The standard's section 9.2.6, for one stream.
class Parser {
  constructor(dispatch, retry) { this.dispatch = dispatch; this.retry = retry; this.lastEventId = ""; this.begin(); }
  begin() { this.id = this.lastEventId; this.type = ""; this.data = []; }
  line(line) {
    if (line === "") {
      this.lastEventId = this.id;
      if (this.data.length) this.dispatch({ type: this.type || "message", data: this.data.join("\n"), lastEventId: this.id });
      this.type = ""; this.data = [];
      return;
    }
    const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
    if (name === "data") this.data.push(value ?? "");
    else if (name === "event") this.type = value ?? "";
    else if (name === "id" && !(value ?? "").includes("\0")) this.id = value ?? "";
    else if (name === "retry" && /^[0-9]+$/.test(value ?? "")) this.retry(Number(value));
  }
}

// Fetches an event stream, and fetches it again when it ends, as an EventSource would. `to` is told of everything:
// state(text, data-state), line(text, end), lineFeed(), event(event), retry(ms), over(why, clean, wait).
class RawReader {
  constructor(url, init, again, to) {
    Object.assign(this, { url, init, again, to, wait: 3000, lastEventId: "", pausedUntil: 0, timer: 0 });
    this.run();
  }
  stop() { clearTimeout(this.timer); this.abort?.abort(); this.stopped = true; }
  async run() {
    const abort = this.abort = new AbortController();
    const headers = { accept: "text/event-stream", ...this.init.headers };
    if (this.lastEventId) headers["last-event-id"] = this.lastEventId;
    let why = "ended", clean = true;
    this.to.state("connecting", "wait");
    try {
      const response = await fetch(this.url, { ...this.init, headers, cache: "no-store", signal: abort.signal });
      if (response.status !== 200) {
        const says = (await response.text()).trim().slice(0, 120);
        why = `was refused: ${response.status}${says && ", " + says}`; clean = false;
      } else {
        this.to.state("reading", "on");
        await this.read(response.body.getReader());
      }
    } catch {
      why = "was lost"; clean = false;
    }
    if (this.stopped) return;
    const wait = Math.max(this.wait, this.pausedUntil - Date.now());
    this.to.state(this.again ? "waiting" : "closed", this.again ? "wait" : "off");
    this.to.over(why, clean, this.again ? wait : undefined);
    if (this.again) this.timer = setTimeout(() => this.run(), wait);
  }
  async read(reader) {
    const text = new TextDecoder();
    const parser = new Parser(
      event => { this.lastEventId = event.lastEventId; this.pause(event); this.to.event(event); },
      ms => { this.wait = Math.min(ms, 60000); this.to.retry(ms); },
    );
    parser.lastEventId = parser.id = this.lastEventId;
    const lines = new Lines((line, end) => { this.to.line(line, end); parser.line(line); }, () => this.to.lineFeed());
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.stopped) return;
      lines.feed(text.decode(value, { stream: true }));
    }
  }
  pause(event) { if (event.type === "pause") this.pausedUntil = pauseUntil(event.data); }
}

// The time a `pause` event names, kept within ten minutes from now; 0 when it names none.
function pauseUntil(data) {
  const at = /^[0-9]{1,16}$/.test(data.trim()) ? Number(data) : 0;
  return at && Math.min(at, Date.now() + 600000);
}

