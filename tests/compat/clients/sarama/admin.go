package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/IBM/sarama"
)

var errUnsupported = errors.New("no such call in this client")

func (c *client) partitions(topic string) ([]int32, error) {
	err := c.plain.RefreshMetadata(topic)
	found, more := c.plain.Partitions(topic)
	return found, errors.Join(err, more)
}

// step runs one administrative step.
func (c *client) step(cmd command, step string) (any, error) {
	switch step {
	case "describe_cluster":
		return c.describeCluster()
	case "create_topic":
		detail := &sarama.TopicDetail{NumPartitions: cmd.Partitions, ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
		for name, value := range cmd.Config {
			detail.ConfigEntries[name] = &value
		}
		return nil, c.admin.CreateTopic(cmd.Topic, detail, false)
	case "list_topics":
		found, err := c.admin.ListTopics()
		names := []string{}
		for name := range found {
			names = append(names, name)
		}
		return names, err
	case "describe_topic":
		return c.describeTopic(cmd.Topic)
	case "describe_configs":
		found, err := c.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: cmd.Topic})
		values := map[string]any{}
		for _, entry := range found {
			values[entry.Name] = entry.Value
		}
		return values, err
	case "create_partitions":
		return nil, c.admin.CreatePartitions(cmd.Topic, int32(cmd.Count), nil, false)
	case "list_offsets":
		return c.listOffsets(cmd)
	case "offsets_for_times":
		cmd.Spec = float64(cmd.Timestamp)
		return c.listOffsets(cmd)
	case "list_groups":
		found, err := c.admin.ListConsumerGroups()
		names := []string{}
		for name := range found {
			names = append(names, name)
		}
		return names, err
	case "describe_group":
		found, err := c.admin.DescribeConsumerGroups([]string{cmd.Group})
		if err != nil {
			return nil, err
		}
		return map[string]any{"state": found[0].State, "members": len(found[0].Members)}, nil
	case "group_offsets":
		return c.groupOffsets(cmd.Group)
	case "alter_group_offsets":
		return nil, c.alterGroupOffsets(cmd)
	case "delete_group_offsets":
		return nil, errors.Join(c.admin.DeleteConsumerGroupOffset(cmd.Group, cmd.Topic, 0), c.admin.DeleteConsumerGroupOffset(cmd.Group, cmd.Topic, 1))
	case "delete_group":
		return nil, c.admin.DeleteConsumerGroup(cmd.Group)
	case "delete_topic":
		return nil, c.admin.DeleteTopic(cmd.Topic)
	}
	return nil, errUnsupported
}

func (c *client) describeCluster() (any, error) {
	brokers, controller, err := c.admin.DescribeCluster()
	if err != nil {
		return nil, err
	}
	nodes := []int32{}
	for _, broker := range brokers {
		nodes = append(nodes, broker.ID())
	}
	broker, err := c.plain.Controller()
	if err != nil {
		return nil, err
	}
	found, err := broker.GetMetadata(sarama.NewMetadataRequest(sarama.V2_0_0_0, nil))
	if err != nil {
		return nil, err
	}
	return map[string]any{"nodes": nodes, "controller": controller, "cluster_id": found.ClusterID}, nil
}

func (c *client) describeTopic(topic string) (any, error) {
	found, err := c.admin.DescribeTopics([]string{topic})
	if err != nil {
		return nil, err
	}
	if found[0].Err != sarama.ErrNoError {
		return nil, found[0].Err
	}
	leaders := []int32{}
	for _, part := range found[0].Partitions {
		leaders = append(leaders, part.Leader)
	}
	return map[string]any{"partitions": len(leaders), "leaders": leaders}, nil
}

func (c *client) listOffsets(cmd command) (any, error) {
	var at int64
	switch spec := cmd.Spec.(type) {
	case float64:
		at = int64(spec)
	case string:
		named, known := map[string]int64{"earliest": sarama.OffsetOldest, "latest": sarama.OffsetNewest}[spec]
		if !known {
			return nil, errUnsupported
		}
		at = named
	}
	options := &sarama.ListOffsetsOptions{}
	if cmd.Committed {
		options.IsolationLevel = sarama.ReadCommitted
	}
	partitions, err := c.partitions(cmd.Topic)
	if err != nil {
		return nil, err
	}
	asked := map[string]map[int32]int64{cmd.Topic: {}}
	for _, partition := range partitions {
		asked[cmd.Topic][partition] = at
	}
	found, err := c.admin.ListOffsets(asked, options)
	answers := [][]int64{}
	for partition, one := range found[cmd.Topic] {
		if !errors.Is(one.Err, sarama.ErrNoError) {
			err = errors.Join(err, one.Err)
		}
		answers = append(answers, []int64{int64(partition), one.Offset})
	}
	slices.SortFunc(answers, slices.Compare)
	return answers, err
}

func (c *client) groupOffsets(group string) (any, error) {
	found, err := c.admin.ListConsumerGroupOffsets(group, nil)
	if err != nil {
		return nil, err
	}
	answers := [][]any{}
	for topic, partitions := range found.Blocks {
		for partition, block := range partitions {
			if block.Err != sarama.ErrNoError {
				return nil, block.Err
			}
			if block.Offset >= 0 {
				answers = append(answers, []any{topic, partition, block.Offset})
			}
		}
	}
	return answers, nil
}

func (c *client) alterGroupOffsets(cmd command) error {
	offsets := map[string]map[int32]sarama.OffsetAndMetadata{}
	for _, one := range cmd.Offsets {
		topic, ok := one[0].(string)
		if !ok {
			return fmt.Errorf("not a topic: %v", one[0])
		}
		if offsets[topic] == nil {
			offsets[topic] = map[int32]sarama.OffsetAndMetadata{}
		}
		offsets[topic][int32(one[1].(float64))] = sarama.OffsetAndMetadata{Offset: int64(one[2].(float64)), LeaderEpoch: -1}
	}
	found, err := c.admin.AlterConsumerGroupOffsets(cmd.Group, offsets, nil)
	if err != nil {
		return err
	}
	for _, partitions := range found.Errors {
		for _, code := range partitions {
			if code != sarama.ErrNoError {
				return code
			}
		}
	}
	return nil
}
