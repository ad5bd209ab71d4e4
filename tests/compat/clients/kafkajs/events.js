// The CloudEvents SDK for JavaScript over kafkajs and over HTTP: JSON commands in, events out.
// The SDK builds and parses every message; this program only carries bytes.
'use strict'

const readline = require('node:readline')
const load = name => require(require.resolve(name, { paths: [process.env.COMPAT_MODULES] }))
const { CloudEvent, HTTP, Kafka: KafkaBinding } = load('cloudevents')
const { Kafka, logLevel, Partitioners } = load('kafkajs')

const [bootstrap, http] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'compat-cloudevents', brokers: [bootstrap], logLevel: logLevel.NOTHING })
const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')

function build({ content, ...attributes }) {
  if (content?.base64) return new CloudEvent({ ...attributes, data: new Uint8Array(Buffer.from(content.base64, 'base64')) })
  return new CloudEvent({ ...attributes, data: content })
}

// What the SDK holds, with bytes as data_base64.
function show(event) {
  const { data, data_base64: _, ...attributes } = event
  if (event.data instanceof Uint8Array) return { ...attributes, data_base64: Buffer.from(event.data).toString('base64') }
  return { ...attributes, data: event.data }
}

const asBytes = value =>
  (value instanceof Uint8Array || typeof value === 'string' ? Buffer.from(value) : Buffer.from(JSON.stringify(value)))

const verbs = {
  async kafka_write({ topic, mode, samples }) {
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
    await producer.connect()
    const messages = samples.map(build).map(event => KafkaBinding[mode](event))
    // The SDK leaves headers of absent attributes undefined, which kafkajs cannot send.
    const present = headers => Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined))
    await producer.send({
      topic, messages: messages.map(m => ({ key: m.key, headers: present(m.headers), timestamp: m.timestamp, value: asBytes(m.value) })),
    })
    await producer.disconnect()
    say('written')
  },
  async kafka_read({ topic, count }) {
    const consumer = kafka.consumer({ groupId: `events-${process.pid}-${Date.now()}`, maxWaitTimeInMs: 200 })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    const events = []
    await new Promise((resolve, reject) => consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        try {
          const headers = Object.fromEntries(Object.entries(message.headers).map(([k, v]) => [k, v.toString()]))
          events.push(show(KafkaBinding.toEvent({ headers, key: message.key?.toString(), value: message.value })))
          if (events.length === count) resolve()
        } catch (error) { reject(error) }
      },
    }).catch(reject))
    await consumer.disconnect()
    say('read', { events })
  },
  async http_write({ topic, mode, samples }) {
    const events = samples.map(build)
    if (mode === 'batch') {
      await post(topic, { 'content-type': 'application/cloudevents-batch+json' }, JSON.stringify(events))
    } else {
      for (const event of events) {
        const message = HTTP[mode](event)
        await post(topic, message.headers, asBytes(message.body))
      }
    }
    say('written')
  },
}

async function post(topic, headers, body) {
  const answer = await fetch(`${http}/topics/${topic}/events`, { method: 'POST', headers, body })
  if (!answer.ok) throw new Error(`POST answered ${answer.status}: ${await answer.text()}`)
  await answer.text()
}

async function main() {
  say('ready')
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { do: verb, ...rest } = JSON.parse(line)
    try {
      await verbs[verb](rest)
    } catch (error) {
      say('error', { code: error.name, message: error.message })
    }
  }
  process.exit(0)
}

main()
