// Command franz-go puts the Go client behind the suite's verbs: JSON commands in, JSON events out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const timeout = 30 * time.Second

type command struct {
	Do         string            `json:"do"`
	Topic      string            `json:"topic"`
	Topics     []string          `json:"topics"`
	Partitions int32             `json:"partitions"`
	Config     map[string]string `json:"config"`
	Codec      string            `json:"codec"`
	Idempotent bool              `json:"idempotent"`
	File       string            `json:"file"`
	Group      string            `json:"group"`
	Limit      *int              `json:"limit"`
	Count      int               `json:"count"`
	Step       string            `json:"step"`
	Spec       any               `json:"spec"`
	Timestamp  int64             `json:"timestamp"`
	Offsets    [][]any           `json:"offsets"`

	// of transactions
	Producer   string              `json:"producer"`
	ID         string              `json:"id"`
	TimeoutMs  int                 `json:"timeout_ms"`
	Records    [][]json.RawMessage `json:"records"`
	Committed  bool                `json:"committed"`
	Last       string              `json:"last"`
	Source     string              `json:"source"`
	Target     string              `json:"target"`
	Batch      int                 `json:"batch"`
	AbortEvery int                 `json:"abort_every"`
	HoldAt     int                 `json:"hold_at"`
	Partition  int32               `json:"partition"`
	Started    int64               `json:"started"`
	States     []string            `json:"states"`
}

var outLock sync.Mutex

func say(event string, fields map[string]any) {
	if fields == nil {
		fields = map[string]any{}
	}
	fields["event"] = event
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	outLock.Lock()
	defer outLock.Unlock()
	os.Stdout.Write(append(line, '\n'))
}

func fail(err error) {
	code := fmt.Sprintf("%T", err)
	var broker *kerr.Error
	if errors.As(err, &broker) {
		code = broker.Message
	}
	say("error", map[string]any{"code": code, "message": err.Error()})
}

// asRecord relies on encoding/json: a nil []byte is null, an empty one "", others base64.
func asRecord(r *kgo.Record) []any {
	headers := [][]any{}
	for _, h := range r.Headers {
		headers = append(headers, []any{h.Key, h.Value})
	}
	return []any{r.Topic, r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value, headers}
}

type client struct {
	bootstrap string
	plain     *kgo.Client
	admin     *kadm.Client
	producers map[string]*kgo.Client
	named     map[string]*kgo.Client // of transactions
	member    *member
	commands  chan command
}

func (c *client) base() []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(c.bootstrap), kgo.ClientID("compat-franz-go"),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil))}
}

func (c *client) open(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(c.base(), options...)...)
}

func (c *client) producer(codec string, idempotent bool) (*kgo.Client, error) {
	key := fmt.Sprint(codec, idempotent)
	if found := c.producers[key]; found != nil {
		return found, nil
	}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	options := []kgo.Opt{kgo.ProducerBatchCompression(codecs[codec])}
	if !idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	made, err := c.open(options...)
	if err == nil {
		c.producers[key] = made
	}
	return made, err
}

func parseRecord(line []byte, topic string) (*kgo.Record, error) {
	var fields []json.RawMessage
	record := &kgo.Record{Topic: topic}
	var millis int64
	var headers [][]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, err
	}
	err := errors.Join(json.Unmarshal(fields[0], &millis), json.Unmarshal(fields[1], &record.Key),
		json.Unmarshal(fields[2], &record.Value), json.Unmarshal(fields[3], &headers))
	for _, h := range headers {
		var header kgo.RecordHeader
		err = errors.Join(err, json.Unmarshal(h[0], &header.Key), json.Unmarshal(h[1], &header.Value))
		record.Headers = append(record.Headers, header)
	}
	record.Timestamp = time.UnixMilli(millis)
	return record, err
}

