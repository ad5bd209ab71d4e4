import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.StateRestoreListener;

/**
 * One instance of an application of Kafka Streams: JSON commands in, JSON events out.
 *
 * <p>{@code start {topology, topics, settings}} says each {@code state}, what is {@code restored}, and
 * each thread that is {@code replaced}; {@code stop} ends it in order; {@code counts} says how many
 * commits there were.
 */
public final class Streams {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    private static final Duration CLOSE = Duration.ofSeconds(30);

    private KafkaStreams running;

    public static void main(String[] arguments) throws Exception {
        var client = new Streams();
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        say("ready", Map.of());
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                client.obey(JSON.readTree(line), arguments[0]);
            } catch (Exception error) { // every failure is an answer, the runner decides
                fail(error);
            }
        }
        System.exit(0);
    }

    private void obey(JsonNode command, String bootstrap) {
        switch (command.path("do").asText()) {
            case "start" -> start(command, bootstrap);
            case "counts" -> say("counts", Map.of("commits", commits()));
            case "stop" -> {
                double commits = commits();
                boolean clean = running.close(CLOSE);
                say("stopped", Map.of("clean", clean, "commits", commits));
            }
            default -> throw new IllegalArgumentException("no such verb: " + command);
        }
    }

    private void start(JsonNode command, String bootstrap) {
        Map<String, String> topics = new HashMap<>();
        command.path("topics").fields().forEachRemaining(topic -> topics.put(topic.getKey(), topic.getValue().asText()));
        Topology topology = Topologies.named(command.path("topology").asText(), topics);
        running = new KafkaStreams(topology, properties(command.path("settings"), bootstrap));
        running.setStateListener((now, before) -> say("state", Map.of("state", now.name())));
        running.setGlobalStateRestoreListener(new SayRestored());
        running.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (cause instanceof UnsupportedVersionException) {
                    fail(cause);
                    return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
                }
            }
            say("replaced", Map.of("why", String.valueOf(error)));
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        running.start();
    }

    private static Properties properties(JsonNode settings, String bootstrap) {
        var properties = new Properties();
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class.getName());
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class.getName());
        // Without a cache every input shows in the output, so that each can be counted.
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        settings.fields().forEachRemaining(setting -> properties.put(setting.getKey(), setting.getValue().asText()));
        return properties;
    }

    /** The commits of all threads; each that had something to commit is one transaction. */
    private double commits() {
        return running.metrics().entrySet().stream()
            .filter(metric -> metric.getKey().name().equals("commit-total") && metric.getKey().group().equals("stream-thread-metrics"))
            .mapToDouble(metric -> (Double) metric.getValue().metricValue())
            .sum();
    }

    private static synchronized void say(String event, Map<String, ?> fields) {
        Map<String, Object> line = new HashMap<>(fields);
        line.put("event", event);
        try {
            OUT.println(JSON.writeValueAsString(line));
            OUT.flush();
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private static void fail(Throwable error) {
        say("error", Map.of("code", error.getClass().getSimpleName(), "message", String.valueOf(error.getMessage())));
    }

    private static final class SayRestored implements StateRestoreListener {
        @Override
        public void onRestoreStart(TopicPartition part, String store, long start, long end) {}

        @Override
        public void onBatchRestored(TopicPartition part, String store, long end, long count) {}

        @Override
        public void onRestoreEnd(TopicPartition part, String store, long total) {
            say("restored", Map.of("store", store, "partition", part.partition(), "count", total));
        }
    }
}
