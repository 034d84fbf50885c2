// Prints what an `EventSource` of Node dispatches, one JSON object a line, until its input closes.
//
//   node client.mjs PACKAGES URL [TYPE…]      PACKAGES: the folder that holds node_modules
//
// The package is `eventsource`, unless the variable CLIENT names another with the same interface.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [packages, url, ...types] = process.argv.slice(2)
const { EventSource } = createRequire(pathToFileURL(`${packages}/`))(process.env.CLIENT ?? 'eventsource')

const print = (object) => process.stdout.write(JSON.stringify(object) + '\n')
const source = new EventSource(url)
source.onopen = () => print({ kind: 'open', readyState: source.readyState })
source.onerror = (error) => print({ kind: 'error', readyState: source.readyState, code: error.code ?? null })
for (const type of ['message', ...types]) {
  source.addEventListener(type, (event) =>
    print({ kind: 'event', type: event.type, data: event.data, id: event.lastEventId }))
}

process.stdin.resume()
process.stdin.on('end', () => {
  source.close()
  print({ kind: 'closed', readyState: source.readyState })
})