func (c *client) produce(ctx context.Context, cmd command) error {
	producer, err := c.producer(cmd.Codec, cmd.Idempotent)
	if err != nil {
		return err
	}
	file, err := os.Open(cmd.File)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<22)
	var records []*kgo.Record
	for lines.Scan() {
		record, err := parseRecord(lines.Bytes(), cmd.Topic)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	positions := make([][]int64, len(records))
	index := make(map[*kgo.Record]int, len(records))
	for i, r := range records {
		index[r] = i
	}
	for _, result := range producer.ProduceSync(ctx, records...) {
		if result.Err != nil {
			return result.Err
		}
		positions[index[result.Record]] = []int64{int64(result.Record.Partition), result.Record.Offset}
	}
	say("produced", map[string]any{"count": len(records), "positions": positions})
	return lines.Err()
}

func (c *client) read(ctx context.Context, cmd command) error {
	reader, err := c.open(kgo.ConsumeTopics(cmd.Topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer reader.Close()
	seen := 0
	for seen < cmd.Count {
		fetches := reader.PollRecords(ctx, 500)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("%d of %d records: %w", seen, cmd.Count, err)
		}
		records := [][]any{}
		fetches.EachRecord(func(r *kgo.Record) { records = append(records, asRecord(r)) })
		for _, failed := range fetches.Errors() {
			return failed.Err
		}
		seen += len(records)
		say("records", map[string]any{"records": records})
	}
	say("read", map[string]any{"count": seen})
	return nil
}

func (c *client) obey(cmd command) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	switch cmd.Do {
	case "create":
		_, err := c.step(ctx, cmd, "create_topic")
		if err == nil {
			say("created", nil)
		}
		return err
	case "produce":
		return c.produce(ctx, cmd)
	case "join":
		var err error
		c.member, err = c.join(cmd)
		return err
	case "resume":
		c.member.resume(cmd.Limit)
		return nil
	case "commit":
		offsets, err := c.member.commit(ctx)
		if err == nil {
			say("committed", map[string]any{"offsets": offsets})
		}
		return err
	case "leave":
		c.member.consumer.Close()
		c.member = nil
		say("left", nil)
		return nil
	case "read":
		return c.read(ctx, cmd)
	case "txn":
		err := c.txn(ctx, cmd)
		if err == nil {
			say("txn", nil)
		}
		return err
	case "collect":
		return c.collect(ctx, cmd)
	case "transform":
		work := transform{c: c, cmd: cmd, commands: c.commands, done: map[int32]int64{}, repaired: []string{}}
		return work.run(context.Background())
	case "admin":
		value, err := c.step(ctx, cmd, cmd.Step)
		if errors.Is(err, errUnsupported) {
			say("unsupported", map[string]any{"step": cmd.Step})
			return nil
		}
		if err == nil {
			say("admin", map[string]any{"value": value})
		}
		return err
	}
	return fmt.Errorf("no such verb: %s", cmd.Do)
}

func readCommands(commands chan<- command) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var cmd command
		if err := json.Unmarshal(lines.Bytes(), &cmd); err != nil {
			fail(err)
			continue
		}
		commands <- cmd
	}
	close(commands)
}

func main() {
	c := &client{bootstrap: os.Args[1], producers: map[string]*kgo.Client{}, named: map[string]*kgo.Client{}, commands: make(chan command)}
	var err error
	if c.plain, err = c.open(); err != nil {
		fail(err)
		os.Exit(1)
	}
	c.admin = kadm.NewClient(c.plain)
	go readCommands(c.commands)
	say("ready", nil)
	for {
		var holding chan struct{}
		if c.member != nil && !c.member.held {
			holding = make(chan struct{})
			close(holding)
		}
		select {
		case cmd, open := <-c.commands:
			if !open {
				return
			}
			if err := c.obey(cmd); err != nil {
				fail(err)
			}
		case <-holding:
			if err := c.member.step(); err != nil {
				fail(err)
			}
		}
	}
}
