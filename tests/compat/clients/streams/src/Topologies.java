import java.time.Duration;
import java.util.Map;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;

/** What the applications compute; the harness computes the same on its own. */
final class Topologies {
    private static final Duration WINDOW = Duration.ofSeconds(10);
    private static final Duration PAID_WITHIN = Duration.ofSeconds(5);
    private static final Duration GRACE = Duration.ofDays(1);

    private Topologies() {}

    static Topology named(String name, Map<String, String> topics) {
        return switch (name) {
            case "shop" -> shop(topics);
            case "counted" -> counted(topics);
            default -> throw new IllegalArgumentException("no such topology: " + name);
        };
    }

    /**
     * Orders {@code id: customer,amount} and payments {@code id: amount}. Out come the number and sum
     * of each customer's orders, their number in windows of ten seconds, and the orders that were
     * paid within five seconds. Orders of nothing are left out.
     */
    private static Topology shop(Map<String, String> topics) {
        var builder = new StreamsBuilder();
        KStream<String, String> orders =
            builder.<String, String>stream(topics.get("orders")).filter((id, order) -> amount(order) > 0);
        KGroupedStream<String, String> byCustomer = orders
            .map((id, order) -> KeyValue.pair(order.split(",")[0], order.split(",")[1]))
            .groupByKey(Grouped.as("by-customer"));
        byCustomer
            .aggregate(() -> "0,0", (customer, amount, total) -> added(total, amount), Materialized.as("totals"))
            .toStream()
            .to(topics.get("totals"));
        byCustomer
            .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, GRACE))
            .aggregate(() -> "0,0", (customer, amount, total) -> added(total, amount), Materialized.as("windows"))
            .toStream((window, total) -> window.key() + "@" + window.window().start())
            .to(topics.get("windows"));
        orders
            .join(
                builder.<String, String>stream(topics.get("payments")),
                (order, payment) -> order + "," + payment,
                JoinWindows.ofTimeDifferenceAndGrace(PAID_WITHIN, GRACE),
                StreamJoined.<String, String, String>with(Serdes.String(), Serdes.String(), Serdes.String()).withName("paid").withStoreName("paid"))
            .to(topics.get("paid"));
        return builder.build();
    }

    /** Each record once more, over a repartition topic, with its number among those of its key. */
    private static Topology counted(Map<String, String> topics) {
        var builder = new StreamsBuilder();
        builder.<String, String>stream(topics.get("source"))
            .selectKey((key, value) -> key)
            .groupByKey(Grouped.as("again"))
            .aggregate(() -> "0", (key, value, last) -> next(last) + " " + value, Materialized.as("counts"))
            .toStream()
            .to(topics.get("target"));
        return builder.build();
    }

    private static long amount(String order) {
        return Long.parseLong(order.split(",")[1]);
    }

    private static String added(String total, String amount) {
        String[] parts = total.split(",");
        return (Long.parseLong(parts[0]) + 1) + "," + (Long.parseLong(parts[1]) + Long.parseLong(amount));
    }

    private static long next(String last) {
        return Long.parseLong(last.split(" ")[0]) + 1;
    }
}
