package main

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type (
	commitRequest  = kmsg.OffsetCommitRequest
	commitResponse = kmsg.OffsetCommitResponse
)

var errUnsupported = errors.New("unsupported")

func commitErrors(resp *commitResponse) error {
	if resp == nil {
		return nil
	}
	var all error
	for _, topic := range resp.Topics {
		for _, part := range topic.Partitions {
			all = errors.Join(all, kerr.ErrorForCode(part.ErrorCode))
		}
	}
	return all
}

// step runs one administrative step on kadm.
func (c *client) step(ctx context.Context, cmd command, step string) (any, error) {
	switch step {
	case "create_topic":
		config := map[string]*string{}
		for name, value := range cmd.Config {
			config[name] = &value
		}
		_, err := c.admin.CreateTopic(ctx, cmd.Partitions, 1, config, cmd.Topic)
		return nil, err
	case "describe_cluster":
		found, err := c.admin.BrokerMetadata(ctx)
		return map[string]any{"nodes": found.Brokers.NodeIDs(), "controller": found.Controller, "cluster_id": found.Cluster}, err
	case "list_topics":
		found, err := c.admin.ListTopics(ctx)
		return found.Names(), err
	case "describe_topic":
		return c.describeTopic(ctx, cmd.Topic)
	case "describe_configs":
		return c.describeConfigs(ctx, cmd.Topic)
	case "create_partitions":
		found, err := c.admin.UpdatePartitions(ctx, cmd.Count, cmd.Topic)
		return nil, errors.Join(err, found.Error())
	case "list_groups":
		found, err := c.admin.ListGroups(ctx)
		return found.Groups(), err
	case "describe_group":
		found, err := c.admin.DescribeGroups(ctx, cmd.Group)
		group := found[cmd.Group]
		return map[string]any{"state": group.State, "members": len(group.Members)}, errors.Join(err, group.Err)
	case "list_offsets":
		return c.listOffsets(ctx, cmd)
	case "group_offsets":
		return c.groupOffsets(ctx, cmd.Group)
	case "alter_group_offsets":
		return nil, c.alterGroupOffsets(ctx, cmd)
	case "delete_group_offsets":
		found, err := c.admin.DeleteOffsets(ctx, cmd.Group, kadm.TopicsSet{cmd.Topic: {0: {}, 1: {}}})
		return nil, errors.Join(err, found.Error())
	case "delete_group":
		_, err := c.admin.DeleteGroup(ctx, cmd.Group)
		return nil, err
	case "delete_topic":
		_, err := c.admin.DeleteTopic(ctx, cmd.Topic)
		return nil, err
	}
	return c.transactionStep(ctx, cmd, step)
}

func (c *client) describeTopic(ctx context.Context, topic string) (any, error) {
	found, err := c.admin.ListTopics(ctx, topic)
	detail := found[topic]
	leaders := []int32{}
	for _, part := range detail.Partitions.Sorted() {
		leaders = append(leaders, part.Leader)
	}
	return map[string]any{"partitions": len(leaders), "leaders": leaders}, errors.Join(err, detail.Err)
}

func (c *client) describeConfigs(ctx context.Context, topic string) (any, error) {
	found, err := c.admin.DescribeTopicConfigs(ctx, topic)
	values := map[string]any{}
	for _, resource := range found {
		err = errors.Join(err, resource.Err)
		for _, entry := range resource.Configs {
			values[entry.Key] = entry.MaybeValue()
		}
	}
	return values, err
}

func (c *client) listOffsets(ctx context.Context, cmd command) (any, error) {
	var found kadm.ListedOffsets
	var err error
	switch spec := cmd.Spec.(type) {
	case float64:
		found, err = c.admin.ListOffsetsAfterMilli(ctx, int64(spec), cmd.Topic)
	case string:
		switch spec {
		case "earliest":
			found, err = c.admin.ListStartOffsets(ctx, cmd.Topic)
		case "latest":
			if cmd.Committed {
				found, err = c.admin.ListCommittedOffsets(ctx, cmd.Topic)
			} else {
				found, err = c.admin.ListEndOffsets(ctx, cmd.Topic)
			}
		case "max_timestamp":
			found, err = c.admin.ListMaxTimestampOffsets(ctx, cmd.Topic)
		}
	}
	answers := [][]int64{}
	found.Each(func(at kadm.ListedOffset) {
		err = errors.Join(err, at.Err)
		answers = append(answers, []int64{int64(at.Partition), at.Offset})
	})
	sort.Slice(answers, func(i, j int) bool { return answers[i][0] < answers[j][0] })
	return answers, err
}

func (c *client) groupOffsets(ctx context.Context, group string) (any, error) {
	found, err := c.admin.FetchOffsets(ctx, group)
	answers := [][]any{}
	found.Each(func(at kadm.OffsetResponse) {
		err = errors.Join(err, at.Err)
		if at.At >= 0 {
			answers = append(answers, []any{at.Topic, at.Partition, at.At})
		}
	})
	return answers, err
}

func (c *client) alterGroupOffsets(ctx context.Context, cmd command) error {
	offsets := kadm.Offsets{}
	for _, one := range cmd.Offsets {
		topic, ok := one[0].(string)
		if !ok {
			return fmt.Errorf("not a topic: %v", one[0])
		}
		offsets.AddOffset(topic, int32(one[1].(float64)), int64(one[2].(float64)), -1)
	}
	found, err := c.admin.CommitOffsets(ctx, cmd.Group, offsets)
	return errors.Join(err, found.Error())
}
