// The tabs, the buttons for all of them, and what the demo tells of the upstream and of the gateway.

const tabs = { share, several, tokens, wire };
const rate = new Rate();
let state;

function choose(name) {
  tab?.hide();
  tab = tabs[name];
  for (const other of Object.keys(tabs)) {
    $("tab-" + other).setAttribute("aria-selected", other === name);
    $("view-" + other).hidden = other !== name;
  }
  if (name !== "wire") $("view-" + name).append($("aside"));
  $("settings").hidden = tab === several;
  $("settings-several").hidden = tab !== several;
  for (const block of $("settings").children) block.classList.toggle("here", block.textContent.includes(`"${tab.path}"`));
  history.replaceState(null, "", "#" + name);
  release();
  say("");
  tab.show();
  if (state) told(state);
}

// In the line above a view: what happens just now, or what there is to see.
const line = { said: {}, held: undefined, timer: 0 };

function say(tone, text = "") {
  line.said = { tone, text: text || tab.about };
  showLine();
}

// For a while it stays, whatever else is said.
function hold(tone, text, ms) {
  release();
  line.held = { tone, text };
  line.timer = setTimeout(release, ms);
  showLine();
}

function release() {
  clearTimeout(line.timer);
  line.held = undefined;
  showLine();
}

function showLine() {
  const { tone = "", text = "" } = line.held ?? line.said;
  $("about").dataset.state = tone;
  $("about").textContent = text;
}

// Whether the demo did it.
async function press(path) {
  try {
    const response = await fetch(path, { method: "POST" });
    if (!response.ok) throw new Error(await response.text());
    told(await response.json());
    return true;
  } catch (error) {
    say("off", `The demo did not do it: ${error.message}`);
    return false;
  }
}

async function drain() {
  if (await press("/demo/drain")) hold("wait", DRAINED, 8000);
}

const DRAINED = "The gateway drains: streams end with last words, and clients come back. A real drain ends the process then; this one does not.";

// ---- what the demo tells

function requestsOf(matches) {
  return state ? state.upstream.requests.filter(matches) : [];
}

function told(now) {
  const before = state;
  state = now;
  $("tab-several").hidden = !state.several;
  const { upstream, streams } = state;
  const path = tab.path;
  const requests = requestsOf(request => request.target.split("?")[0] === path);
  const open = requests.filter(request => request.open).length;
  const relays = state.relays.filter(relay => relay.route === path);
  const clients = tab === several ? several.clients() : relays.reduce((all, relay) => all + relay.clients, 0);

  hop("upstream", upstream.up ? "on" : "off", upstream.up ? counted(open, "connection") : "restarting");
  const waiting = tab !== several && relays.some(relay => relay.upstream === "waiting");
  rate.look(state.now, streams);
  const load = `${counted(streams.length, "stream")}, ${rate.perSecond.toFixed(1)} events/s`;
  if (tab === several) hop("gateway", ...several.up());
  else hop("gateway", waiting ? "wait" : "on", waiting ? "will ask again" : load);
  show("connections", open, "connection");
  show("clients", clients, "client");
  $("requests").replaceChildren(...requests.slice(-6).map(requestNode));
  if (tab === share) outage(before?.upstream, upstream, requests.at(-1), waiting);
  tab.told?.();
}

function show(id, number, word) {
  $(id).textContent = number;
  $(id + "-unit").textContent = number === 1 ? word : word + "s";
}

function requestNode(request) {
  const row = node("li", request.open ? "open" : "");
  row.append(node("time", "", new Date(request.at).toLocaleTimeString("en-GB")));
  row.append(node("span", "", `${request.method} ${request.target.split("?")[0]}`));
  if (request.last_event_id) row.append(node("span", "id", "Last-Event-ID: " + request.last_event_id));
  return row;
}

// Told until the gateway has its stream again, and for a while after.
function outage(before, upstream, request, waiting) {
  if (!upstream.up) {
    say("off", "The upstream is gone and refuses connections. The gateway keeps its clients connected, with heartbeats.");
  } else if (before && !before.up) {
    outage.over = true;
  }
  if (!outage.over || !upstream.up) return;
  if (!request?.open || waiting) return say("wait", "The upstream is back. The gateway will ask it again in a moment.");
  outage.over = false;
  const id = request.last_event_id ? ` with Last-Event-ID: ${request.last_event_id}` : "";
  const text = `The upstream is back. The gateway has asked it again${id}: what was made meanwhile comes late, and nothing is missing.`;
  say("on", text);
  setTimeout(() => { if (line.said.text === text) say(""); }, 8000);
}

async function watch() {
  try {
    if (!document.hidden) {
      const asked = Date.now();
      const now = await (await fetch("/demo/state", { cache: "no-store" })).json();
      clock.compare(now.now, asked);
      told(now);
    }
  } catch {
    hop("upstream", "off", "unknown");
  }
  setTimeout(watch, 500);
}

for (const block of $("settings-source").textContent.trim().split("\n\n")) $("settings").append(node("span", "", block + "\n"));
$("settings-several").append($("settings-of-nodes").textContent.trim());
for (const name of Object.keys(tabs)) $("tab-" + name).onclick = () => choose(name);
$("restart").onclick = () => press("/demo/restart");
$("drain").onclick = drain;
for (const list of document.querySelectorAll(".scroll")) keepsToItsEnd(list);

choose(Object.hasOwn(tabs, location.hash.slice(1)) ? location.hash.slice(1) : "share");
watch();
