package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	maxRepairs = 100
	patience   = 20 * time.Second
)

func decode(raw json.RawMessage) (decoded []byte, err error) {
	err = json.Unmarshal(raw, &decoded) // encoding/json reads base64, and null as nil
	return decoded, err
}

func (c *client) transactional(cmd command) []kgo.Opt {
	options := []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}
	if cmd.ID != "" {
		limit := time.Duration(cmd.TimeoutMs) * time.Millisecond
		options = append(options, kgo.TransactionalID(cmd.ID), kgo.TransactionTimeout(limit))
	}
	return options
}

// txn runs one step of a transaction; without an id the producer is a plain one.
func (c *client) txn(ctx context.Context, cmd command) error {
	producer := c.named[cmd.Producer]
	switch cmd.Step {
	case "open":
		made, err := c.open(c.transactional(cmd)...)
		if err != nil {
			return err
		}
		c.named[cmd.Producer] = made
		_, _, err = made.ProducerID(ctx) // otherwise it asks with the first record
		return err
	case "begin":
		return producer.BeginTransaction()
	case "send":
		var records []*kgo.Record
		for _, fields := range cmd.Records {
			record := &kgo.Record{Topic: cmd.Topic}
			err := json.Unmarshal(fields[0], &record.Partition)
			var keyErr, valueErr error
			record.Key, keyErr = decode(fields[1])
			record.Value, valueErr = decode(fields[2])
			if err = errors.Join(err, keyErr, valueErr); err != nil {
				return err
			}
			records = append(records, record)
		}
		return producer.ProduceSync(ctx, records...).FirstErr()
	case "commit":
		return producer.EndTransaction(ctx, kgo.TryCommit)
	case "abort":
		return producer.EndTransaction(ctx, kgo.TryAbort)
	}
	return fmt.Errorf("no such step: %s", cmd.Step)
}

func (c *client) collect(ctx context.Context, cmd command) error {
	level := kgo.ReadUncommitted()
	if cmd.Committed {
		level = kgo.ReadCommitted()
	}
	last, err := base64.StdEncoding.DecodeString(cmd.Last)
	if err != nil {
		return err
	}
	reader, err := c.open(kgo.ConsumeTopics(cmd.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(level), kgo.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		return err
	}
	defer reader.Close()
	ended := map[int32]bool{}
	seen := 0
	for len(ended) < int(cmd.Partitions) {
		fetches := reader.PollFetches(ctx)
		for _, failed := range fetches.Errors() {
			return failed.Err
		}
		records := [][]any{}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, asRecord(r))
			if bytes.Equal(r.Value, last) {
				ended[r.Partition] = true
			}
		})
		seen += len(records)
		say("records", map[string]any{"records": records})
	}
	say("read", map[string]any{"count": seen})
	return nil
}

// transform reads in a group, writes what it has read, and its positions, in transactions.
type transform struct {
	c        *client
	cmd      command
	commands <-chan command
	session  *kgo.GroupTransactSession
	done     map[int32]int64
	number   int
	commits  int
	aborts   int
	repaired []string
}

func (t *transform) open(ctx context.Context) error {
	options := append(t.c.transactional(t.cmd), t.c.base()...)
	session, err := kgo.NewGroupTransactSession(append(options,
		kgo.ConsumerGroup(t.cmd.Group),
		kgo.ConsumeTopics(t.cmd.Source),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.SessionTimeout(10*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), // a broker that was killed may not know its members
		kgo.FetchMaxWait(200*time.Millisecond),
	)...)
	if err != nil {
		return err
	}
	t.session = session
	if _, _, err := session.Client().ProducerID(ctx); err != nil {
		return err
	}
	found, err := kadm.NewClient(session.Client()).FetchOffsets(ctx, t.cmd.Group)
	found.Each(func(at kadm.OffsetResponse) { t.done[at.Partition] = at.At })
	return err
}

func (t *transform) sum() (sum int64) {
	for _, offset := range t.done {
		sum += offset
	}
	return sum
}

