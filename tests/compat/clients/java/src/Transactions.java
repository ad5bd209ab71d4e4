import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Transactions: the verbs `txn`, `collect` and `transform`. */
final class Transactions {
    private static final int MAX_REPAIRS = 100;

    private final String bootstrap;
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();

    Transactions(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    private KafkaProducer<byte[], byte[]> open(JsonNode command) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        boolean transactional = command.hasNonNull("id");
        if (transactional) {
            settings.put("transactional.id", command.get("id").asText());
            settings.put("transaction.timeout.ms", command.get("timeout_ms").asText());
        }
        var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        if (transactional) {
            producer.initTransactions();
        }
        return producer;
    }

    private KafkaConsumer<byte[], byte[]> consumer(boolean committed, Map<String, Object> more) {
        var settings = Client.consumerSettings(bootstrap);
        settings.put("isolation.level", committed ? "read_committed" : "read_uncommitted");
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    void step(JsonNode command) throws Exception {
        String name = command.get("producer").asText();
        switch (command.get("step").asText()) {
            case "open" -> producers.put(name, open(command));
            case "begin" -> producers.get(name).beginTransaction();
            case "send" -> send(producers.get(name), command);
            case "commit" -> producers.get(name).commitTransaction();
            case "abort" -> producers.get(name).abortTransaction();
            default -> throw new IllegalArgumentException("no such step: " + command);
        }
        Client.say("txn", Map.of());
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, JsonNode command) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (JsonNode record : command.get("records")) {
            sent.add(producer.send(new ProducerRecord<>(command.get("topic").asText(), record.get(0).asInt(),
                Client.decode(record.get(1)), Client.decode(record.get(2)))));
        }
        producer.flush();
        for (var future : sent) {
            future.get();
        }
    }

    void collect(JsonNode command) {
        String topic = command.get("topic").asText();
        byte[] last = Client.decode(command.get("last"));
        Set<TopicPartition> open = new HashSet<>();
        for (int p = 0; p < command.get("partitions").asInt(); p++) {
            open.add(new TopicPartition(topic, p));
        }
        try (var consumer = consumer(command.get("committed").asBoolean(), Map.of())) {
            consumer.assign(open);
            consumer.seekToBeginning(open);
            int seen = 0;
            while (!open.isEmpty()) {
                List<Object> records = new ArrayList<>();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(500))) {
                    records.add(Client.asRecord(record));
                    if (java.util.Arrays.equals(record.value(), last)) {
                        open.remove(new TopicPartition(topic, record.partition()));
                    }
                }
                seen += records.size();
                Client.say("records", Map.of("records", records));
            }
            Client.say("read", Map.of("count", seen));
        }
    }

    void transform(JsonNode command, BlockingQueue<String> commands) throws Exception {
        // A broker that was killed may not know its members: heartbeats tell.
        Map<String, Object> settings = Map.of(
            "group.id", command.get("group").asText(),
            "max.poll.records", command.get("batch").asText(),
            "session.timeout.ms", "10000",
            "heartbeat.interval.ms", "500");
        try (var consumer = consumer(true, settings)) {
            consumer.subscribe(List.of(command.get("source").asText()));
            new Transform(command, commands, consumer).run();
        }
    }

    /** Reads in a group, writes what it has read, and its positions, in transactions. */
    private final class Transform {
        private final JsonNode command;
        private final BlockingQueue<String> commands;
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final Map<TopicPartition, Long> done = new HashMap<>();
        private final List<String> repaired = new ArrayList<>();
        private KafkaProducer<byte[], byte[]> producer;
        private int number;
        private int commits;
        private int aborts;

        Transform(JsonNode command, BlockingQueue<String> commands, KafkaConsumer<byte[], byte[]> consumer) {
            this.command = command;
            this.commands = commands;
            this.consumer = consumer;
            this.producer = open(command);
        }

        private long sum() {
            return done.values().stream().mapToLong(Long::longValue).sum();
        }

        void run() throws Exception {
            while (sum() < command.get("count").asLong()) {
                var polled = consumer.poll(Duration.ofMillis(200));
                if (polled.isEmpty()) {
                    continue;
                }
                try {
                    transact(polled);
                } catch (KafkaException error) {
                    repair(error);
                }
            }
            producer.close();
            Client.say("transformed", Map.of("commits", commits, "aborts", aborts, "repaired", repaired));
        }

        private void transact(Iterable<ConsumerRecord<byte[], byte[]>> polled) throws Exception {
            number++;
            producer.beginTransaction();
            Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
            for (var record : polled) {
                producer.send(new ProducerRecord<>(
                    command.get("target").asText(), record.partition(), record.key(), record.value()));
                ends.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
            }
            producer.sendOffsetsToTransaction(ends, consumer.groupMetadata());
            if (number == command.get("hold_at").asInt()) {
                producer.flush();
                Client.say("in_transaction", Map.of());
                if (!Client.JSON.readTree(commands.take()).path("do").asText().equals("go")) {
                    throw new IllegalStateException("only `go` is awaited here");
                }
            }
            if (number % command.get("abort_every").asInt() == 0) {
                producer.abortTransaction();
                aborts++;
                rewind();
            } else {
                producer.commitTransaction();
                commits++;
                ends.forEach((part, at) -> done.put(part, at.offset()));
                Client.say("progress", Map.of("done", sum()));
            }
        }

        /** What can be aborted is aborted; otherwise another producer takes over. */
        private void repair(KafkaException error) {
            repaired.add(error.getClass().getSimpleName());
            System.err.println("transaction " + number + " failed: " + error + ", " + error.getCause());
            if (repaired.size() > MAX_REPAIRS) {
                throw error;
            }
            try {
                producer.abortTransaction();
            } catch (KafkaException fatal) {
                System.err.println("and cannot be aborted: " + fatal);
                producer.close(Duration.ZERO);
                producer = open(command);
            }
            rewind();
        }

        /** Goes on at the committed positions. */
        private void rewind() {
            consumer.committed(consumer.assignment()).forEach((part, at) -> {
                long offset = at == null ? 0 : at.offset();
                consumer.seek(part, offset);
                done.put(part, offset);
            });
        }
    }
}
