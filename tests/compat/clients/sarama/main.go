// Command sarama puts IBM's Go client behind the suite's verbs: JSON commands in, JSON events out.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
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

// names of the errors that the suite asks for; sarama has sentences.
var names = map[sarama.KError]string{
	3: "UNKNOWN_TOPIC_OR_PARTITION", 17: "INVALID_TOPIC_EXCEPTION", 36: "TOPIC_ALREADY_EXISTS", 37: "INVALID_PARTITIONS",
	47: "INVALID_PRODUCER_EPOCH", 68: "NON_EMPTY_GROUP", 69: "GROUP_ID_NOT_FOUND", 90: "PRODUCER_FENCED",
}

func nameOf(err error) string {
	var broker sarama.KError
	if errors.As(err, &broker) {
		if name := names[broker]; name != "" {
			return name
		}
		return broker.Error()
	}
	return fmt.Sprintf("%T", err)
}

func fail(err error) {
	say("error", map[string]any{"code": nameOf(err), "message": err.Error()})
}

// asRecord relies on encoding/json: a nil []byte is null, an empty one "", others base64.
func asRecord(m *sarama.ConsumerMessage) []any {
	headers := [][]any{}
	for _, h := range m.Headers {
		headers = append(headers, []any{string(h.Key), h.Value})
	}
	return []any{m.Topic, m.Partition, m.Offset, m.Timestamp.UnixMilli(), m.Key, m.Value, headers}
}

type client struct {
	bootstrap []string
	plain     sarama.Client
	admin     sarama.ClusterAdmin
	producers map[string]sarama.SyncProducer
	named     map[string]sarama.SyncProducer // of transactions
	member    *member
	commands  chan command
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "compat-sarama"
	config.Version = sarama.V4_1_0_0
	config.Metadata.Retry.Max, config.Metadata.Retry.Backoff = 100, 100*time.Millisecond
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Retry.Max, config.Producer.Retry.Backoff = 100, 100*time.Millisecond
	config.Producer.Return.Successes = true
	config.Producer.Transaction.Retry.Max, config.Producer.Transaction.Retry.Backoff = 200, 50*time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 10 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	return config
}

func idempotent(config *sarama.Config) {
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1 // it asks for this
}

func (c *client) producer(codec string, idempotence bool) (sarama.SyncProducer, error) {
	key := fmt.Sprint(codec, idempotence)
	if found := c.producers[key]; found != nil {
		return found, nil
	}
	config := settings()
	codecs := map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}
	config.Producer.Compression = codecs[codec]
	if idempotence {
		idempotent(config)
	}
	made, err := sarama.NewSyncProducer(c.bootstrap, config)
	if err == nil {
		c.producers[key] = made
	}
	return made, err
}

// encoder keeps the difference between null and empty.
func encoder(raw []byte) sarama.Encoder {
	if raw == nil {
		return nil
	}
	return sarama.ByteEncoder(raw)
}

func parseRecord(line []byte, topic string) (*sarama.ProducerMessage, error) {
	var fields []json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, err
	}
	var millis int64
	var key, value []byte
	var headers [][]json.RawMessage
	err := errors.Join(json.Unmarshal(fields[0], &millis), json.Unmarshal(fields[1], &key),
		json.Unmarshal(fields[2], &value), json.Unmarshal(fields[3], &headers))
	message := &sarama.ProducerMessage{Topic: topic, Key: encoder(key), Value: encoder(value), Timestamp: time.UnixMilli(millis)}
	for _, h := range headers {
		var name string
		var header sarama.RecordHeader
		err = errors.Join(err, json.Unmarshal(h[0], &name), json.Unmarshal(h[1], &header.Value))
		header.Key = []byte(name)
		message.Headers = append(message.Headers, header)
	}
	return message, err
}

func (c *client) produce(cmd command) error {
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
	var messages []*sarama.ProducerMessage
	for lines.Scan() {
		message, err := parseRecord(lines.Bytes(), cmd.Topic)
		if err != nil {
			return err
		}
		messages = append(messages, message)
	}
	if err := errors.Join(lines.Err(), producer.SendMessages(messages)); err != nil {
		return err
	}
	positions := make([][]int64, len(messages))
	for i, m := range messages {
		positions[i] = []int64{int64(m.Partition), m.Offset}
	}
	say("produced", map[string]any{"count": len(messages), "positions": positions})
	return nil
}