func (t *transform) run(ctx context.Context) error {
	if err := t.open(ctx); err != nil {
		return err
	}
	for t.sum() < int64(t.cmd.Count) {
		soon, cancel := context.WithTimeout(ctx, patience)
		fetches := t.session.PollRecords(soon, t.cmd.Batch)
		cancel()
		for _, failed := range fetches.Errors() {
			fmt.Fprintf(os.Stderr, "polling: %v\n", failed.Err)
		}
		// Where a broker takes long to come back, it may wait for ever, with any broker.
		if errors.Is(fetches.Err0(), context.DeadlineExceeded) {
			if err := t.repair(ctx, errors.New("silence")); err != nil {
				return err
			}
			continue
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := t.transact(ctx, fetches.Records()); err != nil {
			if err := t.repair(ctx, err); err != nil {
				return err
			}
		}
	}
	t.session.Close()
	say("transformed", map[string]any{"commits": t.commits, "aborts": t.aborts, "repaired": t.repaired})
	return nil
}

func (t *transform) transact(ctx context.Context, read []*kgo.Record) error {
	t.number++
	if err := t.session.Begin(); err != nil {
		return err
	}
	ends := map[int32]int64{}
	var written []*kgo.Record
	for _, r := range read {
		written = append(written, &kgo.Record{Topic: t.cmd.Target, Partition: r.Partition, Key: r.Key, Value: r.Value})
		ends[r.Partition] = r.Offset + 1
	}
	failed := t.session.ProduceSync(ctx, written...).FirstErr()
	if t.number == t.cmd.HoldAt {
		say("in_transaction", nil)
		if cmd := <-t.commands; cmd.Do != "go" {
			return fmt.Errorf("only `go` is awaited here, not %q", cmd.Do)
		}
	}
	try := kgo.TransactionEndTry(failed == nil && t.number%t.cmd.AbortEvery != 0)
	// It commits the positions itself, or goes back to those committed.
	committed, err := t.session.End(ctx, try)
	switch {
	case err != nil:
		return err
	case committed:
		t.commits++
		for partition, offset := range ends {
			t.done[partition] = offset
		}
		say("progress", map[string]any{"done": t.sum()})
	case failed != nil:
		t.note(failed)
	case try == kgo.TryCommit:
		t.note(errors.New("rebalance"))
	default:
		t.aborts++
	}
	return nil
}

func (t *transform) note(err error) {
	fmt.Fprintf(os.Stderr, "transaction %d failed: %v\n", t.number, err)
	name := err.Error()
	var broker *kerr.Error
	if errors.As(err, &broker) {
		name = broker.Message
	}
	t.repaired = append(t.repaired, name)
}

// repair lets another member and producer take over.
func (t *transform) repair(ctx context.Context, err error) error {
	t.note(err)
	if len(t.repaired) > maxRepairs {
		return err
	}
	t.session.Close()
	return t.open(ctx)
}

// transactionStep runs one administrative step about transactions.
func (c *client) transactionStep(ctx context.Context, cmd command, step string) (any, error) {
	switch step {
	case "list_transactions":
		found, err := c.admin.ListTransactions(ctx, nil, cmd.States)
		answers := []map[string]any{}
		for _, one := range found.Sorted() {
			answers = append(answers, map[string]any{"id": one.TxnID, "producer_id": one.ProducerID, "state": one.State})
		}
		return answers, err
	case "describe_transaction":
		found, err := c.admin.DescribeTransactions(ctx, cmd.ID)
		one := found[cmd.ID]
		partitions := [][]any{}
		for _, topic := range one.Topics.Sorted() {
			for _, part := range topic.Partitions {
				partitions = append(partitions, []any{topic.Topic, part})
			}
		}
		return map[string]any{"state": one.State, "producer_id": one.ProducerID, "epoch": one.ProducerEpoch,
			"timeout_ms": one.TimeoutMillis, "started_ms": one.StartTimestamp, "partitions": partitions}, errors.Join(err, one.Err)
	case "describe_producers":
		found, err := c.producersOf(ctx, cmd)
		answers := []map[string]any{}
		for _, one := range found {
			var started any
			if one.CurrentTxnStartOffset >= 0 {
				started = one.CurrentTxnStartOffset
			}
			answers = append(answers, map[string]any{"producer_id": one.ProducerID, "epoch": one.ProducerEpoch,
				"last_sequence": one.LastSequence, "started": started})
		}
		return answers, err
	case "abort_transaction":
		return nil, c.abortTransaction(ctx, cmd)
	}
	return nil, errUnsupported
}

func (c *client) producersOf(ctx context.Context, cmd command) ([]kadm.DescribedProducer, error) {
	found, err := c.admin.DescribeProducers(ctx, kadm.TopicsSet{cmd.Topic: {cmd.Partition: {}}})
	part := found[cmd.Topic].Partitions[cmd.Partition]
	return part.ActiveProducers.Sorted(), errors.Join(err, part.Err)
}

// abortTransaction does what kafka-transactions.sh does: with what the partition says.
func (c *client) abortTransaction(ctx context.Context, cmd command) error {
	producers, err := c.producersOf(ctx, cmd)
	if err != nil {
		return err
	}
	for _, one := range producers {
		if one.CurrentTxnStartOffset != cmd.Started {
			continue
		}
		found, err := c.admin.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: one.ProducerID, ProducerEpoch: one.ProducerEpoch,
			CoordinatorEpoch: max(one.CoordinatorEpoch, 0), Topics: kadm.TopicsSet{cmd.Topic: {cmd.Partition: {}}}})
		found.EachPartition(func(part kadm.TxnMarkersPartitionResponse) { err = errors.Join(err, part.Err) })
		return err
	}
	return fmt.Errorf("no transaction began at %d in partition %d of %s", cmd.Started, cmd.Partition, cmd.Topic)
}
