// @platformatic/kafka behind the suite's verbs: JSON commands in, JSON events out.
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import readline from 'node:readline'
import zlib from 'node:zlib'
import { transactions } from './transactions.mjs'

// The package lives in the suite's cache, not beside this file.
const require = createRequire(path.join(process.env.COMPAT_MODULES, 'from-here.js'))
const { Admin, Consumer, Producer } = await import(require.resolve('@platformatic/kafka'))

const BATCH = 500
const base = { clientId: 'compat-platformatic', bootstrapBrokers: [process.argv[2]], retries: 10, retryDelay: 200 }

const say = (event, fields = {}) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const encode = raw => (raw === null || raw === undefined ? null : Buffer.from(raw).toString('base64'))
const decode = text => (text === null ? null : Buffer.from(text, 'base64'))
const asRecord = m => [m.topic, m.partition, Number(m.offset), Number(m.timestamp), encode(m.key), encode(m.value),
  [...m.headers].map(([name, value]) => [Buffer.from(name).toString(), encode(value)])]

const admin = new Admin(base)
const producers = new Map()
let member = null

function producerFor(codec, idempotent) {
  const key = `${codec} ${idempotent}`
  if (!producers.has(key)) producers.set(key, new Producer({ ...base, compression: codec, idempotent, acks: -1 }))
  return producers.get(key)
}

// A group member that delivers up to a limit and then holds. What a paused stream has buffered may
// be another member's after a rebalance, so to go on it opens a stream at the committed positions;
// the old one is closed only then, since a consumer without a stream has no topics to join with.
class Member {
  constructor({ group, topics, limit }) {
    this.topics = topics
    this.limit = limit ?? Infinity
    this.delivered = 0
    this.positions = new Map()
    this.options = { sessionTimeout: 10000, heartbeatInterval: 500, rebalanceTimeout: 10000 }
    this.consumer = new Consumer({ ...base, ...this.options, groupId: group, autocommit: false, maxWaitTime: 200 })
    this.consumer.on('consumer:group:join', ({ assignments }) => {
      const partitions = (assignments ?? []).flatMap(a => a.partitions.map(p => [a.topic, p]))
      const mine = new Set(partitions.map(part => JSON.stringify(part)))
      for (const part of this.positions.keys()) if (!mine.has(part)) this.positions.delete(part)
      say('assigned', { partitions })
    })
  }

  async start() {
    this.held = false
    const stream = await this.consumer.consume({
      ...this.options, topics: this.topics, mode: 'committed', fallbackMode: 'earliest', autocommit: false, maxWaitTime: 200,
    })
    const previous = this.stream
    this.stream = stream
    await previous?.close()
    stream.on('error', fail)
    stream.on('data', message => this.deliver(stream, message))
  }

  deliver(stream, message) {
    if (this.held || stream !== this.stream) return
    say('records', { records: [asRecord(message)] })
    this.positions.set(JSON.stringify([message.topic, message.partition]), Number(message.offset) + 1)
    if (++this.delivered >= this.limit) this.hold().catch(fail)
  }

  async hold() {
    this.held = true
    this.stream.pause()
    await this.commit()
    say('held', { delivered: this.delivered })
  }

  async resume(limit) {
    this.limit = limit ?? Infinity
    this.delivered = 0
    this.positions.clear()
    await this.start()
  }

  async commit() {
    const offsets = [...this.positions].map(([key, offset]) => [...JSON.parse(key), offset])
    if (offsets.length) {
      await this.consumer.commit({
        offsets: offsets.map(([topic, partition, offset]) => ({ topic, partition, offset: BigInt(offset), leaderEpoch: 0 })),
      })
    }
    return offsets
  }
}

