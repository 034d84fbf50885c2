// An answer by POST, word by word, which survives the loss of its connection.

const answer = { abort: null, number: 0, client: "" };

async function begin(cutAfter = Infinity) {
  answer.abort?.abort();
  const abort = answer.abort = new AbortController();
  const client = answer.client = `${PAGE}-${answer.number += 1}`;
  const tally = new Tally();
  let opened = 0, openedAt = 0, state = "CONNECTING", mark;
  Object.assign(answer, { tally, state });
  $("answer").replaceChildren();

  const show = (now, says = now) => {
    answer.state = state = now;
    $("answer-state").dataset.state = now;
    $("answer-state").textContent = says;
    $("answer").toggleAttribute("data-flowing", now !== "DONE" && now !== "FAILED");
    hop("client", now === "DONE" ? "on" : now, says.toLowerCase());
  };
  const onState = now => {
    if (now === "lost") {
      show("CONNECTING", "cut");
      mark = node("span", "mark", `cut after token ${tally.last}`);
      append($("answer"), mark);
      return;
    }
    openedAt = clock.now();
    opened += 1;
    show("OPEN");
    if (mark) mark.textContent += ", resumed";
    mark = undefined;
    answer.resumed = opened - 1;
    tokenFigures();
  };
  show("CONNECTING");
  answer.resumed = 0;
  tokenFigures();

  try {
    const body = JSON.stringify({ prompt: $("prompt").value });
    for await (const event of ask("/tokens?client=" + client, body, { signal: abort.signal, onState })) {
      if (event.type === "stream-gap") throw new Error("the rest is gone: a POST is not sent to the upstream again by itself");
      if (event.data === "[DONE]") { show("DONE", "done"); continue; }
      const { n, at, choices } = JSON.parse(event.data);
      // It was made before this connection was there, so the gateway has kept it.
      const replayed = opened > 1 && at < openedAt;
      tally.add(n);
      tally.replayed += replayed;
      append($("answer"), node("span", replayed ? "token replayed" : "token", choices[0].delta.content));
      tokenFigures();
      if (n === cutAfter) cutAnswer();
    }
    if (state !== "DONE") throw new Error("the answer ended early");
  } catch (error) {
    if (abort.signal.aborted) return;
    append($("answer"), node("span", "mark bad", error.message));
    show("FAILED", "failed");
  }
}

function tokenFigures() {
  const { seen, last, lost, twice, replayed } = answer.tally;
  const asked = requestsOf(request => request.target.endsWith("client=" + answer.client)).length;
  showFigures($("tokens-tally"), [
    ["requests", asked, asked === 1 ? "upstream request" : "upstream requests"],
    ["tokens", seen.size ? `1–${last}` : "0", "tokens"],
    ["lost", lost + (seen.size ? answer.tally.first - 1 : 0), "lost"],
    ["twice", twice, "twice"],
    ["again", replayed, "replayed"],
    ["resumed", answer.resumed, answer.resumed === 1 ? "time resumed" : "times resumed"],
  ]);
}

function cutAnswer() { press("/demo/cut?client=" + answer.client); }

// Half-way, whenever the button is pressed: now, or in the next answer.
const HALF = 30;

$("ask-again").onclick = () => begin();
$("prompt").onkeydown = event => { if (event.key === "Enter") begin(); };
$("cut-tokens").onclick = () => answer.state === "OPEN" && answer.tally.seen.size ? cutAnswer() : begin(HALF);
$("code-text").textContent = $("resume-source").textContent.trim();

const tokens = {
  about: "An answer in the manner of language models. Cut its connection half-way: the same POST with the last event ID brings the rest, and the upstream is asked once.",
  path: "/tokens",
  show() { begin(); },
  hide() { answer.abort?.abort(); },
  told: tokenFigures,
};
