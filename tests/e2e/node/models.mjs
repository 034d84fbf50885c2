// Asks a model by an SDK and prints what it gives, one JSON object a line: each piece of text, then the end or the error.
//
//   node models.mjs PACKAGES SDK URL KEY [resume]      PACKAGES: the folder that holds node_modules
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

import { resumingFetch } from '../../../examples/clients/resuming_fetch.mjs'

const [packages, sdk, url, key, resume] = process.argv.slice(2)
const require = createRequire(pathToFileURL(`${packages}/`))
const load = (name) => import(pathToFileURL(require.resolve(name)))
const print = (object) => process.stdout.write(JSON.stringify(object) + '\n')

const headers = { 'x-key': key }
const fetch = resume ? resumingFetch({ delay: 100 }) : globalThis.fetch
const question = [{ role: 'user', content: 'Are streams easy?' }]

async function* openai(kind) {
  const { default: OpenAI } = await load('openai')
  const client = new OpenAI({ apiKey: 'k', baseURL: `${url}/v1`, defaultHeaders: headers, fetch, maxRetries: 0 })
  if (kind === 'chat') {
    for await (const chunk of await client.chat.completions.create({ model: 'm', messages: question, stream: true })) {
      yield chunk.choices[0]?.delta.content ?? ''
    }
  } else {
    for await (const event of await client.responses.create({ model: 'm', input: question, stream: true })) {
      if (event.type === 'response.output_text.delta') yield event.delta
    }
  }
}

async function* anthropic() {
  const { default: Anthropic } = await load('@anthropic-ai/sdk')
  const client = new Anthropic({ apiKey: 'k', baseURL: url, defaultHeaders: headers, fetch, maxRetries: 0 })
  for await (const event of client.messages.stream({ model: 'm', max_tokens: 9, messages: question })) {
    if (event.type === 'content_block_delta') yield event.delta.text
  }
}

async function* vercel(kind) {
  const { streamText } = await load('ai')
  const { createOpenAI } = await load('@ai-sdk/openai')
  const provider = createOpenAI({ apiKey: 'k', baseURL: `${url}/v1`, headers, fetch })
  const model = kind === 'chat' ? provider.chat('m') : provider('m')
  const answer = streamText({ model, messages: question, maxRetries: 0, onError: () => {} })
  for await (const part of answer.fullStream) {
    if (part.type === 'text-delta') yield part.text
    if (part.type === 'error') throw part.error
  }
}

const sdks = {
  'openai-chat': () => openai('chat'),
  'openai-responses': () => openai('responses'),
  anthropic,
  'ai-chat': () => vercel('chat'),
  'ai-responses': () => vercel('responses'),
}
try {
  for await (const text of sdks[sdk]()) if (text) print({ text })
  print({ end: true })
} catch (error) {
  print({ error: `${error.name}: ${error.message}` })
}
