// Asks one question after the other by POST, and prints what `launchdarkly-eventsource` dispatches of each answer, one JSON object a
// line, until its input closes. A connection that is lost is its business; it comes back with the last event ID.
//
//   node ask.mjs PACKAGES URL NAME GAP      PACKAGES: the folder that holds node_modules; GAP: the type of an event that tells of one
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [packages, url, name, gap] = process.argv.slice(2)
const { EventSource } = createRequire(pathToFileURL(`${packages}/`))('launchdarkly-eventsource')

const print = (...words) => process.stdout.write(JSON.stringify(words) + '\n')

function ask(number) {
  const question = `${name}-${number}`
  const count = 10 + Math.floor(Math.random() * 50)
  print('asks', question, count)
  const source = new EventSource(url, { method: 'POST', body: `${question} ${count}` })
  let id = null
  const end = (how) => {
    if (source.readyState !== EventSource.CLOSED) source.close()
    print('ends', how)
    setTimeout(ask, 30, number + 1)
  }
  const take = (event) => {
    id = event.lastEventId
    print('takes', event.type, event.data)
    // As often as it came back it would be told again that no more comes.
    if (event.type === gap) end('broken off')
    if (event.data === '[DONE]') end('done')
  }
  source.addEventListener('message', take)
  source.addEventListener(gap, take)
  const fails = (error) => {
    // Without an id it would ask anew. What is no stream and no failure of a server closes it, behind this.
    const closes = error.status !== undefined && error.status < 500
    if (closes || !id) {
      source.onend = source.onerror = null
      end(closes ? `status ${error.status}` : 'unanswered')
    }
  }
  source.onend = source.onerror = fails
}

ask(0)
process.stdin.resume()
process.stdin.on('end', () => process.exit())
