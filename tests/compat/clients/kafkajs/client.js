// kafkajs behind the suite's verbs: JSON commands in, JSON events out. See tests/compat/README.md.
'use strict'

const fs = require('node:fs')
const readline = require('node:readline')
// The packages live in the suite's cache, not beside this file.
const load = name => require(require.resolve(name, { paths: [process.env.COMPAT_MODULES] }))
const { Kafka, CompressionTypes, CompressionCodecs, Partitioners, logLevel } = load('kafkajs')

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}
const BATCH = 500

CompressionCodecs[CompressionTypes.Snappy] = load('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = new (load('kafkajs-lz4'))().codec

async function installZstd() {
  const zstd = await new Promise(resolve => load('zstd-codec').ZstdCodec.run(resolve))
  const streaming = new zstd.Streaming()
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async encoder => Buffer.from(streaming.compress(encoder.buffer)),
    decompress: async buffer => Buffer.from(streaming.decompress(buffer)),
  })
}

const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const encode = raw => (raw === null || raw === undefined ? null : Buffer.from(raw).toString('base64'))
const decode = text => (text === null ? null : Buffer.from(text, 'base64'))

const kafka = new Kafka({
  clientId: 'compat-kafkajs',
  brokers: [process.argv[2]],
  logCreator: () => ({ label, log }) => process.stderr.write(`${label} ${log.message} ${log.error ?? ''}\n`),
  logLevel: logLevel.INFO,
  retry: { initialRetryTime: 100, retries: 10 },
})
const admin = kafka.admin({ retry: { initialRetryTime: 100, retries: 5 } })
const producers = new Map()
let member = null
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()

// kafkajs keeps headers in an object: a repeated name is an array.
function toHeaders(list) {
  const headers = {}
  for (const [name, value] of list) {
    const raw = decode(value)
    if (name in headers) headers[name] = [].concat(Array.isArray(headers[name]) ? headers[name] : [headers[name]], [raw])
    else headers[name] = raw
  }
  return headers
}

function fromHeaders(headers) {
  return Object.entries(headers ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map(one => [name, encode(one)]))
}

const asRecord = (topic, partition, m) =>
  [topic, partition, Number(m.offset), Number(m.timestamp), encode(m.key), encode(m.value), fromHeaders(m.headers)]

async function producerFor(codec, idempotent) {
  const key = `${codec} ${idempotent}`
  if (!producers.has(key)) {
    const producer = kafka.producer({
      idempotent,
      createPartitioner: Partitioners.DefaultPartitioner,
      ...(idempotent ? { maxInFlightRequests: 1 } : {}),
    })
    await producer.connect()
    producers.set(key, producer)
  }
  return producers.get(key)
}

// A group member that delivers up to a limit and then holds: paused, still sending heartbeats.
class Member {
  constructor({ group, topics, limit }) {
    this.topics = topics
    this.limit = limit ?? Infinity
    this.delivered = 0
    this.held = false
    this.positions = new Map()
    this.consumer = kafka.consumer({
      groupId: group, sessionTimeout: 10000, heartbeatInterval: 500, maxWaitTimeInMs: 200,
    })
  }

  async start() {
    this.consumer.on(this.consumer.events.GROUP_JOIN, ({ payload }) => {
      const partitions = Object.entries(payload.memberAssignment).flatMap(([topic, ps]) => ps.map(p => [topic, p]))
      this.positions.clear()
      say('assigned', { partitions })
    })
    // After an error that passes, such as a coordinator that is loading, kafkajs restarts by itself.
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart) say('error', { code: 'CRASH', message: String(payload.error) })
    })
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: this.topics, fromBeginning: true })
    await this.consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: batch => this.eachBatch(batch),
    })
  }

  async eachBatch({ batch, resolveOffset, heartbeat, isRunning, isStale }) {
    const { topic, partition } = batch
    const records = []
    for (const message of batch.messages) {
      if (this.held || this.delivered >= this.limit || !isRunning() || isStale()) break
      this.delivered++
      records.push(asRecord(topic, partition, message))
      resolveOffset(message.offset)
      this.positions.set(JSON.stringify([topic, partition]), Number(message.offset) + 1)
    }
    if (records.length) say('records', { records })
    if (this.delivered >= this.limit && !this.held) {
      this.held = true
      this.consumer.pause(this.topics.map(topic => ({ topic })))
      say('held', { delivered: this.delivered })
    }
    await heartbeat()
  }

  resume(limit) {
    this.limit = limit ?? Infinity
    this.delivered = 0
    this.held = false
    this.consumer.resume(this.topics.map(topic => ({ topic })))
  }

  async commit() {
    const offsets = [...this.positions].map(([key, offset]) => [...JSON.parse(key), offset])
    await this.consumer.commitOffsets(
      offsets.map(([topic, partition, offset]) => ({ topic, partition, offset: String(offset) })))
    return offsets
  }
}

