// One EventSource, and beside it the bytes of the same stream as a raw reader gets them.

const STREAMS = {
  clock: {
    about: "The upstream sends the time once a second and nothing else: no ids, no heartbeats, no reconnection time. All that is added comes from the gateway.",
    url: "/clock",
  },
  notices: {
    about: "The upstream has ids of its own, which the gateway leaves alone, and resumes after the last one seen.",
    url: "/notices?user_id=42",
  },
};

const page = { stream: "clock", source: null, raw: null, timer: 0 };

function showState(state, tone = state) {
  $("ready-state").textContent = state;
  $("ready-state").dataset.state = tone;
  hop("client", tone, state.toLowerCase());
  $("close").disabled = state === "CLOSED" && !page.timer;
}

function fact(id, text, none) {
  $(id).textContent = text || none;
  $(id).classList.toggle("none", !text);
  $(id).title = text;
}

function showFacts() {
  fact("last-event-id", page.lastEventId, "none");
  fact("reconnection-time", page.retry === undefined ? "" : seconds(page.retry), "not set");
  $("reconnects").textContent = page.reconnects;
}

// ---- left: the EventSource

function open(resume) {
  closeSource();
  let { url } = STREAMS[page.stream];
  // A new EventSource knows no last event ID, so the page puts it where the upstream looks too.
  if (resume && page.stream === "notices" && page.lastEventId) url += "&lastEventId=" + encodeURIComponent(page.lastEventId);
  const source = page.source = new EventSource(url);
  showState("CONNECTING");
  source.onopen = () => {
    if (source.opened || resume === "again") page.reconnects += 1;
    if (page.lostAt) page.note = `back after ${seconds(Date.now() - page.lostAt)}`;
    source.opened = true;
    resume = undefined;
    page.lostAt = 0;
    showState("OPEN");
    say("");
    showFacts();
  };
  source.onerror = () => {
    page.lostAt ||= Date.now();
    if (source.readyState === EventSource.CONNECTING) {
      showState("CONNECTING");
      say("wait", "The connection is gone. The EventSource reconnects by itself, after the reconnection time.");
    } else {
      closeSource("off");
      later(2000, "off", "The EventSource was answered with an error and is CLOSED for good. The page makes a new one.");
    }
  };
  source.onmessage = shown;
  source.addEventListener("add", shown);
  source.addEventListener("stream-gap", shown);
  source.addEventListener("pause", event => {
    shown(event);
    const until = pauseUntil(event.data);
    if (!until) return;
    closeSource();
    page.lostAt = Date.now();
    later(until - Date.now(), "wait", "A pause event said when to come back. The page closed its EventSource, and makes a new one then.");
  });
}

function closeSource(tone) {
  clearTimeout(page.timer);
  page.timer = 0;
  page.source?.close();
  page.source = null;
  showState("CLOSED", tone);
}

// Opens again after a while, unless "Close" is pressed.
function later(ms, state, says) {
  page.timer = setTimeout(() => { page.timer = 0; open("again"); }, Math.max(0, ms));
  $("close").disabled = false;
  say(state, says);
}

function shown(event) {
  const now = performance.now();
  const row = node("li", "");
  const since = page.at ? "+" + seconds(now - page.at) : "";
  row.append(node("span", "type", event.type), node("span", "value", event.data), node("span", "since", since));
  row.append(node("span", "lei", event.lastEventId && "lastEventId " + event.lastEventId));
  const number = numberOf(event.data);
  if (page.note) row.dataset.note = page.note + missed(page.number, number);
  page.note = "";
  page.at = now;
  page.number = number ?? page.number;
  page.lastEventId = event.lastEventId;
  append($("events"), row);
  showFacts();
  $("figures").textContent = counted(page.events += 1, "event") + " since this stream was chosen";
}

// Both streams number what they say, so the page can tell what went by while it was away.
function numberOf(data) {
  try { const { n } = JSON.parse(data); return typeof n === "number" ? n : undefined; } catch { return undefined; }
}

function missed(before, now) {
  if (before === undefined || now === undefined) return "";
  if (now === before + 1) return ", nothing missed";
  return now > before ? `, missed ${now - before - 1}: this upstream keeps no past, and the route is not shared` : "";
}

// ---- right: the bytes

function read() {
  page.raw?.stop();
  page.raw = new RawReader(STREAMS[page.stream].url, {}, true, {
    state(says, tone) {
      $("raw-state").textContent = says;
      $("raw-state").dataset.state = tone;
    },
    line(text, end) { append($("raw"), lineNode(text, end)); },
    lineFeed() { $("raw").lastElementChild?.lastElementChild?.append("\\n"); },
    event() {},
    retry(ms) { page.retry = ms; showFacts(); },
    over(why, clean, wait) {
      const mark = node("div", "mark", `The response ${why}. Again in ${seconds(wait)}.`);
      mark.dataset.state = clean ? "wait" : "off";
      append($("raw"), mark);
      page.pausing = false;
    },
  });
}

// What the gateway adds can be told apart, since this upstream sends no comments and no reconnection time, and its ids are numbers.
function lineNode(text, end) {
  const name = text.startsWith(":") ? "comment" : /^(id|retry|event|data)(?=:|$)/.exec(text)?.[1] ?? (text ? "other" : "blank");
  if (/^event: ?pause$/.test(text)) page.pausing = true;
  const ours = name === "comment" || name === "retry" || /^id: ?ts/.test(text) || page.pausing;
  if (name === "blank") page.pausing = false;
  const line = node("div", ours ? name + " ours" : name, text);
  line.append(node("i", "", end.replace("\r", "\\r").replace("\n", "\\n")));
  return line;
}

// ---- the controls

$("close").onclick = () => {
  closeSource();
  page.lostAt = 0;
  say("closed", "Closed by close(). An EventSource that was closed does not come back.");
};
$("reopen").onclick = () => open("by hand");
$("drop").onclick = () => press("/demo/drop");
$("stream").onchange = () => { page.stream = $("stream").value; wire.show(); say(""); };
$("upstream-only").onchange = event => {
  $("raw").classList.toggle("upstream-only", event.target.checked);
  $("raw").scrollTop = $("raw").scrollHeight;
};

const wire = {
  get about() { return STREAMS[page.stream].about; },
  get path() { return STREAMS[page.stream].url.split("?")[0]; },
  show() {
    Object.assign(page, { at: 0, events: 0, reconnects: 0, lastEventId: "", retry: undefined, note: "", lostAt: 0, number: undefined, pausing: false });
    $("figures").textContent = "";
    for (const list of [$("events"), $("raw")]) { list.replaceChildren(); list.left = false; }
    showFacts();
    open();
    read();
  },
  hide() {
    closeSource();
    page.raw?.stop();
  },
};
