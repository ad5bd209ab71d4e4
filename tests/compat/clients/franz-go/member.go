package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member is a group member that delivers up to a limit and then holds: it stops polling, while
// the client's own goroutines go on with heartbeats and rebalances.
type member struct {
	consumer  *kgo.Client
	limit     int
	delivered int
	held      bool

	lock      sync.Mutex // callbacks run on the client's goroutines
	assigned  map[string]map[int32]bool
	positions map[string]map[int32]kgo.EpochOffset
}

func (c *client) join(cmd command) (*member, error) {
	m := &member{assigned: map[string]map[int32]bool{}, positions: map[string]map[int32]kgo.EpochOffset{}}
	m.resume(cmd.Limit)
	var err error
	m.consumer, err = c.open(
		kgo.ConsumerGroup(cmd.Group),
		kgo.ConsumeTopics(cmd.Topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(10*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.FetchMaxWait(200*time.Millisecond),
		kgo.OnPartitionsAssigned(m.onAssigned),
		kgo.OnPartitionsRevoked(m.onRevoked),
	)
	return m, err
}

func (m *member) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for topic, parts := range added {
		if m.assigned[topic] == nil {
			m.assigned[topic] = map[int32]bool{}
		}
		for _, part := range parts {
			m.assigned[topic][part] = true
		}
	}
	m.sayAssigned()
}

// sayAssigned tells all that is assigned: the cooperative protocol only tells what changed.
func (m *member) sayAssigned() {
	all := [][]any{}
	for topic, parts := range m.assigned {
		for part := range parts {
			all = append(all, []any{topic, part})
		}
	}
	say("assigned", map[string]any{"partitions": all})
}

func (m *member) onRevoked(ctx context.Context, cl *kgo.Client, lost map[string][]int32) {
	m.lock.Lock()
	defer m.lock.Unlock()
	mine := map[string]map[int32]kgo.EpochOffset{}
	for topic, parts := range lost {
		for _, part := range parts {
			delete(m.assigned[topic], part)
			if at, read := m.positions[topic][part]; read {
				if mine[topic] == nil {
					mine[topic] = map[int32]kgo.EpochOffset{}
				}
				mine[topic][part] = at
				delete(m.positions[topic], part)
			}
		}
	}
	if len(mine) > 0 {
		cl.CommitOffsetsSync(ctx, mine, nil)
	}
	m.sayAssigned()
}

func (m *member) resume(limit *int) {
	m.limit, m.delivered, m.held = int(^uint(0)>>1), 0, false
	if limit != nil {
		m.limit = *limit
	}
}

func (m *member) step() error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	fetches := m.consumer.PollRecords(ctx, min(500, m.limit-m.delivered))
	for _, failed := range fetches.Errors() {
		if !errors.Is(failed.Err, context.DeadlineExceeded) {
			return failed.Err
		}
	}
	records := [][]any{}
	m.lock.Lock()
	fetches.EachRecord(func(r *kgo.Record) {
		if m.positions[r.Topic] == nil {
			m.positions[r.Topic] = map[int32]kgo.EpochOffset{}
		}
		m.positions[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		records = append(records, asRecord(r))
	})
	m.lock.Unlock()
	if len(records) > 0 {
		m.delivered += len(records)
		say("records", map[string]any{"records": records})
	}
	if m.delivered >= m.limit {
		m.held = true
		say("held", map[string]any{"delivered": m.delivered})
	}
	return nil
}

func (m *member) commit(ctx context.Context) ([][]any, error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	offsets := [][]any{}
	for topic, parts := range m.positions {
		for part, at := range parts {
			offsets = append(offsets, []any{topic, part, at.Offset})
		}
	}
	if len(offsets) == 0 {
		return offsets, nil
	}
	var failed error
	m.consumer.CommitOffsetsSync(ctx, m.positions, func(_ *kgo.Client, _ *commitRequest, resp *commitResponse, err error) {
		failed = errors.Join(err, commitErrors(resp))
	})
	return offsets, failed
}
