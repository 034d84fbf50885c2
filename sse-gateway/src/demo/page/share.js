// Two browsers, each with an EventSource of its own, on one stream of the upstream.

class Browser {
  // In which element it is, and what it reads.
  constructor(letter, home = "browsers", url = () => "/news") {
    this.url = url;
    this.client = `${PAGE}-${letter.toLowerCase()}`;
    this.root = $("browser").content.firstElementChild.cloneNode(true);
    this.root.id = "browser-" + letter.toLowerCase();
    this.name = "Browser " + letter;
    this.part("h2").textContent = this.name;
    this.list = this.part(".news");
    this.part(".cut").onclick = () => press("/demo/cut?client=" + this.client);
    this.heart = this.part(".heart");
    this.state("CLOSED");
    $(home).append(this.root);
  }
  part(selector) { return this.root.querySelector(selector); }

  open(again = "") {
    this.source = new EventSource(`${this.url()}?client=${this.client}${again}`);
    this.source.onopen = () => this.opened();
    this.source.onerror = () => this.lost();
    this.source.onmessage = event => this.news(event);
    this.source.addEventListener("heartbeat", () => this.heartbeat());
    this.source.addEventListener("stream-gap", event => this.note("off", `a gap: ${event.data} events are gone`));
    this.state("CONNECTING");
  }
  begin() {
    Object.assign(this, { tally: new Tally(), connections: 0, lostAt: 0, beats: 0, lastEventId: "" });
    this.list.replaceChildren();
    this.open();
    this.figures();
  }
  end() {
    clearTimeout(this.timer);
    this.source?.close();
    this.state("CLOSED");
  }

  opened() {
    this.connections += 1;
    this.openedAt = clock.now();
    this.state("OPEN");
    if (this.lostAt) this.note("on", `connected again, after ${seconds(Date.now() - this.lostAt)}`);
    this.lostAt = 0;
    this.figures();
  }
  lost() {
    if (!this.lostAt) this.note("off", "connection lost; the EventSource comes back by itself");
    this.lostAt ||= Date.now();
    if (this.source.readyState === EventSource.CONNECTING) this.state("CONNECTING");
    else this.state("CLOSED", "off");
    // An EventSource that is answered with an error gives up. A new one knows no last event ID but the one in its query.
    if (this.source.readyState === EventSource.CLOSED) {
      const last = this.lastEventId && "&lastEventId=" + encodeURIComponent(this.lastEventId);
      this.timer = setTimeout(() => this.open(last), 2000);
    }
  }

  news(event) {
    const { n, at, text } = JSON.parse(event.data);
    // Nothing was open when it was made, so it can only have been kept.
    const replayed = this.connections > 1 && at < this.openedAt;
    const late = clock.now() - at;
    const row = node("li", replayed ? "replayed" : "");
    row.append(node("b", "number", n), node("span", "value", text));
    if (replayed) row.append(node("span", "tag", `replayed, ${seconds(late)} old`));
    else if (late > LATE && this.tally.seen.size) row.append(node("span", "tag late", `${seconds(late)} late`));
    row.title = "lastEventId " + event.lastEventId;
    this.lastEventId = event.lastEventId;
    this.tally.add(n);
    this.tally.replayed += replayed;
    this.beats = 0;
    append(this.list, row);
    this.figures();
  }

  heartbeat() {
    this.heart.classList.remove("beat");
    void this.heart.offsetWidth; // begins the animation anew
    this.heart.classList.add("beat");
    this.beats += 1;
    // One between two events is usual. More of them show that the stream is open, and that nothing comes.
    if (this.beats === 2) this.quiet = this.note("wait", "");
    if (this.beats >= 2) this.quiet.textContent = "♥".repeat(Math.min(this.beats, 20)) + " no news, but heartbeats";
  }

  note(state, text) {
    const row = node("li", "note", text);
    row.dataset.state = state;
    append(this.list, row);
    return row;
  }
  state(state, tone = state) {
    this.part(".state").textContent = state;
    this.part(".state").dataset.state = tone;
    this.part(".cut").disabled = state !== "OPEN";
    tab?.hop?.();
  }
  figures() {
    const { seen, lost, twice, replayed } = this.tally;
    showFigures(this.part(".tally"), [
      ["received", seen.size, "received"],
      ["lost", lost, "lost"],
      ["twice", twice, "twice"],
      ["again", replayed, "replayed"],
      ["connections", this.connections, this.connections === 1 ? "connection" : "connections"],
    ]);
  }
}

// News that is this late was on its way when something broke.
const LATE = 500;

const browsers = [];
browsers.push(...["A", "B"].map(letter => new Browser(letter)));

const share = {
  about: "Two browsers read the same news; the upstream writes it once. Restart the upstream, or cut a connection, and watch the numbers.",
  path: "/news",
  show() { for (const browser of browsers) browser.begin(); },
  hide() { for (const browser of browsers) browser.end(); },
  hop(all = browsers) {
    const states = all.map(browser => browser.source?.readyState ?? EventSource.CLOSED);
    const open = states.filter(state => state === EventSource.OPEN).length;
    const gone = states.every(state => state === EventSource.CLOSED);
    hop("client", open === all.length ? "on" : gone ? "off" : "wait", `${open} of ${all.length} connected`);
  },
};
