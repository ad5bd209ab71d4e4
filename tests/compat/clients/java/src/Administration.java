import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The administrative steps on Java's Admin. */
final class Administration {
    private final String bootstrap;
    private final Admin admin;

    Administration(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    void createTopic(JsonNode command) throws Exception {
        Map<String, String> config = new HashMap<>();
        command.get("config").fields().forEachRemaining(entry -> config.put(entry.getKey(), entry.getValue().asText()));
        var topic = new NewTopic(command.get("topic").asText(), Optional.of(command.get("partitions").asInt()), Optional.empty());
        admin.createTopics(List.of(topic.configs(config))).all().get();
    }

    void run(JsonNode command) throws Exception {
        Object value = answer(command.get("step").asText(), command);
        var fields = new HashMap<String, Object>();
        fields.put("value", value);
        Client.say("admin", fields);
    }

    private Object answer(String step, JsonNode command) throws Exception {
        String topic = command.path("topic").asText();
        String group = command.path("group").asText();
        switch (step) {
            case "describe_cluster":
                return describeCluster();
            case "list_topics":
                return admin.listTopics().names().get();
            case "describe_topic":
                return describeTopic(topic);
            case "describe_configs":
                return describeConfigs(topic);
            case "create_topic":
                createTopic(command);
                return null;
            case "create_partitions":
                admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(command.get("count").asInt()))).all().get();
                return null;
            case "list_groups":
                return admin.listGroups().all().get().stream().map(found -> found.groupId()).toList();
            case "describe_group":
                var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                return Map.of("state", found.groupState().toString(), "members", found.members().size());
            case "list_offsets":
                return listOffsets(topic, command.get("spec"), command.path("committed").asBoolean());
            case "offsets_for_times":
                return offsetsForTimes(topic, command.get("timestamp").asLong());
            case "group_offsets":
                return groupOffsets(group);
            case "alter_group_offsets":
                admin.alterConsumerGroupOffsets(group, offsets(command.get("offsets"))).all().get();
                return null;
            case "delete_group_offsets":
                admin.deleteConsumerGroupOffsets(group, Set.copyOf(partitions(topic))).all().get();
                return null;
            case "delete_group":
                admin.deleteConsumerGroups(List.of(group)).all().get();
                return null;
            case "delete_topic":
                admin.deleteTopics(List.of(topic)).all().get();
                return null;
            case "list_transactions":
                return listTransactions(command);
            case "describe_transaction":
                return describeTransaction(command.get("id").asText());
            case "describe_producers":
                return describeProducers(topic, command.get("partition").asInt()).stream().map(Administration::asMap).toList();
            case "abort_transaction":
                abortTransaction(new TopicPartition(topic, command.get("partition").asInt()), command.get("started").asLong());
                return null;
            case "fence_producer":
                admin.fenceProducers(List.of(command.get("id").asText())).all().get();
                return null;
            default:
                throw new IllegalArgumentException("no such step: " + step);
        }
    }

    private Object describeCluster() throws Exception {
        var found = admin.describeCluster();
        return Map.of(
            "nodes", found.nodes().get().stream().map(node -> node.id()).toList(),
            "controller", found.controller().get().id(),
            "cluster_id", found.clusterId().get());
    }

    private Object describeTopic(String topic) throws Exception {
        var partitions = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
        return Map.of("partitions", partitions.size(), "leaders", partitions.stream().map(p -> p.leader().id()).toList());
    }

    private Object describeConfigs(String topic) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Map<String, String> values = new HashMap<>();
        admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()
            .forEach(entry -> values.put(entry.name(), entry.value()));
        return values;
    }

    private List<TopicPartition> partitions(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().stream()
            .map(found -> new TopicPartition(topic, found.partition())).toList();
    }

    private Object listTransactions(JsonNode command) throws Exception {
        Set<TransactionState> states = new HashSet<>();
        command.path("states").forEach(state -> states.add(TransactionState.parse(state.asText())));
        return admin.listTransactions(new ListTransactionsOptions().filterStates(states)).all().get().stream().map(found ->
            Map.of("id", found.transactionalId(), "producer_id", found.producerId(), "state", found.state().toString())).toList();
    }

    private Object describeTransaction(String id) throws Exception {
        var found = admin.describeTransactions(List.of(id)).description(id).get();
        List<Object> partitions = new ArrayList<>();
        found.topicPartitions().forEach(part -> partitions.add(new Object[] {part.topic(), part.partition()}));
        return Map.of(
            "state", found.state().toString(),
            "producer_id", found.producerId(),
            "epoch", found.producerEpoch(),
            "timeout_ms", found.transactionTimeoutMs(),
            "started_ms", found.transactionStartTimeMs().orElse(-1),
            "partitions", partitions);
    }

    private List<ProducerState> describeProducers(String topic, int partition) throws Exception {
        var part = new TopicPartition(topic, partition);
        return admin.describeProducers(List.of(part)).partitionResult(part).get().activeProducers();
    }

    private static Map<String, Object> asMap(ProducerState found) {
        Map<String, Object> fields = new HashMap<>();
        fields.put("producer_id", found.producerId());
        fields.put("epoch", found.producerEpoch());
        fields.put("last_sequence", found.lastSequence());
        var started = found.currentTransactionStartOffset();
        fields.put("started", started.isPresent() ? started.getAsLong() : null);
        return fields;
    }

    /** As `kafka-transactions.sh abort`: with what the partition says of the producer. */
    private void abortTransaction(TopicPartition part, long started) throws Exception {
        for (ProducerState found : describeProducers(part.topic(), part.partition())) {
            if (found.currentTransactionStartOffset().orElse(-1) == started) {
                admin.abortTransaction(new AbortTransactionSpec(
                    part, found.producerId(), (short) found.producerEpoch(), found.coordinatorEpoch().orElse(0))).all().get();
                return;
            }
        }
        throw new IllegalStateException("no transaction began at " + started + " in " + part);
    }

    private Object listOffsets(String topic, JsonNode spec, boolean committed) throws Exception {
        OffsetSpec what = switch (spec.asText()) {
            case "earliest" -> OffsetSpec.earliest();
            case "latest" -> OffsetSpec.latest();
            case "max_timestamp" -> OffsetSpec.maxTimestamp();
            default -> OffsetSpec.forTimestamp(spec.asLong());
        };
        Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
        partitions(topic).forEach(part -> asked.put(part, what));
        List<Object> answers = new ArrayList<>();
        var level = committed ? IsolationLevel.READ_COMMITTED : IsolationLevel.READ_UNCOMMITTED;
        admin.listOffsets(asked, new ListOffsetsOptions(level)).all().get().forEach((part, at) -> answers.add(new long[] {part.partition(), at.offset()}));
        return answers;
    }

    private Object offsetsForTimes(String topic, long timestamp) throws Exception {
        try (var consumer = new KafkaConsumer<>(
                Client.consumerSettings(bootstrap), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Map<TopicPartition, Long> asked = new HashMap<>();
            partitions(topic).forEach(part -> asked.put(part, timestamp));
            List<Object> answers = new ArrayList<>();
            consumer.offsetsForTimes(asked).forEach((part, at) ->
                answers.add(new long[] {part.partition(), at == null ? -1 : at.offset()}));
            return answers;
        }
    }

    private Object groupOffsets(String group) throws Exception {
        List<Object> answers = new ArrayList<>();
        admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().forEach((part, at) -> {
            if (at != null) {
                answers.add(new Object[] {part.topic(), part.partition(), at.offset()});
            }
        });
        return answers;
    }

    private static Map<TopicPartition, OffsetAndMetadata> offsets(JsonNode given) {
        Map<TopicPartition, OffsetAndMetadata> made = new HashMap<>();
        for (JsonNode one : given) {
            made.put(new TopicPartition(one.get(0).asText(), one.get(1).asInt()), new OffsetAndMetadata(one.get(2).asLong()));
        }
        return made;
    }
}
