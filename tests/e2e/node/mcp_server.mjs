// The server of `apps/mcp_sdk.py`, by the TypeScript SDK.
//
//   node mcp_server.mjs PACKAGES PORT      PACKAGES: the folder that holds node_modules
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [packages, port] = process.argv.slice(2)
const require = createRequire(pathToFileURL(`${packages}/`))
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${name}`)))
const { McpServer } = await load('server/mcp.js')
const { StreamableHTTPServerTransport } = await load('server/streamableHttp.js')
const { SSEServerTransport } = await load('server/sse.js')

let calls = 0
let go = () => {}

function server() {
  const server = new McpServer({ name: 'slow', version: '1' }, { capabilities: { logging: {} } })
  server.registerTool('slow', {}, async (extra) => {
    calls += 1
    const told = new Promise((resolve) => (go = resolve))
    await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data: 'begun' } })
    await told
    return { content: [{ type: 'text', text: 'done' }] }
  })
  server.registerTool('quick', {}, async () => ({ content: [{ type: 'text', text: 'still here' }] }))
  return server
}

const sessions = new Map()

async function streamable(request, response) {
  let transport = sessions.get(request.headers['mcp-session-id'])
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    })
    await server().connect(transport)
  }
  await transport.handleRequest(request, response)
}

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://server')
  if (url.pathname === '/mcp') return streamable(request, response)
  if (url.pathname === '/sse') {
    const transport = new SSEServerTransport('/messages', response)
    sessions.set(transport.sessionId, transport)
    return server().connect(transport)
  }
  if (url.pathname === '/messages') {
    return sessions.get(url.searchParams.get('sessionId')).handlePostMessage(request, response)
  }
  if (url.pathname === '/go') go()
  response.end(url.pathname === '/calls' ? `${calls}` : '')
}).listen(Number(port), '127.0.0.1')
