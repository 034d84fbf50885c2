// Asks by POST and gives the events of the answer. If the connection is lost on the way, the same
// request with the last event ID brings the rest: the gateway has gone on reading meanwhile.
async function* ask(url, body, { signal, onState = () => {} } = {}) {
  let lastEventId;
  for (;;) {
    const headers = { "accept": "text/event-stream", "content-type": "application/json" };
    if (lastEventId) headers["last-event-id"] = lastEventId;
    try {
      const response = await fetch(url, { method: "POST", headers, body, signal });
      if (response.status === 204) return; // all of it was here
      if (response.status !== 200) throw new Error(await response.text());
      onState("open");
      for await (const event of events(response.body)) {
        lastEventId = event.id ?? lastEventId;
        yield event;
      }
      return;
    } catch (error) {
      // That is what a lost connection throws. Without an id there is nothing to come back to.
      if (!lastEventId || !(error instanceof TypeError)) throw error;
    }
    onState("lost");
    await new Promise(resolve => setTimeout(resolve, 1000));
  }
}

// Cuts a response into events.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split(/\r\n\r\n|\n\n|\r\r/);
    text = blocks.pop();
    for (const block of blocks) {
      const event = { type: "message", data: [] };
      for (const line of block.split(/\r\n|\n|\r/)) {
        const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (name === "data") event.data.push(value);
        if (name === "event") event.type = value;
        if (name === "id") event.id = value;
      }
      if (event.data.length) yield { ...event, data: event.data.join("\n") };
    }
  }
}
