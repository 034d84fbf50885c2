// The page: one EventSource (or, for tokens, one POST), one raw reader beside it, and the facts about both.

const $ = id => document.getElementById(id);
const KEEP = 200;
const seconds = ms => (ms / 1000).toFixed(ms < 9950 ? 2 : 1) + " s";

const STREAMS = {
  clock: {
    about: "The upstream sends the time once a second and nothing else: no ids, no heartbeats, no reconnection time.",
    url: () => "/clock",
  },
  notices: {
    about: "The upstream has ids of its own, which the gateway leaves alone, and resumes after the last one seen.",
    url: () => "/notices?user_id=" + encodeURIComponent($("user-id").value.trim() || "42"),
  },
  tokens: {
    about: "An answer by POST, in the manner of the APIs of language models: a long silence, many small events, then [DONE].",
    url: () => "/tokens",
  },
};

const page = { stream: "", source: null, raw: null, timer: 0, at: 0, reconnects: 0, lastEventId: "", retry: undefined };

function node(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

// Appends, drops what is older than the last KEEP, and stays at the end for a reader who is there.
function append(list, child) {
  list.append(child);
  while (list.childElementCount > KEEP) list.firstElementChild.remove();
  toEnd(list);
}

// Once a frame: a layout for each of many lines would cost more than all else here.
function toEnd(list) {
  if (list.left) return;
  list.frame ||= requestAnimationFrame(() => {
    list.frame = 0;
    list.scrollTop = list.scrollHeight;
    list.at = list.scrollTop;
  });
}

for (const list of document.querySelectorAll(".scroll")) {
  list.onscroll = () => {
    if (list.scrollHeight - list.scrollTop - list.clientHeight < 40) list.left = false;
    else if (list.scrollTop < list.at - 40) list.left = true;
    list.classList.toggle("left", Boolean(list.left));
  };
  new ResizeObserver(() => toEnd(list)).observe(list);
}

// ---- the facts above the panes

function showState(state, tone = state) {
  $("ready-state").textContent = state;
  $("ready-state").dataset.state = $("hop-client").dataset.state = tone;
  $("hop-client-says").textContent = state.toLowerCase();
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

function banner(state, says, until) {
  page.until = until;
  $("banner").hidden = !says;
  $("about").hidden = Boolean(says);
  $("banner").dataset.state = state;
  $("banner-says").textContent = says;
  tick();
}

function tick() {
  $("countdown").textContent = page.until ? seconds(Math.max(0, page.until - Date.now())) : "";
}
setInterval(tick, 100);

// ---- left: the EventSource

function open(resume) {
  closeSource();
  let url = STREAMS[page.stream].url();
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
    banner("on", "");
    showFacts();
  };
  source.onerror = () => {
    page.lostAt ||= Date.now();
    if (source.readyState === EventSource.CONNECTING) {
      showState("CONNECTING");
      banner("wait", "The connection is gone. The EventSource reconnects by itself, after the reconnection time.");
    } else {
      closeSource();
      later(2000, "off", "The EventSource was answered with an error and is CLOSED for good. The page makes a new one in");
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
    later(until - Date.now(), "wait", "A pause event said when to come back. The page closed its EventSource and makes a new one in");
  });
}

function closeSource() {
  clearTimeout(page.timer);
  page.timer = 0;
  page.source?.close();
  page.source = null;
  showState("CLOSED");
}

// Opens again after a while. The wait is shown, and "Close" ends it.
function later(ms, state, says) {
  ms = Math.max(0, ms);
  page.timer = setTimeout(() => { page.timer = 0; open("again"); }, ms);
  $("close").disabled = false;
  banner(state, says, Date.now() + ms);
}

function shown(event) {
  const now = performance.now();
  const row = node("li", "", "");
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
  $("figures").textContent = `${page.events += 1} events since this stream was chosen`;
}

// Both GET streams number what they say, so the page can tell what went by while it was away.
function numberOf(data) {
  try { const { n } = JSON.parse(data); return typeof n === "number" ? n : undefined; } catch { return undefined; }
}

function missed(before, now) {
  if (before === undefined || now === undefined) return "";
  if (now === before + 1) return ", nothing missed";
  return now > before ? `, missed ${now - before - 1}: this upstream keeps no past` : "";
}

// ---- left, for tokens: a POST, which no EventSource can make

function ask() {
  closeSource();
  page.raw?.stop();
  $("answer").textContent = "";
  $("answer").dataset.flowing = "";
  showState("CONNECTING");
  const began = performance.now();
  let count = 0, first = 0, done = false;
  const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ prompt: $("prompt").value }) };
  $("figures").textContent = "waiting for the first token";
  banner("on", "");
  read(init, false, {
    event(event) {
      page.lastEventId = event.lastEventId;
      showFacts();
      if (event.data === "[DONE]") { done = true; return; }
      let token;
      try { token = JSON.parse(event.data).choices[0].delta.content; } catch { return; }
      if (typeof token !== "string") return;
      first ||= performance.now() - began;
      count += 1;
      append($("answer"), node("span", "", token));
      $("figures").textContent = `first token after ${seconds(first)}, ${count} tokens so far`;
    },
    state(_, state) { if (state === "on") showState("OPEN"); },
    over(why) {
      delete $("answer").dataset.flowing;
      showState("CLOSED", done ? "done" : "CLOSED");
      if (done) $("figures").textContent = `first token after ${seconds(first)}, ${count} tokens in ${seconds(performance.now() - began)}`;
      else banner("off", `The answer ${why === "ended" ? "ended early" : why}, after ${count} tokens. A POST is not sent again by itself: “Ask again” does it.`);
    },
  });
}