// from reads partitions from the given offsets into one channel, until closed.
type from struct {
	consumer sarama.Consumer
	parts    []sarama.PartitionConsumer
	messages chan *sarama.ConsumerMessage
}

func (c *client) from(committed bool, offsets map[string]map[int32]int64) (*from, error) {
	config := settings()
	if committed {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer(c.bootstrap, config)
	if err != nil {
		return nil, err
	}
	reader := &from{consumer: consumer, messages: make(chan *sarama.ConsumerMessage)}
	for topic, partitions := range offsets {
		for partition, offset := range partitions {
			part, err := consumer.ConsumePartition(topic, partition, offset)
			if err != nil {
				reader.close()
				return nil, err
			}
			reader.parts = append(reader.parts, part)
			go func() {
				for m := range part.Messages() {
					reader.messages <- m
				}
			}()
		}
	}
	return reader, nil
}

func (r *from) next() *sarama.ConsumerMessage {
	select {
	case m := <-r.messages:
		return m
	case <-time.After(timeout):
		return nil
	}
}

func (r *from) close() {
	for _, part := range r.parts {
		part.AsyncClose()
	}
	done := make(chan struct{})
	go func() {
		r.consumer.Close()
		close(done)
	}()
	for {
		select {
		case <-r.messages: // what is under way must not hold it up
		case <-done:
			return
		}
	}
}

func (c *client) read(cmd command) error {
	starts := map[string]map[int32]int64{}
	for _, topic := range cmd.Topics {
		partitions, err := c.partitions(topic)
		if err != nil {
			return err
		}
		starts[topic] = map[int32]int64{}
		for _, partition := range partitions {
			starts[topic][partition] = sarama.OffsetOldest
		}
	}
	reader, err := c.from(false, starts)
	if err != nil {
		return err
	}
	defer reader.close()
	for seen := 0; seen < cmd.Count; seen++ {
		m := reader.next()
		if m == nil {
			return fmt.Errorf("%d of %d records, then nothing for %v", seen, cmd.Count, timeout)
		}
		say("records", map[string]any{"records": [][]any{asRecord(m)}})
	}
	say("read", map[string]any{"count": cmd.Count})
	return nil
}

func (c *client) obey(cmd command) (err error) {
	switch cmd.Do {
	case "create":
		if _, err = c.step(cmd, "create_topic"); err == nil {
			say("created", nil)
		}
	case "produce":
		err = c.produce(cmd)
	case "join":
		c.member, err = c.join(cmd)
	case "resume":
		c.member.resume(cmd.Limit)
	case "commit":
		say("committed", map[string]any{"offsets": c.member.commit()})
	case "leave":
		if err = c.member.leave(); err == nil {
			c.member = nil
			say("left", nil)
		}
	case "read":
		err = c.read(cmd)
	case "txn":
		if err = c.txn(cmd); err == nil {
			say("txn", nil)
		}
	case "collect":
		err = c.collect(cmd)
	case "transform":
		work := transform{c: c, cmd: cmd, done: map[int32]int64{}, repaired: []string{}}
		err = work.run()
	case "admin":
		var value any
		value, err = c.step(cmd, cmd.Step)
		if errors.Is(err, errUnsupported) {
			say("unsupported", map[string]any{"step": cmd.Step})
			return nil
		}
		if err == nil {
			say("admin", map[string]any{"value": value})
		}
	default:
		err = fmt.Errorf("no such verb: %s", cmd.Do)
	}
	return err
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
	sarama.Logger = log.New(os.Stderr, "", log.LstdFlags)
	c := &client{bootstrap: os.Args[1:2], producers: map[string]sarama.SyncProducer{},
		named: map[string]sarama.SyncProducer{}, commands: make(chan command)}
	var err error
	if c.plain, err = sarama.NewClient(c.bootstrap, settings()); err == nil {
		c.admin, err = sarama.NewClusterAdminFromClient(c.plain)
	}
	if err != nil {
		fail(err)
		os.Exit(1)
	}
	go readCommands(c.commands)
	say("ready", nil)
	for cmd := range c.commands {
		if err := c.obey(cmd); err != nil {
			fail(err)
		}
	}
}
