package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type place struct {
	topic     string
	partition int32
}

// member is a group member that delivers up to a limit and then holds.
type member struct {
	group  sarama.ConsumerGroup
	cancel context.CancelFunc
	ended  chan struct{}

	lock      sync.Mutex
	limit     *int
	delivered int
	held      bool
	positions map[place]int64
	session   sarama.ConsumerGroupSession
}

func (c *client) join(cmd command) (*member, error) {
	group, err := sarama.NewConsumerGroup(c.bootstrap, cmd.Group, settings())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{group: group, cancel: cancel, ended: make(chan struct{}), limit: cmd.Limit, positions: map[place]int64{}}
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, cmd.Topics, m); err != nil && !errors.Is(err, context.Canceled) {
				fmt.Fprintf(os.Stderr, "consuming: %v\n", err)
			}
		}
	}()
	return m, nil
}

// Setup begins a generation.
func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	m.session, m.positions = session, map[place]int64{}
	m.lock.Unlock()
	parts := [][]any{}
	for topic, partitions := range session.Claims() {
		for _, partition := range partitions {
			parts = append(parts, []any{topic, partition})
		}
	}
	say("assigned", map[string]any{"partitions": parts})
	return nil
}

// Cleanup ends a generation, with its last commit.
func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.commit()
	return nil
}

// ConsumeClaim delivers one partition. What does not fit is held back, and given up with the claim.
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			for !m.deliver(message) {
				select {
				case <-session.Context().Done():
					return nil
				case <-time.After(10 * time.Millisecond):
				}
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) deliver(message *sarama.ConsumerMessage) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.held || m.session.Context().Err() != nil {
		return false
	}
	m.delivered++
	m.positions[place{message.Topic, message.Partition}] = message.Offset + 1
	say("records", map[string]any{"records": [][]any{asRecord(message)}})
	if m.limit != nil && m.delivered >= *m.limit {
		m.held = true
		say("held", map[string]any{"delivered": m.delivered})
	}
	return true
}

func (m *member) resume(limit *int) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.limit, m.delivered, m.held = limit, 0, false
}

func (m *member) commit() [][]any {
	m.lock.Lock()
	defer m.lock.Unlock()
	offsets := [][]any{}
	for at, offset := range m.positions {
		m.session.MarkOffset(at.topic, at.partition, offset, "")
		offsets = append(offsets, []any{at.topic, at.partition, offset})
	}
	if len(offsets) > 0 {
		m.session.Commit()
	}
	sort.Slice(offsets, func(i, j int) bool { return fmt.Sprint(offsets[i]) < fmt.Sprint(offsets[j]) })
	return offsets
}

func (m *member) leave() error {
	m.cancel()
	<-m.ended
	return m.group.Close()
}
