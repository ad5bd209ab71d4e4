import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

/**
 * Kafka's own codec as a process: requests come as lines of JSON, go as frames to the brokers that
 * are named, and what these answer is printed as JSON. It knows nothing of what is right.
 *
 * A command is `{"op": "ask" | "send" | "receive", "key", "version", "timeoutMs", "parties": [{"connection",
 * "address", "body" or "frame"}]}`; `ask` is `send` and `receive`. Its answer has one entry for each party: `body`,
 * `closed`, `silent`, `undecodable` or `unencodable`.
 */
public final class Codec {
    private static final String CLIENT = "differential";
    private static final int CONNECT_MS = 5_000;
    private static final int MAX_FRAME_BYTES = 100_000_000;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Map<String, Connection> CONNECTIONS = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        System.out.println(errors());
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(obey(JSON.readTree(line)));
            System.out.flush();
        }
    }

    /** The names of error codes, by which differences are printed. */
    private static ObjectNode errors() {
        ObjectNode names = JSON.createObjectNode();
        for (Errors error : Errors.values()) {
            names.put(String.valueOf(error.code()), error.name());
        }
        return names;
    }

    /** Sends to all before it reads from any, so that they work at the same time. */
    private static JsonNode obey(JsonNode command) {
        String op = command.get("op").asText();
        ArrayNode answers = JSON.createArrayNode();
        for (JsonNode party : command.get("parties")) {
            ObjectNode answer = answers.addObject();
            if (!op.equals("receive")) {
                send(command, party, answer);
            }
        }
        for (int i = 0; i < answers.size() && !op.equals("send"); i++) {
            ObjectNode answer = (ObjectNode) answers.get(i);
            if (answer.isEmpty()) {
                receive(command, command.get("parties").get(i), answer);
            }
        }
        return answers;
    }

    private static void send(JsonNode command, JsonNode party, ObjectNode answer) {
        String name = party.get("connection").asText();
        byte[] frame;
        try {
            frame = party.has("frame") ? party.get("frame").binaryValue() : encode(command, party.get("body"));
        } catch (Exception error) {
            answer.put("unencodable", cause(error));
            return;
        }
        try {
            Connection connection = CONNECTIONS.get(name);
            if (connection == null) {
                connection = new Connection(party.get("address").asText());
                CONNECTIONS.put(name, connection);
            }
            connection.write(frame);
        } catch (IOException error) {
            drop(name);
            answer.put("closed", true);
        }
    }

    private static void receive(JsonNode command, JsonNode party, ObjectNode answer) {
        String name = party.get("connection").asText();
        Connection connection = CONNECTIONS.get(name);
        if (connection == null) {
            answer.put("closed", true);
            return;
        }
        try {
            ByteBuffer frame = connection.read(command.get("timeoutMs").asInt());
            decode(command, frame, answer);
        } catch (SocketTimeoutException error) {
            answer.put("silent", true);
            drop(name);
        } catch (EOFException | SocketException error) {
            answer.put("closed", true);
            drop(name);
        } catch (Exception | StackOverflowError error) {
            answer.put("undecodable", cause(error));
            drop(name);
        }
    }

    private static String cause(Throwable error) {
        Throwable inner = error instanceof InvocationTargetException ? error.getCause() : error;
        return inner.getClass().getSimpleName() + ": " + inner.getMessage();
    }

    private static void drop(String name) {
        Connection connection = CONNECTIONS.remove(name);
        if (connection != null) {
            connection.close();
        }
    }

    private static byte[] encode(JsonNode command, JsonNode body) throws Exception {
        short key = (short) command.get("key").asInt();
        short version = (short) command.get("version").asInt();
        ApiMessageType type = ApiMessageType.fromApiKey(key);
        ApiMessage message = (ApiMessage) converter(type.newRequest()).getMethod("read", JsonNode.class, short.class).invoke(null, body, version);
        RequestHeaderData header = new RequestHeaderData()
            .setRequestApiKey(key)
            .setRequestApiVersion(version)
            .setCorrelationId(command.get("correlation").asInt())
            .setClientId(CLIENT);
        ByteBuffer head = MessageUtil.toByteBufferAccessor(header, type.requestHeaderVersion(version)).buffer();
        ByteBuffer tail = MessageUtil.toByteBufferAccessor(message, version).buffer();
        return ByteBuffer.allocate(head.remaining() + tail.remaining()).put(head).put(tail).array();
    }

    private static void decode(JsonNode command, ByteBuffer frame, ObjectNode answer) throws Exception {
        short version = (short) command.get(command.has("answerVersion") ? "answerVersion" : "version").asInt();
        ApiMessageType type = ApiMessageType.fromApiKey((short) command.get("key").asInt());
        ByteBufferAccessor input = new ByteBufferAccessor(frame);
        int correlation = new ResponseHeaderData(input, type.responseHeaderVersion(version)).correlationId();
        if (command.has("correlation") && correlation != command.get("correlation").asInt()) {
            answer.put("undecodable", "correlation id " + correlation);
            return;
        }
        ApiMessage message = type.newResponse();
        message.read(input, version);
        if (frame.hasRemaining()) {
            answer.put("undecodable", frame.remaining() + " bytes are left over");
            return;
        }
        JsonNode body = (JsonNode) converter(message)
            .getMethod("write", message.getClass(), short.class, boolean.class)
            .invoke(null, message, version, false);
        if (message instanceof FetchResponseData) {
            describeRecords((FetchResponseData) message, body);
        }
        answer.set("body", body);
    }

    private static Class<?> converter(ApiMessage message) throws ClassNotFoundException {
        return Class.forName(message.getClass().getName() + "JsonConverter");
    }

    /** The converter prints how many bytes records have; here is what they are. */
    private static void describeRecords(FetchResponseData message, JsonNode body) {
        for (int t = 0; t < message.responses().size(); t++) {
            var partitions = message.responses().get(t).partitions();
            for (int p = 0; p < partitions.size(); p++) {
                ObjectNode node = (ObjectNode) body.get("responses").get(t).get("partitions").get(p);
                node.remove("recordsSizeInBytes");
                node.set("records", batches((MemoryRecords) partitions.get(p).records()));
            }
        }
    }

    private static JsonNode batches(MemoryRecords records) {
        if (records == null) {
            return JSON.nullNode();
        }
        ArrayNode batches = JSON.createArrayNode();
        for (RecordBatch batch : records.batches()) {
            ObjectNode node = batches.addObject();
            node.put("baseOffset", batch.baseOffset()).put("lastOffset", batch.lastOffset());
            node.put("magic", batch.magic()).put("leaderEpoch", batch.partitionLeaderEpoch());
            node.put("compression", batch.compressionType().name).put("timestampType", batch.timestampType().name);
            node.put("maxTimestamp", batch.maxTimestamp()).put("bytes", batch.sizeInBytes());
            node.put("producerId", batch.producerId()).put("producerEpoch", batch.producerEpoch());
            node.put("baseSequence", batch.baseSequence()).put("isControl", batch.isControlBatch());
            node.put("isTransactional", batch.isTransactional()).put("isValid", valid(batch));
            ArrayNode inner = node.putArray("records");
            for (Record record : batch) {
                describe(record, inner.addObject());
            }
        }
        return batches;
    }

    private static boolean valid(RecordBatch batch) {
        try {
            batch.ensureValid();
            return true;
        } catch (RuntimeException error) {
            return false;
        }
    }

    private static void describe(Record record, ObjectNode node) {
        node.put("offset", record.offset()).put("timestamp", record.timestamp());
        node.put("key", bytes(record.key())).put("value", bytes(record.value()));
        ArrayNode headers = node.putArray("headers");
        for (Header header : record.headers()) {
            headers.addObject().put("name", header.key()).put("value", header.value());
        }
    }

    private static byte[] bytes(ByteBuffer buffer) {
        if (buffer == null) {
            return null;
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    /** A socket that speaks frames: a length of four bytes, then so many. */
    private static final class Connection {
        private final Socket socket = new Socket();
        private final DataInputStream input;

        Connection(String address) throws IOException {
            int colon = address.lastIndexOf(':');
            socket.setTcpNoDelay(true);
            socket.connect(new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1))), CONNECT_MS);
            input = new DataInputStream(socket.getInputStream());
        }

        void write(byte[] frame) throws IOException {
            socket.getOutputStream().write(ByteBuffer.allocate(4 + frame.length).putInt(frame.length).put(frame).array());
        }

        ByteBuffer read(int timeoutMs) throws IOException {
            socket.setSoTimeout(timeoutMs);
            int length = input.readInt();
            if (length < 0 || length > MAX_FRAME_BYTES) {
                throw new IOException("a frame of " + length + " bytes");
            }
            return ByteBuffer.wrap(input.readNBytes(length));
        }

        void close() {
            try {
                socket.close();
            } catch (IOException ignored) {
                // It is gone either way.
            }
        }
    }
}