const verbs = {
  async create(command) {
    await steps.create_topic(command)
    say('created')
  },
  async produce({ topic, codec, idempotent, file }) {
    if (codec === 'zstd' && !zlib.zstdCompressSync) return say('unsupported', { step: 'zstd needs a newer Node' })
    const producer = producerFor(codec, idempotent)
    const lines = fs.readFileSync(file, 'utf8').trimEnd().split('\n').map(line => JSON.parse(line))
    for (let at = 0; at < lines.length; at += BATCH) {
      await producer.send({
        messages: lines.slice(at, at + BATCH).map(([time, key, value, headers]) => ({
          topic, timestamp: BigInt(time), key: decode(key), value: decode(value),
          headers: new Map(headers.map(([name, raw]) => [Buffer.from(name), decode(raw)])),
        })),
      })
    }
    say('produced', { count: lines.length, positions: null })
  },
  async join(command) {
    member = new Member(command)
    await member.start()
  },
  async resume({ limit }) { await member.resume(limit) },
  async commit() { say('committed', { offsets: await member.commit() }) },
  async leave() {
    await member.consumer.close(true)
    member = null
    say('left')
  },
  async read({ topics, count }) {
    const consumer = new Consumer({ ...base, groupId: `read-${process.pid}-${Date.now()}`, autocommit: false, maxWaitTime: 200 })
    const stream = await consumer.consume({ topics, mode: 'earliest', autocommit: false, maxWaitTime: 200 })
    let seen = 0
    for await (const message of stream) {
      say('records', { records: [asRecord(message)] })
      if (++seen >= count) break
    }
    await consumer.close(true)
    say('read', { count: seen })
  },
  async admin({ step, ...rest }) {
    if (!steps[step]) say('unsupported', { step })
    else say('admin', { value: (await steps[step](rest)) ?? null })
  },
}

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
Object.assign(verbs, transactions({
  Consumer, Producer, admin, base, say, encode, decode, asRecord, next: async () => JSON.parse((await lines.next()).value),
}))

const SPECS = { earliest: -2n, latest: -1n, max_timestamp: -3n }

const steps = {
  async describe_cluster() {
    const found = await admin.metadata({ topics: [] })
    return { nodes: [...found.brokers.keys()], controller: found.controllerId, cluster_id: found.id }
  },
  list_topics: () => admin.listTopics(),
  async describe_topic({ topic }) {
    const found = (await admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic)
    return { partitions: found.partitionsCount, leaders: found.partitions.map(p => p.leader) }
  },
  async describe_configs({ topic }) {
    const [found] = await admin.describeConfigs({ resources: [{ resourceType: 2, resourceName: topic, configurationKeys: null }] })
    return Object.fromEntries(found.configs.map(c => [c.name, c.value]))
  },
  async create_topic({ topic, partitions, config }) {
    const configs = Object.entries(config ?? {}).map(([name, value]) => ({ name, value }))
    await admin.createTopics({ topics: [topic], partitions, replicas: 1, configs })
  },
  create_partitions: ({ topic, count }) => admin.createPartitions({ topics: [{ name: topic, count, assignments: null }] }),
  list_groups: async () => [...(await admin.listGroups()).keys()],
  async describe_group({ group }) {
    const found = (await admin.describeGroups({ groups: [group] })).get(group)
    return { state: found.state, members: found.members.size }
  },
  async list_offsets({ topic, spec }) {
    const { partitions } = await steps.describe_topic({ topic })
    const asked = Array.from({ length: partitions }, (_, partitionIndex) => (
      { partitionIndex, timestamp: typeof spec === 'number' ? BigInt(spec) : SPECS[spec] }))
    const [found] = await admin.listOffsets({ topics: [{ name: topic, partitions: asked }] })
    return found.partitions.map(p => [p.partitionIndex, Number(p.offset)])
  },
  async group_offsets({ group }) {
    const [found] = await admin.listConsumerGroupOffsets({ groups: [group] })
    return found.topics.flatMap(t => t.partitions.filter(p => p.committedOffset >= 0n).map(p => [t.name, p.partitionIndex, Number(p.committedOffset)]))
  },
  async alter_group_offsets({ group, offsets }) {
    const partitionOffsets = offsets.map(([, partition, offset]) => ({ partition, offset: BigInt(offset) }))
    await admin.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: offsets[0][0], partitionOffsets }] })
  },
  async delete_group_offsets({ group, topic }) {
    const { partitions } = await steps.describe_topic({ topic })
    await admin.deleteConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionIndexes: [...Array(partitions).keys()] }] })
  },
  delete_group: ({ group }) => admin.deleteGroups({ groups: [group] }),
  delete_topic: ({ topic }) => admin.deleteTopics({ topics: [topic] }),
}

// The broker's own error is inside; its apiId says its name.
function fail(error) {
  let inner = error
  while (inner.errors?.length) inner = inner.errors[0]
  say('error', { code: inner.apiId ?? inner.code ?? inner.name, message: `${error.message}: ${inner.message}` })
}

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
