// A `fetch` for the SDKs of OpenAI, Anthropic and Vercel (`ai`), behind `sse-gateway --preset llm`.
//
// A streamed answer whose connection is lost goes on: the same request, with the id of the last event that came whole, brings
// the rest. The gateway has gone on reading meanwhile, and does not send it upstream again.
//
//   new OpenAI({ baseURL: "http://127.0.0.1:8080/v1", fetch: resumingFetch() })
//
// The older transport of the SDK of MCP, behind `--preset mcp`, comes back without the last id unless it is given this:
//
//   new SSEClientTransport(new URL("http://127.0.0.1:8080/sse"), { fetch: resumingFetch() })

const END_OF_EVENT = /\r\n\r\n|\n\n|\r\r/g
const ID = /(?:^|[\r\n])id: ?([^\r\n]*)/g

export function resumingFetch({ attempts = 5, delay = 1000, fetch = globalThis.fetch } = {}) {
  return async (input, init) => {
    const stop = new AbortController()
    init?.signal?.addEventListener('abort', () => stop.abort(init.signal.reason), { once: true })
    const ask = (headers) => fetch(input, { ...init, headers, signal: stop.signal })
    if (init?.signal?.aborted) stop.abort(init.signal.reason)
    const response = await ask(init?.headers)
    const type = response.headers.get('content-type') ?? ''
    if (response.status !== 200 || !type.startsWith('text/event-stream')) return response
    const again = async (lastId) => {
      const headers = new Headers(init?.headers)
      headers.set('last-event-id', lastId)
      const rest = await ask(headers)
      if (rest.status === 204) return null // all of it was here
      if (rest.status === 200) return rest.body
      throw new Error(`the rest of the answer was refused with ${rest.status}`)
    }
    const events = whole(response.body, again, { attempts, delay })
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await events.next()
        done ? controller.close() : controller.enqueue(value)
      },
      cancel: (reason) => stop.abort(reason),
    })
    return new Response(body, response)
  }
}

// Whole events. Half of one is dropped where the connection is lost: it comes again.
async function* whole(body, again, { attempts, delay }) {
  const encoder = new TextEncoder()
  let lastId
  for (let left = attempts; ; left--) {
    let rest = ''
    try {
      body = body === undefined ? await again(lastId) : body
      if (body === null) return
      for await (const text of body.pipeThrough(new TextDecoderStream())) {
        rest += text
        const end = [...rest.matchAll(END_OF_EVENT)].at(-1)
        if (!end) continue
        const events = rest.slice(0, end.index + end[0].length)
        rest = rest.slice(events.length)
        lastId = [...events.matchAll(ID)].at(-1)?.[1] ?? lastId
        left = attempts
        yield encoder.encode(events)
      }
      yield encoder.encode(rest)
      return
    } catch (error) {
      // A lost connection is a TypeError. Without an id there is nothing to come back to.
      if (!lastId || left === 0 || !(error instanceof TypeError)) throw error
    }
    body = undefined
    await new Promise((resolve) => setTimeout(resolve, delay))
  }
}
