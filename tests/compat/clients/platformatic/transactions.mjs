// Transactions with @platformatic/kafka: the verbs `txn`, `collect` and `transform`.
const MAX_REPAIRS = 100
// Otherwise it says that it is producer 0, and is taken for one that was fenced off.
const NEW_PRODUCER = { producerId: -1n, producerEpoch: -1 }

export function transactions({ Consumer, Producer, admin, base, say, encode, decode, asRecord, next }) {
  const producers = new Map()

  // It begins with the first transaction what others do when they open; so does this.
  async function open({ id }) {
    const producer = new Producer({ ...base, acks: -1, idempotent: Boolean(id), ...(id ? { transactionalId: id } : {}) })
    const first = id ? await producer.beginTransaction(NEW_PRODUCER) : null
    return { producer, first, current: null }
  }

  async function begin(opened) {
    opened.current = opened.first ?? await opened.producer.beginTransaction()
    opened.first = null
    return opened.current
  }

  const steps = {
    open: async (name, command) => { producers.set(name, await open(command)) },
    begin: name => begin(producers.get(name)),
    send: async (name, { topic, records }) => {
      const { producer, current } = producers.get(name)
      const messages = records.map(([partition, key, value]) => (
        { topic, partition, key: decode(key) ?? undefined, value: decode(value) }))
      await (current ?? producer).send({ messages })
    },
    commit: name => producers.get(name).current.commit(),
    abort: name => producers.get(name).current.abort(),
  }

  async function txn({ step, producer, ...rest }) {
    await steps[step](producer, rest)
    say('txn')
  }

  async function collect({ topic, partitions, committed, last }) {
    const consumer = new Consumer({ ...base, groupId: `collect-${process.pid}-${Date.now()}`, autocommit: false, maxWaitTime: 200 })
    const isolationLevel = committed ? 1 : 0
    const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false, maxWaitTime: 200, isolationLevel })
    const unread = new Set(Array(partitions).keys())
    let count = 0
    for await (const message of stream) {
      count++
      say('records', { records: [asRecord(message)] })
      if (encode(message.value) === last) unread.delete(message.partition)
      if (!unread.size) break
    }
    await consumer.close(true)
    say('read', { count })
  }

  // Reads in a group, writes what it has read, and its positions, in transactions.
  class Transform {
    constructor(command) {
      Object.assign(this, command, { number: 0, commits: 0, aborts: 0, repaired: [], done: new Map() })
    }

    sum() { return [...this.done.values()].reduce((a, b) => a + b, 0) }

    async run() {
      this.opened = await open(this)
      const options = { sessionTimeout: 10000, heartbeatInterval: 500, rebalanceTimeout: 10000 }
      this.consumer = new Consumer({ ...base, ...options, groupId: this.group, autocommit: false, maxWaitTime: 200 })
      await this.restart()
      while (this.sum() < this.count) {
        const messages = await this.read().catch(error => { process.stderr.write(`stream: ${error.stack}\n`) })
        try {
          if (!messages || !await this.transact(messages)) await this.restart()
        } catch (error) {
          await this.repair(error)
          await this.restart()
        }
      }
      await this.consumer.close(true)
      say('transformed', { commits: this.commits, aborts: this.aborts, repaired: this.repaired })
    }

    // Goes on at the committed positions: the old stream has read further.
    async restart() {
      const previous = this.stream
      this.stream = await this.consumer.consume({
        topics: [this.source], mode: 'committed', fallbackMode: 'earliest', autocommit: false, maxWaitTime: 200, isolationLevel: 1,
      })
      this.messages = this.stream[Symbol.asyncIterator]()
      await previous?.close()
      const [found] = await admin.listConsumerGroupOffsets({ groups: [this.group] })
      this.done.clear()
      for (const { partitions } of found.topics) {
        for (const p of partitions) this.done.set(p.partitionIndex, Math.max(0, Number(p.committedOffset)))
      }
    }

    // Nothing where the broker was away for longer than the stream has patience.
    async read() {
      const messages = []
      do messages.push((await this.messages.next()).value)
      while (messages.length < this.batch && this.stream.readableLength > 0)
      return messages
    }

    // Whether it committed.
    async transact(messages) {
      const number = ++this.number
      const transaction = await begin(this.opened)
      await transaction.send({
        messages: messages.map(({ partition, key, value }) => ({ topic: this.target, partition, key, value })),
      })
      await transaction.addConsumer(this.consumer)
      const last = new Map(messages.map(message => [message.partition, message]))
      for (const message of last.values()) await transaction.addOffset(message)
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
      for (const message of last.values()) this.done.set(message.partition, Number(message.offset) + 1)
      say('progress', { done: this.sum() })
      return true
    }

    // Another producer takes over, which ends what this one has open.
    async repair(error) {
      const inner = error.errors?.[0] ?? error
      this.repaired.push(inner.apiId ?? inner.code ?? inner.name)
      process.stderr.write(`transaction ${this.number} failed: ${error.stack}\n`)
      if (this.repaired.length > MAX_REPAIRS) throw error
      await this.opened.producer.close()
      this.opened = await open(this)
    }
  }

  return { txn, collect, transform: command => new Transform(command).run() }
}
