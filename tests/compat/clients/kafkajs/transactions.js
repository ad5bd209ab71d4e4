// Transactions with kafkajs: the verbs `txn`, `collect` and `transform`.
'use strict'

const MAX_REPAIRS = 100

exports.verbs = ({ kafka, Partitioners, say, encode, decode, asRecord, next }) => {
  const producers = new Map()

  // kafkajs begins with the first transaction what others do when they open; so does this.
  async function open({ id, timeout_ms: transactionTimeout }) {
    const producer = kafka.producer({
      ...(id ? { transactionalId: id, transactionTimeout, idempotent: true, maxInFlightRequests: 1 } : {}),
      createPartitioner: Partitioners.DefaultPartitioner,
    })
    await producer.connect()
    const first = id ? await producer.transaction() : null
    return { producer, first, current: null }
  }

  async function begin(opened) {
    opened.current = opened.first ?? await opened.producer.transaction()
    opened.first = null
    return opened.current
  }

  const toMessages = records => records.map(([partition, key, value]) => ({ partition, key: decode(key), value: decode(value) }))

  const steps = {
    open: async (name, command) => { producers.set(name, await open(command)) },
    begin: name => begin(producers.get(name)),
    send: async (name, { topic, records }) => {
      const { producer, current } = producers.get(name)
      await (current ?? producer).send({ topic, acks: -1, messages: toMessages(records) })
    },
    commit: name => producers.get(name).current.commit(),
    abort: name => producers.get(name).current.abort(),
  }

  async function txn({ step, producer, ...rest }) {
    await steps[step](producer, rest)
    say('txn')
  }

  async function collect({ topic, partitions, committed, last }) {
    const consumer = kafka.consumer({
      groupId: `collect-${process.pid}-${Date.now()}`, maxWaitTimeInMs: 200, readUncommitted: !committed,
    })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const open = new Set(Array(partitions).keys())
    let count = 0
    await new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => { if (!payload.restart) reject(payload.error) })
      consumer.run({
        autoCommit: false,
        eachBatch: async ({ batch }) => {
          count += batch.messages.length
          say('records', { records: batch.messages.map(m => asRecord(batch.topic, batch.partition, m)) })
          if (batch.messages.some(m => encode(m.value) === last)) open.delete(batch.partition)
          if (!open.size) resolve()
        },
      }).catch(reject)
    })
    await consumer.disconnect()
    say('read', { count })
  }

  // Reads in a group, writes what it has read, and its positions, in transactions.
  class Transform {
    constructor(command) {
      Object.assign(this, command, { number: 0, commits: 0, aborts: 0, repaired: [], done: new Map(), unsure: new Set() })
    }

    sum() { return [...this.done.values()].reduce((a, b) => a + b, 0) }

    async run() {
      this.opened = await open(this)
      const consumer = this.consumer = kafka.consumer({
        groupId: this.group, sessionTimeout: 30000, heartbeatInterval: 500, maxWaitTimeInMs: 200, readUncommitted: false,
      })
      await consumer.connect()
      await consumer.subscribe({ topics: [this.source], fromBeginning: true })
      await new Promise((resolve, reject) => {
        consumer.on(consumer.events.CRASH, ({ payload }) => { if (!payload.restart) reject(payload.error) })
        this.finished = resolve
        this.failed = reject
        consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: batch => this.eachBatch(batch) }).catch(reject)
      })
      await consumer.disconnect()
      await this.opened.producer.disconnect()
      say('transformed', { commits: this.commits, aborts: this.aborts, repaired: this.repaired })
    }

    async eachBatch({ batch: { partition, messages }, resolveOffset, heartbeat, isRunning, isStale }) {
      if (this.unsure.has(partition)) return this.rewind(partition)
      for (let at = 0; at < messages.length && isRunning() && !isStale(); at += this.batch) {
        const part = messages.slice(at, at + this.batch)
        const position = Number(part.at(-1).offset) + 1
        // It does not wait for open transactions when it asks for positions, as it joins anew.
        const done = this.done.get(partition) ?? 0
        if (Number(part[0].offset) < done) return this.seek(partition, done)
        let committed = false
        try {
          committed = await this.transact(partition, part, position)
        } catch (error) {
          await this.repair(partition, error)
        }
        if (!committed) return this.rewind(partition)
        resolveOffset(part.at(-1).offset)
        this.done.set(partition, position)
        say('progress', { done: this.sum() })
        if (this.sum() >= this.count) return this.finished()
        await heartbeat()
      }
    }

    // Whether it committed.
    async transact(partition, messages, position) {
      const number = ++this.number
      const transaction = await begin(this.opened)
      await transaction.send({ topic: this.target, messages: messages.map(({ key, value }) => ({ partition, key, value })) })
      const partitions = [{ partition, offset: String(position) }]
      await transaction.sendOffsets({ consumerGroupId: this.group, topics: [{ topic: this.source, partitions }] })
      if (number === this.hold_at) {
        say('in_transaction')
        const { do: verb } = await next()
        if (verb !== 'go') throw new Error('only `go` is awaited here')
      }
      if (number % this.abort_every === 0) {
        await transaction.abort()
        this.aborts++
        return false
      }
      await transaction.commit()
      this.commits++
      return true
    }

    // Another producer takes over before anything is read again, which ends what this one has open.
    async repair(partition, error) {
      this.unsure.add(partition)
      this.repaired.push(error.type ?? error.name)
      process.stderr.write(`transaction ${this.number} failed: ${error.stack} ${error.cause ?? ''}\n`)
      if (this.repaired.length > MAX_REPAIRS) return this.failed(error)
      const { producer } = this.opened
      this.opened = null
      await producer.disconnect()
    }

    // Goes on at the committed position.
    async rewind(partition) {
      this.opened ??= await open(this)
      const offset = await this.committed(partition)
      this.unsure.delete(partition)
      this.done.set(partition, offset)
      this.seek(partition, offset)
      if (this.sum() >= this.count) this.finished()
    }

    seek(partition, offset) {
      this.consumer.seek({ topic: this.source, partition, offset: String(offset) })
    }

    async committed(partition) {
      const admin = kafka.admin()
      await admin.connect()
      const [{ partitions }] = await admin.fetchOffsets({ groupId: this.group, topics: [this.source] })
      await admin.disconnect()
      return Math.max(0, Number(partitions.find(p => p.partition === partition)?.offset ?? 0))
    }
  }

  return { txn, collect, transform: command => new Transform(command).run() }
}
