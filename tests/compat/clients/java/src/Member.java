import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A group member that delivers up to a limit and then holds: paused, but still polling. */
final class Member implements ConsumerRebalanceListener {
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
    private long limit;
    private long delivered;
    private boolean held;

    Member(String bootstrap, JsonNode command) {
        var settings = Client.consumerSettings(bootstrap);
        settings.put("group.id", command.get("group").asText());
        settings.put("session.timeout.ms", "10000");
        settings.put("heartbeat.interval.ms", "500");
        consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        List<String> topics = new ArrayList<>();
        command.get("topics").forEach(topic -> topics.add(topic.asText()));
        resume(command.get("limit"));
        consumer.subscribe(topics, this);
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        if (held) {
            consumer.pause(consumer.assignment());
        }
        // The cooperative protocol tells only what is new, the runner wants all.
        List<Object> all = new ArrayList<>();
        consumer.assignment().forEach(part -> all.add(new Object[] {part.topic(), part.partition()}));
        Client.say("assigned", Map.of("partitions", all));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit();
        partitions.forEach(positions::remove);
        Client.say("revoked", Map.of("count", partitions.size()));
    }

    void step() {
        var polled = consumer.poll(Duration.ofMillis(100));
        List<Object> records = new ArrayList<>();
        Map<TopicPartition, Long> undelivered = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : polled) {
            var part = new TopicPartition(record.topic(), record.partition());
            if (delivered == limit) {
                undelivered.putIfAbsent(part, record.offset());
                continue;
            }
            delivered++;
            records.add(Client.asRecord(record));
            positions.put(part, new OffsetAndMetadata(record.offset() + 1));
        }
        if (!records.isEmpty()) {
            Client.say("records", Map.of("records", records));
        }
        if (delivered == limit && !held) {
            undelivered.forEach(consumer::seek);
            held = true;
            consumer.pause(consumer.assignment());
            Client.say("held", Map.of("delivered", delivered));
        }
    }

    void resume(JsonNode newLimit) {
        limit = newLimit == null || newLimit.isNull() ? Long.MAX_VALUE : newLimit.asLong();
        delivered = 0;
        held = false;
        consumer.resume(consumer.assignment());
    }

    List<Object> commit() {
        consumer.commitSync(positions);
        List<Object> offsets = new ArrayList<>();
        positions.forEach((part, at) -> offsets.add(new Object[] {part.topic(), part.partition(), at.offset()}));
        return offsets;
    }

    void close() {
        consumer.close();
    }
}