const verbs = {
  async create({ topic, partitions, config }) {
    await steps.create_topic({ topic, partitions, config })
    say('created')
  },
  async produce({ topic, codec, idempotent, file }) {
    const producer = await producerFor(codec, idempotent)
    const lines = fs.readFileSync(file, 'utf8').trimEnd().split('\n').map(line => JSON.parse(line))
    for (let at = 0; at < lines.length; at += BATCH) {
      await producer.send({
        topic,
        acks: -1,
        compression: CODECS[codec],
        messages: lines.slice(at, at + BATCH).map(([time, key, value, headers]) => ({
          timestamp: String(time), key: decode(key), value: decode(value), headers: toHeaders(headers),
        })),
      })
    }
    say('produced', { count: lines.length, positions: null })
  },
  async join(command) {
    member = new Member(command)
    await member.start()
  },
  async resume({ limit }) { member.resume(limit) },
  async commit() { say('committed', { offsets: await member.commit() }) },
  async leave() {
    await member.consumer.disconnect()
    member = null
    say('left')
  },
  // kafkajs reads only in a group: a fresh one, from the beginning, without a commit.
  async read({ topics, count }) {
    const consumer = kafka.consumer({ groupId: `read-${process.pid}-${Date.now()}`, maxWaitTimeInMs: 200 })
    await consumer.connect()
    await consumer.subscribe({ topics, fromBeginning: true })
    let seen = 0
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => {
          seen += batch.messages.length
          say('records', { records: batch.messages.map(m => asRecord(batch.topic, batch.partition, m)) })
          if (seen >= count) resolve()
        },
      }).catch(reject)
    })
    await consumer.disconnect()
    say('read', { count: seen })
  },
  async admin({ step, ...rest }) {
    if (!steps[step]) say('unsupported', { step })
    else say('admin', { value: (await steps[step](rest)) ?? null })
  },
}

Object.assign(verbs, require('./transactions').verbs({
  kafka, Partitioners, say, encode, decode, asRecord, next: async () => JSON.parse((await lines.next()).value),
}))

const byPartition = list => list.map(({ partition, offset }) => [partition, Number(offset)])

const steps = {
  async describe_cluster() {
    const found = await admin.describeCluster()
    return { nodes: found.brokers.map(b => b.nodeId), controller: found.controller, cluster_id: found.clusterId }
  },
  list_topics: () => admin.listTopics(),
  async describe_topic({ topic }) {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return { partitions: topics[0].partitions.length, leaders: topics[0].partitions.map(p => p.leader) }
  },
  async describe_configs({ topic }) {
    const { resources } = await admin.describeConfigs({ resources: [{ type: 2, name: topic }], includeSynonyms: false })
    return Object.fromEntries(resources[0].configEntries.map(e => [e.configName, e.configValue]))
  },
  async create_topic({ topic, partitions, config }) {
    const configEntries = Object.entries(config ?? {}).map(([name, value]) => ({ name, value }))
    const made = await admin.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }], waitForLeaders: true,
    })
    if (!made) throw Object.assign(new Error('the topic exists'), { type: 'TOPIC_ALREADY_EXISTS' })
  },
  create_partitions: ({ topic, count }) => admin.createPartitions({ topicPartitions: [{ topic, count }] }),
  list_groups: async () => (await admin.listGroups()).groups.map(g => g.groupId),
  async describe_group({ group }) {
    const { groups } = await admin.describeGroups([group])
    return { state: groups[0].state, members: groups[0].members.length }
  },
  async list_offsets({ topic, spec }) {
    if (spec === 'max_timestamp') { say('unsupported', { step: 'max_timestamp' }); throw new Handled() }
    if (typeof spec === 'number') return byPartition(await admin.fetchTopicOffsetsByTimestamp(topic, spec))
    return (await admin.fetchTopicOffsets(topic)).map(p => [p.partition, Number(spec === 'earliest' ? p.low : p.high)])
  },
  async group_offsets({ group }) {
    const found = await admin.fetchOffsets({ groupId: group })
    return found.flatMap(t => t.partitions.filter(p => Number(p.offset) >= 0).map(p => [t.topic, p.partition, Number(p.offset)]))
  },
  async alter_group_offsets({ group, offsets }) {
    const [topic] = offsets[0]
    await admin.setOffsets({ groupId: group, topic, partitions: offsets.map(([, partition, offset]) => ({ partition, offset: String(offset) })) })
  },
  delete_group: ({ group }) => admin.deleteGroups([group]),
  delete_topic: ({ topic }) => admin.deleteTopics({ topics: [topic] }),
}

class Handled extends Error {}

// kafkajs wraps the broker's error; the innermost one says its name.
function fail(error) {
  if (error instanceof Handled) return
  const inner = error.errors?.[0] ?? error.groups?.[0]?.error ?? error.cause ?? error
  say('error', { code: inner.type ?? inner.name, message: `${error.message} ${inner.message}` })
}

async function main() {
  await installZstd()
  await admin.connect()
  say('ready')
  for await (const line of { [Symbol.asyncIterator]: () => lines }) {
    const { do: verb, ...rest } = JSON.parse(line)
    try {
      await verbs[verb](rest)
    } catch (error) {
      fail(error)
    }
  }
  process.exit(0)
}

main().catch(error => { fail(error); process.exit(1) })
