import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The Java client behind the suite's verbs: JSON commands in, JSON events out. */
public final class Client {
    static final ObjectMapper JSON = new ObjectMapper();
    static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    private final String bootstrap;
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private final Administration administration;
    private final Transactions transactions;
    private final BlockingQueue<String> commands = new LinkedBlockingQueue<>();
    private Member member;

    Client(String bootstrap) {
        this.bootstrap = bootstrap;
        this.administration = new Administration(bootstrap);
        this.transactions = new Transactions(bootstrap);
    }

    public static void main(String[] arguments) throws Exception {
        var client = new Client(arguments[0]);
        var reader = new Thread(client::readCommands);
        reader.setDaemon(true);
        reader.start();
        say("ready", Map.of());
        while (true) {
            try {
                String line = client.member == null ? client.commands.take() : client.commands.poll();
                if (line == null) {
                    client.member.step();
                } else if (line.isEmpty()) {
                    System.exit(0);
                } else {
                    client.obey(JSON.readTree(line));
                }
            } catch (Exception error) {
                fail(error);
            }
        }
    }

    private void readCommands() {
        try (var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                commands.add(line);
            }
        } catch (java.io.IOException closed) {
            System.err.println("standard input: " + closed);
        }
        commands.add("");
    }

    private void obey(JsonNode command) throws Exception {
        switch (command.get("do").asText()) {
            case "create" -> {
                administration.createTopic(command);
                say("created", Map.of());
            }
            case "produce" -> produce(command);
            case "join" -> member = new Member(bootstrap, command);
            case "resume" -> member.resume(command.get("limit"));
            case "commit" -> say("committed", Map.of("offsets", member.commit()));
            case "leave" -> {
                member.close();
                member = null;
                say("left", Map.of());
            }
            case "read" -> read(command);
            case "txn" -> transactions.step(command);
            case "collect" -> transactions.collect(command);
            case "transform" -> transactions.transform(command, commands);
            case "admin" -> administration.run(command);
            default -> throw new IllegalArgumentException("no such verb: " + command);
        }
    }

    private KafkaProducer<byte[], byte[]> producer(String codec, boolean idempotent) {
        return producers.computeIfAbsent(codec + idempotent, key -> {
            var settings = new Properties();
            settings.put("bootstrap.servers", bootstrap);
            settings.put("compression.type", codec);
            if (!idempotent) {
                settings.put("enable.idempotence", "false");
            }
            return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        });
    }

    private void produce(JsonNode command) throws Exception {
        var producer = producer(command.get("codec").asText(), command.get("idempotent").asBoolean());
        String topic = command.get("topic").asText();
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(command.get("file").asText()))) {
            JsonNode record = JSON.readTree(line);
            List<Header> headers = new ArrayList<>();
            for (JsonNode header : record.get(3)) {
                headers.add(new RecordHeader(header.get(0).asText(), decode(header.get(1))));
            }
            sent.add(producer.send(new ProducerRecord<>(
                topic, null, record.get(0).asLong(), decode(record.get(1)), decode(record.get(2)), headers)));
        }
        producer.flush();
        List<long[]> positions = new ArrayList<>();
        for (var future : sent) {
            RecordMetadata at = future.get();
            positions.add(new long[] {at.partition(), at.offset()});
        }
        say("produced", Map.of("count", positions.size(), "positions", positions));
    }

    private void read(JsonNode command) {
        try (var consumer = new KafkaConsumer<>(consumerSettings(bootstrap), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (JsonNode topic : command.get("topics")) {
                consumer.partitionsFor(topic.asText())
                    .forEach(found -> partitions.add(new TopicPartition(found.topic(), found.partition())));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            int wanted = command.get("count").asInt();
            int seen = 0;
            for (int quiet = 0; seen < wanted; quiet++) {
                if (quiet > 60) {
                    throw new IllegalStateException(seen + " of " + wanted + " records, then nothing");
                }
                List<Object> records = new ArrayList<>();
                consumer.poll(java.time.Duration.ofMillis(500)).forEach(record -> records.add(asRecord(record)));
                if (!records.isEmpty()) {
                    quiet = 0;
                    seen += records.size();
                    say("records", Map.of("records", records));
                }
            }
            say("read", Map.of("count", seen));
        }
    }

    static Properties consumerSettings(String bootstrap) {
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        return settings;
    }

    static Object asRecord(ConsumerRecord<byte[], byte[]> record) {
        List<Object> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(new Object[] {header.key(), encode(header.value())});
        }
        return new Object[] {
            record.topic(), record.partition(), record.offset(), record.timestamp(),
            encode(record.key()), encode(record.value()), headers
        };
    }

    static String encode(byte[] raw) {
        return raw == null ? null : Base64.getEncoder().encodeToString(raw);
    }

    static byte[] decode(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    static void say(String event, Map<String, ?> fields) {
        var line = new HashMap<String, Object>(fields);
        line.put("event", event);
        try {
            OUT.println(JSON.writeValueAsString(line));
            OUT.flush();
        } catch (com.fasterxml.jackson.core.JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static void fail(Throwable error) {
        Throwable cause = error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
        say("error", Map.of("code", cause.getClass().getSimpleName(), "message", String.valueOf(cause.getMessage())));
    }
}