// ---- right: the bytes

function read(init, again, also = {}) {
  page.raw?.stop();
  page.raw = new RawReader(STREAMS[page.stream].url(), init, again, {
    state(says, state) {
      $("raw-state").textContent = `fetch, ${says}`;
      also.state?.(says, state);
    },
    line(text, end) {
      append($("raw"), lineNode(text, end));
    },
    lineFeed() { $("raw").lastElementChild?.lastElementChild?.append("\\n"); },
    event(event) { also.event?.(event); },
    retry(ms) { page.retry = ms; showFacts(); },
    over(why, clean, wait) {
      also.over?.(why);
      const mark = node("div", "mark", `The response ${why}.` + (wait === undefined ? "" : ` Again in ${seconds(wait)}.`));
      mark.dataset.state = !clean ? "off" : wait === undefined ? "on" : "wait";
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

function choose(stream) {
  page.stream = stream;
  Object.assign(page, { at: 0, events: 0, reconnects: 0, lastEventId: "", retry: undefined, note: "", lostAt: 0, number: undefined, pausing: false });
  for (const name of Object.keys(STREAMS)) $("tab-" + name).setAttribute("aria-selected", name === stream);
  const tokens = stream === "tokens";
  $("about").textContent = STREAMS[stream].about;
  $("user").hidden = stream !== "notices";
  $("ask").hidden = !tokens;
  $("events").hidden = tokens;
  $("answer").hidden = !tokens;
  $("ready-label").textContent = tokens ? "state of the request" : "readyState";
  $("left-note").textContent = tokens ? "fetch, by POST" : "EventSource";
  $("close").textContent = tokens ? "Cancel" : "Close";
  $("reopen").textContent = tokens ? "Ask again" : "Reconnect";
  $("figures").textContent = "";
  for (const list of [$("events"), $("raw")]) { list.replaceChildren(); list.left = false; }
  banner("on", "");
  showFacts();
  history.replaceState(null, "", "#" + stream);
  if (tokens) return ask();
  open();
  read({}, true);
}

for (const name of Object.keys(STREAMS)) $("tab-" + name).onclick = () => choose(name);
$("user-id").onchange = () => choose("notices");
$("prompt").onkeydown = event => { if (event.key === "Enter") ask(); };
$("close").onclick = () => {
  if (page.stream === "tokens") {
    page.raw?.stop();
    delete $("answer").dataset.flowing;
    $("raw-state").textContent = "fetch, cancelled";
  }
  closeSource();
  page.lostAt = 0;
  banner("off", page.stream === "tokens" ? "Cancelled: the gateway ends the request to the upstream at once." : "Closed by close(). An EventSource that was closed does not come back.");
};
$("reopen").onclick = () => page.stream === "tokens" ? ask() : open("by hand");
$("upstream-only").onchange = event => {
  $("raw").classList.toggle("upstream-only", event.target.checked);
  $("raw").scrollTop = $("raw").scrollHeight;
};

async function press(path) {
  try {
    const response = await fetch(path, { method: "POST" });
    if (!response.ok) throw new Error(await response.text());
    told(await response.json());
  } catch (error) {
    banner("off", `The demo did not do it: ${error.message}`);
  }
}
for (const name of ["cut", "restart", "drain"]) $(name).onclick = () => press("/demo/" + name);

function told(state) {
  $("hop-upstream").dataset.state = state.upstream_up ? "on" : "off";
  const streams = state.streams === 1 ? "1 stream" : `${state.streams} streams`;
  $("hop-upstream-says").textContent = state.upstream_up ? streams + " open" : "restarting";
}

async function watch() {
  try {
    if (!document.hidden) told(await (await fetch("/demo/state", { cache: "no-store" })).json());
  } catch {
    $("hop-upstream").dataset.state = "off";
    $("hop-upstream-says").textContent = "unknown";
  }
  setTimeout(watch, 700);
}

watch();
choose(Object.hasOwn(STREAMS, location.hash.slice(1)) ? location.hash.slice(1) : "clock");
