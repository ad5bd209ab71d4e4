package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"
)

const (
	maxRepairs = 100
	gather     = 50 * time.Millisecond
)

func (c *client) transactional(id string, timeoutMs int) (sarama.SyncProducer, error) {
	config := settings()
	config.Producer.Partitioner = sarama.NewManualPartitioner
	if id != "" {
		idempotent(config)
		config.Producer.Transaction.ID = id
		config.Producer.Transaction.Timeout = time.Duration(timeoutMs) * time.Millisecond
	}
	return sarama.NewSyncProducer(c.bootstrap, config)
}

// txn runs one step of a transaction; without an id the producer is a plain one.
func (c *client) txn(cmd command) (err error) {
	producer := c.named[cmd.Producer]
	switch cmd.Step {
	case "open":
		c.named[cmd.Producer], err = c.transactional(cmd.ID, cmd.TimeoutMs)
		return err
	case "begin":
		return producer.BeginTxn()
	case "send":
		var messages []*sarama.ProducerMessage
		for _, fields := range cmd.Records {
			message := &sarama.ProducerMessage{Topic: cmd.Topic}
			var key, value []byte
			err := errors.Join(json.Unmarshal(fields[0], &message.Partition), json.Unmarshal(fields[1], &key), json.Unmarshal(fields[2], &value))
			if err != nil {
				return err
			}
			message.Key, message.Value = encoder(key), encoder(value)
			messages = append(messages, message)
		}
		return firstOf(producer.SendMessages(messages))
	case "commit":
		return producer.CommitTxn()
	case "abort":
		return producer.AbortTxn()
	}
	return fmt.Errorf("no such step: %s", cmd.Step)
}

// firstOf takes the first of the errors of many records, which stands for all.
func firstOf(err error) error {
	var many sarama.ProducerErrors
	if errors.As(err, &many) && len(many) > 0 {
		return many[0].Err
	}
	return err
}

func (c *client) collect(cmd command) error {
	last, err := base64.StdEncoding.DecodeString(cmd.Last)
	if err != nil {
		return err
	}
	starts := map[int32]int64{}
	for partition := range cmd.Partitions {
		starts[partition] = sarama.OffsetOldest
	}
	reader, err := c.from(cmd.Committed, map[string]map[int32]int64{cmd.Topic: starts})
	if err != nil {
		return err
	}
	defer reader.close()
	ended, seen := map[int32]bool{}, 0
	for len(ended) < len(starts) {
		m := reader.next()
		if m == nil {
			return fmt.Errorf("%d records, then nothing for %v", seen, timeout)
		}
		seen++
		say("records", map[string]any{"records": [][]any{asRecord(m)}})
		if bytes.Equal(m.Value, last) {
			ended[m.Partition] = true
		}
	}
	say("read", map[string]any{"count": seen})
	return nil
}

// transform reads from committed positions, writes what it has read, and its positions, in transactions.
type transform struct {
	c        *client
	cmd      command
	producer sarama.SyncProducer
	reader   *from
	done     map[int32]int64
	number   int
	commits  int
	aborts   int
	repaired []string
}

func (t *transform) sum() (sum int64) {
	for _, offset := range t.done {
		sum += offset
	}
	return sum
}

func (t *transform) run() (err error) {
	if t.producer, err = t.c.transactional(t.cmd.ID, t.cmd.TimeoutMs); err != nil {
		return err
	}
	if err := t.rewind(); err != nil {
		return err
	}
	defer func() { t.reader.close() }()
	for t.sum() < int64(t.cmd.Count) {
		messages := t.batch()
		if len(messages) == 0 {
			continue
		}
		if err := t.transact(messages); err != nil {
			if err := t.repair(err); err != nil {
				return err
			}
		}
	}
	say("transformed", map[string]any{"commits": t.commits, "aborts": t.aborts, "repaired": t.repaired})
	return t.producer.Close()
}

// batch takes what comes within a moment, up to so many records.
func (t *transform) batch() (messages []*sarama.ConsumerMessage) {
	enough := time.After(gather)
	for len(messages) < t.cmd.Batch {
		select {
		case m := <-t.reader.messages:
			messages = append(messages, m)
		case <-enough:
			return messages
		}
	}
	return messages
}

func (t *transform) transact(read []*sarama.ConsumerMessage) error {
	t.number++
	if err := t.producer.BeginTxn(); err != nil {
		return err
	}
	ends := map[int32]int64{}
	var written []*sarama.ProducerMessage
	for _, m := range read {
		written = append(written, &sarama.ProducerMessage{Topic: t.cmd.Target, Partition: m.Partition, Key: encoder(m.Key), Value: encoder(m.Value)})
		ends[m.Partition] = m.Offset + 1
	}
	if err := firstOf(t.producer.SendMessages(written)); err != nil {
		return err
	}
	var offsets []*sarama.PartitionOffsetMetadata
	for partition, offset := range ends {
		offsets = append(offsets, &sarama.PartitionOffsetMetadata{Partition: partition, Offset: offset, LeaderEpoch: -1})
	}
	if err := t.producer.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{t.cmd.Source: offsets}, t.cmd.Group); err != nil {
		return err
	}
	if t.number == t.cmd.HoldAt {
		say("in_transaction", nil)
		if cmd := <-t.c.commands; cmd.Do != "go" {
			return fmt.Errorf("only `go` is awaited here, not %q", cmd.Do)
		}
	}
	if t.number%t.cmd.AbortEvery == 0 {
		if err := t.producer.AbortTxn(); err != nil {
			return err
		}
		t.aborts++
		return t.rewind()
	}
	if err := t.producer.CommitTxn(); err != nil {
		return err
	}
	t.commits++
	for partition, offset := range ends {
		t.done[partition] = offset
	}
	say("progress", map[string]any{"done": t.sum()})
	return nil
}

// repair aborts what can be aborted; otherwise another producer takes over.
func (t *transform) repair(err error) error {
	fmt.Fprintf(os.Stderr, "transaction %d failed: %v\n", t.number, err)
	t.repaired = append(t.repaired, nameOf(err))
	if len(t.repaired) > maxRepairs {
		return err
	}
	if t.producer.TxnStatus()&sarama.ProducerTxnFlagFatalError != 0 || t.producer.AbortTxn() != nil {
		t.producer.Close()
		var failed error
		if t.producer, failed = t.c.transactional(t.cmd.ID, t.cmd.TimeoutMs); failed != nil {
			return failed
		}
	}
	return t.rewind()
}

// rewind goes on at the committed positions.
func (t *transform) rewind() error {
	if t.reader != nil {
		t.reader.close()
	}
	partitions, err := t.c.partitions(t.cmd.Source)
	if err != nil {
		return err
	}
	found, err := t.c.admin.ListConsumerGroupOffsets(t.cmd.Group, map[string][]int32{t.cmd.Source: partitions})
	if err != nil {
		return err
	}
	starts := map[int32]int64{}
	for _, partition := range partitions {
		block := found.GetBlock(t.cmd.Source, partition)
		if block.Err != sarama.ErrNoError {
			return block.Err
		}
		t.done[partition] = max(block.Offset, 0)
		starts[partition] = t.done[partition]
	}
	t.reader, err = t.c.from(true, map[string]map[int32]int64{t.cmd.Source: starts})
	return err
}
