// Calls the tools of a server of MCP by the TypeScript SDK and prints what comes, one JSON object a line.
//
//   node mcp_client.mjs PACKAGES TRANSPORT URL      PACKAGES: the folder that holds node_modules
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

import { resumingFetch } from '../../../examples/clients/resuming_fetch.mjs'

const [packages, transport, url] = process.argv.slice(2)
const require = createRequire(pathToFileURL(`${packages}/`))
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${name}`)))
const { Client } = await load('client/index.js')
const { LoggingMessageNotificationSchema } = await load('types.js')
const { StreamableHTTPClientTransport } = await load('client/streamableHttp.js')
const { SSEClientTransport } = await load('client/sse.js')
const print = (object) => process.stdout.write(JSON.stringify(object) + '\n')

const client = new Client({ name: 'client', version: '1' })
client.onerror = (error) => print({ error: error.message })
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => print({ told: params.data }))
const made = {
  http: () => new StreamableHTTPClientTransport(new URL('/mcp', url)),
  // By itself it comes back without the last id.
  sse: () => new SSEClientTransport(new URL('/sse', url), { fetch: resumingFetch({ delay: 100 }) }),
}[transport]()
await client.connect(made)
for (const name of ['slow', 'quick']) {
  const { content } = await client.callTool({ name, arguments: {} })
  print({ answer: content[0].text })
}
if (transport === 'http') await made.terminateSession()
await client.close()
print({ end: true })
