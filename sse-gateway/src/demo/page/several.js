// Two gateways that share a stream by a store, and two browsers that hop between them.

const several = {
  about: "Two gateways read one stream of the upstream and have one history, in Redis. Kill the one that reads it: the other goes on, and nothing is lost or comes twice.",
  path: "/news/all",
  nodes: [],
  show() { this.begun = false; this.timer = setInterval(() => this.cutOne(), 4000); this.told(); },
  hide() {
    clearInterval(this.timer);
    for (const browser of hoppers) browser.end();
  },
  hop() { share.hop(hoppers); },
  // Not before it is known where the gateways are.
  told() {
    if (!state?.several) return;
    if (!this.begun) for (const browser of hoppers) browser.begin();
    this.begun = true;
    state.several.nodes.forEach((told, number) => (this.nodes[number] ??= new GatewayCard(number)).show(told));
  },
  cutOne() {
    if (!$("hopping").checked || document.hidden) return;
    const open = hoppers.filter(browser => browser.source?.readyState === EventSource.OPEN);
    if (open.length === hoppers.length) press("/demo/cut?client=" + open[this.turn++ % open.length].client);
  },
  turn: 0,
  clients() { return state.several.nodes.reduce((all, told) => all + told.clients.length, 0); },
  up() {
    const { nodes } = state.several;
    const up = nodes.filter(told => told.up).length;
    const owns = nodes.some(told => told.owns);
    return [up === 0 ? "off" : owns && up === nodes.length ? "on" : "wait", `${up} of ${nodes.length} run`];
  },
};

class GatewayCard {
  constructor(number) {
    this.root = $("node").content.firstElementChild.cloneNode(true);
    this.root.id = "node-" + number;
    this.part("h2").textContent = "Gateway " + (number + 1);
    this.part(".kill").onclick = () => this.kill(number);
    this.part(".begin").onclick = () => press("/demo/begin?node=" + number);
    $("nodes").append(this.root);
  }
  part(selector) { return this.root.querySelector(selector); }
  async kill(number) {
    const read = this.owns;
    if (!await press("/demo/kill?node=" + number)) return;
    const next = read ? "It read the upstream: in a second the other one does, behind the last event that is stored." : "It did not read the upstream.";
    hold("off", `Gateway ${number + 1} was killed. ${next} Browsers come back to the other one by themselves.`, 8000);
  }
  show({ up, owns, clients, instance }) {
    this.owns = owns;
    const chip = this.part(".state");
    chip.textContent = !up ? "killed" : owns ? "reads the upstream" : "follows";
    chip.dataset.state = !up ? "off" : owns ? "on" : "";
    this.part(".kill").hidden = !up;
    this.part(".begin").hidden = up;
    const names = hoppers.filter(browser => clients.includes(browser.client)).map(browser => browser.name);
    this.part(".serves").textContent = !up ? "tells nobody, serves nobody" : names.length ? "serves " + names.join(" and ") : "has no client";
    this.root.title = instance ? "instance " + instance : "";
  }
}

const hoppers = [];
hoppers.push(...["C", "D"].map(letter => new Browser(letter, "hoppers", () => `${location.protocol}//${location.hostname}:${state.several.port}/news/all`)));
