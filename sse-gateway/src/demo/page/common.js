// What all parts of the page use.
"use strict";

// What is looked at.
let tab;

const $ = id => document.getElementById(id);
const KEEP = 200;
const seconds = ms => (ms / 1000).toFixed(ms < 9950 ? 2 : 1) + " s";
const counted = (number, one, many = one + "s") => `${number} ${number === 1 ? one : many}`;

function node(tag, className, text = "") {
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

function keepsToItsEnd(list) {
  list.onscroll = () => {
    if (list.scrollHeight - list.scrollTop - list.clientHeight < 40) list.left = false;
    else if (list.scrollTop < list.at - 40) list.left = true;
    list.classList.toggle("left", Boolean(list.left));
  };
  new ResizeObserver(() => toEnd(list)).observe(list);
}

// A short name of this page, so that two of them do not cut each other's connections.
const PAGE = Math.random().toString(36).slice(2, 8);

// The events of the demo say when the upstream made them; the page's clock may be another one.
const clock = {
  ahead: 0, exact: Infinity,
  now() { return Date.now() + this.ahead; },
  compare(theirs, asked) {
    const exact = Date.now() - asked;
    if (exact > this.exact) return;
    this.exact = exact;
    this.ahead = theirs - (asked + Date.now()) / 2;
  },
};

// Counts numbered events: what came, what is missing between the first and the last, what came twice.
class Tally {
  constructor() { this.seen = new Set(); this.first = Infinity; this.last = 0; this.twice = 0; this.replayed = 0; }
  add(number) {
    if (this.seen.has(number)) this.twice += 1;
    this.seen.add(number);
    this.first = Math.min(this.first, number);
    this.last = Math.max(this.last, number);
  }
  get lost() { return this.seen.size ? this.last - this.first + 1 - this.seen.size : 0; }
}

// Shows figures as [class, number, word], in a list whose entries stay the same elements.
function showFigures(list, figures) {
  for (const [name, number, word] of figures) {
    let entry = list.querySelector("." + name);
    if (!entry) {
      entry = node("div", name);
      entry.append(node("dd", ""), node("dt", ""));
      list.append(entry);
    }
    entry.firstChild.textContent = number;
    entry.lastChild.textContent = word;
    entry.classList.toggle("bad", (name === "lost" || name === "twice") && number > 0);
  }
}

// Events a second that the gateway hands on, as counted over the last few looks at its streams.
class Rate {
  constructor() { this.counts = undefined; this.looks = []; }
  look(at, streams) {
    let events = 0;
    for (const [number, count] of this.counts ? streams : []) events += count - (this.counts.get(number) ?? 0);
    this.counts = new Map(streams);
    this.looks = [...this.looks, { at, events }].slice(-LOOKS);
  }
  get perSecond() {
    const [first, ...rest] = this.looks;
    const ms = this.looks.at(-1).at - first.at;
    return ms > 0 ? rest.reduce((all, { events }) => all + events, 0) * 1000 / ms : 0;
  }
}

const LOOKS = 10;

function hop(name, state, says) {
  $("hop-" + name).dataset.state = state;
  $("hop-" + name + "-says").textContent = says;
}
