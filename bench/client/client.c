/*
 * The client of the benchmarks: any Kafka broker, measured through librdkafka.
 *
 *   produce  writes as fast as it can, and counts what is acknowledged
 *   consume  reads everything from the beginning; several consumers, each as fast as it may
 *   latency  sends on schedule (an open loop), and measures from when a record was due
 *
 * One line of JSON on standard output; processor time in it is that of this process. Exits with 1
 * and a reason on standard error where a record was lost, refused, or read twice.
 *
 * The payload is one constant buffer that is never copied here: a record costs what librdkafka
 * needs for it. Partitions are chosen here, in turn, so that no partitioner runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

enum {
    BURST = 1000,             /* records handed to librdkafka, or taken from it, in one call */
    MAX_CONSUMERS = 1000,
    MAX_SAMPLES = 50 * 1000 * 1000,
    PATIENCE_MS = 60 * 1000,  /* for one answer of the broker */
    STALL_SECONDS = 60,       /* without any progress the run has failed */
};

struct options {
    const char *bootstrap, *topic, *rates;
    int record_size, partitions, per_turn, linger_ms, batch_bytes, fetch_bytes, queue_kbytes;
    long records, rate;
    int keys, config_count, queue_messages;
    char *configs[16];
    double seconds, warmup;
    bool idempotence;
};

static struct options options = {
    .topic = "bench", .rates = "1x0", .record_size = 1024, .partitions = 1, .per_turn = 1,
    .linger_ms = 5, .batch_bytes = 1000000, .fetch_bytes = 8 << 20, .queue_kbytes = 256 << 10,
    .queue_messages = 200000,
    .rate = 0, .seconds = 10, .warmup = -1,
};

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Processor seconds of this process until now, in itself and in the kernel. */
static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void set(rd_kafka_conf_t *conf, const char *name, const char *format, ...) {
    char value[256], reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) != RD_KAFKA_CONF_OK)
        fail("%s=%s: %s", name, value, reason);
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char reason[512];
    set(conf, "bootstrap.servers", "%s", options.bootstrap);
    set(conf, "client.id", "bench");
    set(conf, "socket.nagle.disable", "true");
    rd_kafka_t *rk = rd_kafka_new(type, conf, reason, sizeof reason);
    if (!rk) fail("%s", reason);
    return rk;
}

/* ---- produce and latency ------------------------------------------------------------------ */

static long refused; /* written by the one thread that polls, read when all is flushed */
static rd_kafka_resp_err_t first_refusal;

static void refuse(const rd_kafka_message_t *message) {
    if (!refused++) first_refusal = message->err;
}

/* Waits until the topic is there with all its partitions, which creates it where it is missing. */
static void create_topic(rd_kafka_t *rk) {
    char reason[512];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(options.topic, options.partitions, 1, reason, sizeof reason);
    if (!topic) fail("%s", reason);
    for (int i = 0; i < options.config_count; i++) {
        char *value = strchr(options.configs[i], '=');
        if (!value) fail("--config %s: expected NAME=VALUE", options.configs[i]);
        *value = 0;
        rd_kafka_NewTopic_set_config(topic, options.configs[i], value + 1);
        *value = '=';
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *admin = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_request_timeout(admin, PATIENCE_MS, reason, sizeof reason);
    rd_kafka_CreateTopics(rk, &topic, 1, admin, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    if (!event || rd_kafka_event_error(event))
        fail("creating %s: %s", options.topic, event ? rd_kafka_event_error_string(event) : "no answer");
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
        if (error && error != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            fail("creating %s: %s", options.topic, rd_kafka_topic_result_error_string(results[i]));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(admin);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
}

static rd_kafka_topic_t *open_topic(rd_kafka_t *rk) {
    create_topic(rk);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, options.topic, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t error = rd_kafka_metadata(rk, 0, topic, &metadata, PATIENCE_MS);
    if (error) fail("%s: %s", options.topic, rd_kafka_err2str(error));
    int partitions = metadata->topics[0].partition_cnt;
    if (partitions != options.partitions)
        fail("%s has %d partitions, expected %d", options.topic, partitions, options.partitions);
    rd_kafka_metadata_destroy(metadata);
    return topic;
}

static rd_kafka_conf_t *producer_conf(void) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "acks", "all");
    set(conf, "enable.idempotence", options.idempotence ? "true" : "false");
    set(conf, "linger.ms", "%d", options.linger_ms);
    set(conf, "batch.size", "%d", options.batch_bytes);
    set(conf, "message.max.bytes", "%d", options.batch_bytes > 1000000 ? options.batch_bytes : 1000000);
    set(conf, "batch.num.messages", "100000");
    set(conf, "queue.buffering.max.messages", "%d", options.queue_messages);
    set(conf, "queue.buffering.max.kbytes", "2097151");
    return conf;
}

static const void *payload(void) {
    char *bytes = malloc((size_t)options.record_size + 1);
    if (!bytes) fail("no memory for a record of %d bytes", options.record_size);
    memset(bytes, 'x', (size_t)options.record_size + 1);
    return bytes;
}

enum { KEY_BYTES = 10 };

/* So many keys of ten digits one after the other, or none. */
static char *all_keys(void) {
    if (!options.keys) return NULL;
    char *bytes = malloc((size_t)options.keys * KEY_BYTES + 1);
    if (!bytes) fail("no memory for %d keys", options.keys);
    for (int i = 0; i < options.keys; i++) snprintf(bytes + (size_t)i * KEY_BYTES, KEY_BYTES + 1, "%010d", i);
    return bytes;
}

static void sleep_until(double moment) {
    struct timespec at = {(time_t)moment, (long)((moment - (double)(time_t)moment) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {}
}

static void flush(rd_kafka_t *rk) {
    rd_kafka_resp_err_t error = rd_kafka_flush(rk, PATIENCE_MS);
    if (error) fail("%d records are not acknowledged: %s", rd_kafka_outq_len(rk), rd_kafka_err2str(error));
    if (refused) fail("%ld records were refused, the first: %s", refused, rd_kafka_err2str(first_refusal));
}

static void reported(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    if (message->err) refuse(message);
}

/* What was acknowledged at a moment. */
struct mark {
    double at, cpu;
    long acknowledged;
};

static struct mark mark(rd_kafka_t *rk, long sent) {
    return (struct mark){now(), cpu(), sent - rd_kafka_outq_len(rk)};
}

static void produce(void) {
    rd_kafka_conf_t *conf = producer_conf();
    rd_kafka_conf_set_dr_msg_cb(conf, reported);
    /* One report per record is the client's cost, not the broker's: only what fails is told. */
    /* Who is to know that a record is durable takes a report for each. */
    set(conf, "delivery.report.only.error", "false");
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *topic = open_topic(rk);
    const void *value = payload();
    char *keys = all_keys();
    static rd_kafka_message_t burst[BURST];
    /* At a rate, a hundredth of a second at a time. */
    int most = options.rate && options.rate / 100 < BURST ? (int)(options.rate / 100) + 1 : BURST;

    long sent = 0, turn = 0;
    int32_t partition = 0;
    double begin = now(), progress = begin;
    struct mark from = mark(rk, 0);
    bool warm = options.records > 0 || options.warmup <= 0;
    while (options.records ? sent < options.records : now() < begin + options.warmup + options.seconds) {
        if (!warm && now() >= begin + options.warmup) {
            from = mark(rk, sent);
            warm = true;
        }
        int count = most;
        if (options.records && options.records - sent < count) count = (int)(options.records - sent);
        for (int i = 0; i < count; i++) {
            burst[i] = (rd_kafka_message_t){
                .payload = (void *)value, .len = (size_t)options.record_size, .partition = partition};
            if (keys) {
                burst[i].key = keys + (size_t)((sent + i) % options.keys) * KEY_BYTES;
                burst[i].key_len = KEY_BYTES;
            }
            if (++turn == options.per_turn) {
                turn = 0;
                if (++partition == options.partitions) partition = 0;
            }
        }
        /* What does not fit waits for room; order within a partition does not matter here. */
        while (count) {
            /* Copied, as by most programs: the record is the program's own until it is sent. */
            int taken = rd_kafka_produce_batch(
                topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_PARTITION | RD_KAFKA_MSG_F_COPY, burst, count);
            sent += taken;
            if (taken == count) break;
            int left = 0;
            for (int i = 0; i < count; i++) {
                if (!burst[i].err) continue;
                if (burst[i].err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                    fail("a record was not taken: %s", rd_kafka_err2str(burst[i].err));
                burst[left] = burst[i];
                burst[left++].err = RD_KAFKA_RESP_ERR_NO_ERROR;
            }
            if (taken) progress = now();
            if (now() > progress + STALL_SECONDS) fail("nothing was acknowledged for %d s", STALL_SECONDS);
            count = left;
            rd_kafka_poll(rk, 1);
        }
        if (options.rate) sleep_until(begin + (double)sent / (double)options.rate);
        progress = now();
        rd_kafka_poll(rk, 0);
    }
    struct mark to = mark(rk, sent);
    flush(rk);
    /* A count is measured to its last acknowledgement, a span of time to its end. */
    if (options.records) to = mark(rk, sent);
    double seconds = to.at - from.at, rate = (double)(to.acknowledged - from.acknowledged) / seconds;
    printf("{\"mode\":\"produce\",\"records\":%ld,\"bytes\":%ld,\"seconds\":%.6f,"
           "\"records_per_second\":%.1f,\"mib_per_second\":%.3f,\"client_cpu_seconds\":%.3f,"
           "\"sent_records\":%ld,\"sent_bytes\":%ld}\n",
           to.acknowledged - from.acknowledged,
           (to.acknowledged - from.acknowledged) * options.record_size, seconds, rate,
           rate * options.record_size / (1 << 20), to.cpu - from.cpu, sent,
           sent * options.record_size);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
}

static float *samples_ms;
static long sample_count;
static double first_due; /* of the first record that counts */

static void timed(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk, (void)opaque;
    if (message->err) {
        refuse(message);
        return;
    }
    double due = *(double *)message->_private;
    if (due >= first_due && sample_count < MAX_SAMPLES)
        samples_ms[sample_count++] = (float)((now() - due) * 1e3);
}

static int ascending(const void *one, const void *other) {
    float a = *(const float *)one, b = *(const float *)other;
    return (a > b) - (a < b);
}

static float quantile(double share) {
    long at = (long)((double)sample_count * share);
    return samples_ms[at < sample_count ? at : sample_count - 1];
}

static volatile bool over;

static void *poll_reports(void *rk) {
    while (!over) rd_kafka_poll(rk, 10);
    return NULL;
}

static void latency(void) {
    options.linger_ms = 0;
    if (!options.rate) options.rate = 1000;
    rd_kafka_conf_t *conf = producer_conf();
    rd_kafka_conf_set_dr_msg_cb(conf, timed);
    rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, conf);
    rd_kafka_topic_t *topic = open_topic(rk);
    const void *value = payload();
    long count = (long)((options.warmup + options.seconds) * (double)options.rate);
    if (count <= 0 || count > MAX_SAMPLES) fail("%ld records; expected 1 to %d", count, MAX_SAMPLES);
    double *due = malloc((size_t)count * sizeof *due);
    samples_ms = malloc((size_t)count * sizeof *samples_ms);
    if (!due || !samples_ms) fail("no memory for %ld records", count);
    prctl(PR_SET_TIMERSLACK, 1); /* a nanosecond: wake when it is time */
    pthread_t poller;
    if (pthread_create(&poller, NULL, poll_reports, rk)) fail("no thread");

    double begin = now() + 0.01, cpu_before = cpu();
    first_due = begin + options.warmup;
    for (long i = 0; i < count; i++) {
        due[i] = begin + (double)i / (double)options.rate;
        sleep_until(due[i]);
        while (rd_kafka_produce(topic, (int32_t)(i % options.partitions), 0, (void *)value,
                                (size_t)options.record_size, NULL, 0, &due[i]))
            if (now() > due[i] + STALL_SECONDS) fail("nothing was acknowledged for %d s", STALL_SECONDS);
            else if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                fail("a record was not taken: %s", rd_kafka_err2str(rd_kafka_last_error()));
    }
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (double until = now() + STALL_SECONDS; rd_kafka_outq_len(rk) && now() < until;)
        error = rd_kafka_flush(rk, 10); /* the other thread polls as well */
    over = true;
    pthread_join(poller, NULL);
    if (error && rd_kafka_outq_len(rk)) fail("%d records are not acknowledged", rd_kafka_outq_len(rk));
    flush(rk);
    if (!sample_count) fail("no record after the warm-up");
    double seconds = now() - begin;
    qsort(samples_ms, (size_t)sample_count, sizeof *samples_ms, ascending);
    printf("{\"mode\":\"latency\",\"records\":%ld,\"records_per_second\":%.1f,\"p50_ms\":%.4f,"
           "\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"p999_ms\":%.4f,\"max_ms\":%.4f,"
           "\"client_cpu_seconds\":%.3f}\n",
           sample_count, (double)count / seconds, quantile(0.5), quantile(0.95), quantile(0.99),
           quantile(0.999), samples_ms[sample_count - 1], cpu() - cpu_before);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
}

/* ---- consume ------------------------------------------------------------------------------ */

struct consumer {
    pthread_t thread;
    long rate; /* records per second; 0 is as fast as it comes */
    long expected;
    atomic_long received; /* written by its own thread, after each call that took records */
    double done_at; /* when it had everything; 0 before */
};

static struct consumer consumers[MAX_CONSUMERS];
static int consumer_count, unlimited_count;
static volatile double began;    /* 0 until all are ready */
static volatile int ready_count, done_count;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* Every partition from its beginning; how many records they hold. */
static long look_up(rd_kafka_t *rk, rd_kafka_topic_partition_list_t **list, int64_t **next) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, options.topic, NULL);
    rd_kafka_resp_err_t error = rd_kafka_metadata(rk, 0, topic, &metadata, PATIENCE_MS);
    if (error) fail("%s: %s", options.topic, rd_kafka_err2str(error));
    int partitions = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
    *next = calloc((size_t)partitions + 1, sizeof **next);
    if (!*next) fail("no memory for %d partitions", partitions);
    *list = rd_kafka_topic_partition_list_new(partitions);
    long records = 0;
    for (int32_t i = 0; i < partitions; i++) {
        int64_t low, high;
        error = rd_kafka_query_watermark_offsets(rk, options.topic, i, &low, &high, PATIENCE_MS);
        if (error) fail("%s/%d: %s", options.topic, i, rd_kafka_err2str(error));
        rd_kafka_topic_partition_list_add(*list, options.topic, i)->offset = low;
        (*next)[i] = low;
        records += high - low;
    }
    return records;
}

/* Waits until `received` records are within the rate, or the run is over. */
static void hold_back(struct consumer *self) {
    double until = began + (double)self->received / (double)self->rate;
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    double wake = (double)at.tv_sec + (double)at.tv_nsec * 1e-9 + (until - now());
    at = (struct timespec){(time_t)wake, (long)((wake - (double)(time_t)wake) * 1e9)};
    pthread_mutex_lock(&mutex);
    while (!over && now() < until && pthread_cond_timedwait(&changed, &mutex, &at) != ETIMEDOUT) {}
    pthread_mutex_unlock(&mutex);
}

static void take(const rd_kafka_message_t *message, int64_t *next) {
    if (message->err) fail("reading: %s", rd_kafka_message_errstr(message));
    if (message->offset != next[message->partition])
        fail("partition %d: offset %" PRId64 " where %" PRId64 " was next", message->partition,
             message->offset, next[message->partition]);
    next[message->partition]++;
}

static void *run_consumer(void *argument) {
    struct consumer *self = argument;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "group.id", "bench");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.auto.offset.store", "false");
    set(conf, "fetch.message.max.bytes", "%d", options.fetch_bytes);
    set(conf, "fetch.max.bytes", "%d", options.fetch_bytes > 52428800 ? options.fetch_bytes : 52428800);
    set(conf, "receive.message.max.bytes", "%d", 200 << 20);
    set(conf, "queued.min.messages", "1000000");
    set(conf, "queued.max.messages.kbytes", "%d", options.queue_kbytes);
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(rk);

    int64_t *next;
    rd_kafka_topic_partition_list_t *list;
    self->expected = look_up(rk, &list, &next);
    if (options.records && options.records < self->expected) self->expected = options.records;
    pthread_mutex_lock(&mutex);
    if (++ready_count == consumer_count) began = now();
    pthread_cond_broadcast(&changed);
    while (began == 0) pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);

    /* Only now, all at the same time: who is first does not read alone, or ahead. */
    rd_kafka_resp_err_t error = rd_kafka_assign(rk, list);
    if (error) fail("assigning: %s", rd_kafka_err2str(error));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
    rd_kafka_message_t *messages[BURST];
    double progress = now();
    while (!over && self->received < self->expected) {
        size_t want = self->rate && self->rate < BURST ? 1 : BURST;
        ssize_t count = rd_kafka_consume_batch_queue(queue, 100, messages, want);
        for (ssize_t i = 0; i < count; i++) {
            take(messages[i], next);
            rd_kafka_message_destroy(messages[i]);
        }
        if (count > 0) self->received += count;
        if (count > 0) progress = now();
        else if (now() > progress + STALL_SECONDS) fail("nothing came for %d s", STALL_SECONDS);
        if (self->rate) hold_back(self);
    }
    pthread_mutex_lock(&mutex);
    if (self->received >= self->expected) self->done_at = now();
    if (!self->rate) done_count++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    rd_kafka_queue_destroy(queue);
    free(next);
    rd_kafka_destroy(rk);
    return NULL;
}

/* "40x0,1x1": forty consumers without a limit, and one that takes a record a second. */
static void parse_rates(const char *text) {
    while (*text) {
        int count, length;
        long rate;
        if (sscanf(text, "%dx%ld%n", &count, &rate, &length) != 2 || count < 1 || rate < 0)
            fail("--rates %s: expected COUNTxRATE, and more after commas", text);
        if (count > MAX_CONSUMERS - consumer_count) fail("more than %d consumers", MAX_CONSUMERS);
        for (int i = 0; i < count; i++) consumers[consumer_count++].rate = rate;
        if (!rate) unlimited_count += count;
        text += length;
        if (*text == ',') text++;
    }
    if (!unlimited_count) fail("--rates: expected at least one consumer without a limit (1x0)");
}

/* Until everyone without a limit has everything, or the time is over; holds the mutex. */
static void wait_for_readers(double seconds) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += (time_t)seconds;
    while (done_count < unlimited_count && pthread_cond_timedwait(&changed, &mutex, &at) != ETIMEDOUT) {}
}

/* Records so far, of all with a limit or of all without. */
static long received(bool limited) {
    long records = 0;
    for (int i = 0; i < consumer_count; i++)
        if ((consumers[i].rate > 0) == limited) records += consumers[i].received;
    return records;
}

static void consume(void) {
    parse_rates(options.rates);
    double cpu_before = cpu();
    for (int i = 0; i < consumer_count; i++)
        if (pthread_create(&consumers[i].thread, NULL, run_consumer, &consumers[i])) fail("no thread");
    pthread_mutex_lock(&mutex);
    while (began == 0) pthread_cond_wait(&changed, &mutex);
    double from = began;
    long before = 0;
    if (options.warmup > 0) {
        wait_for_readers(options.warmup);
        before = received(false);
        from = now();
    }
    wait_for_readers(options.seconds);
    double end = now();
    over = true;
    long unlimited = received(false) - before, limited = received(true);
    double last = 0;
    bool all = true;
    for (int i = 0; i < consumer_count; i++) {
        struct consumer *one = &consumers[i];
        if (one->rate) continue;
        all = all && one->done_at > 0;
        if (one->done_at > last) last = one->done_at;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    if (all && last <= from) fail("everything was read within the warm-up: write more");
    double seconds = (all ? last : end) - from, rate = (double)unlimited / seconds;
    printf("{\"mode\":\"consume\",\"records\":%ld,\"bytes\":%ld,\"seconds\":%.6f,"
           "\"records_per_second\":%.1f,\"mib_per_second\":%.3f,\"client_cpu_seconds\":%.3f,"
           "\"limited_records\":%ld,\"complete\":%s}\n",
           unlimited, unlimited * options.record_size, seconds, rate,
           rate * options.record_size / (1 << 20), cpu() - cpu_before, limited, all ? "true" : "false");
    fflush(stdout);
    for (int i = 0; i < consumer_count; i++) pthread_join(consumers[i].thread, NULL);
}

/* ---- command line ------------------------------------------------------------------------- */

static const char *usage =
    "usage: bench-client produce|consume|latency --bootstrap HOST:PORT [options]\n"
    "  --topic NAME         [bench]\n"
    "  --record-size N      bytes of each value [1024]; for consume, of those that were produced\n"
    "  --records N          a count; without it produce goes by time, consume to the end\n"
    "  --seconds N          [10] the most, for consume\n"
    "  --warmup N           seconds that do not count [1, for consume 0]\n"
    "  --partitions N       of the topic, written in turn [1]\n"
    "  --per-turn N         records to a partition before it is the next one's turn [1]\n"
    "  --linger-ms N        [5]\n"
    "  --batch-bytes N      [1000000]\n"
    "  --queue-messages N   that wait for their acknowledgement [200000]\n"
    "  --idempotence        enable.idempotence=true\n"
    "  --rate N             records a second; latency's [1000], produce without it has no limit\n"
    "  --config NAME=VALUE  of the topic, where it is created; may be repeated\n"
    "  --keys N             different keys, in turn; none without it\n"
    "  --rates LIST         of consume: COUNTxRECORDS_PER_SECOND,…; 0 is no limit [1x0]\n"
    "  --fetch-bytes N      of one partition in one answer [8388608]\n"
    "  --queue-kbytes N     that each consumer fetches ahead [262144]\n";

enum { BOOTSTRAP = 1, TOPIC, SIZE, RECORDS, SECONDS, WARMUP, PARTITIONS, PER_TURN, LINGER, BATCH,
       IDEMPOTENCE, RATE, RATES, FETCH, QUEUE, CONFIG, KEYS, MESSAGES };

static const struct option names[] = {
    {"bootstrap", 1, 0, BOOTSTRAP}, {"topic", 1, 0, TOPIC}, {"record-size", 1, 0, SIZE},
    {"records", 1, 0, RECORDS}, {"seconds", 1, 0, SECONDS}, {"warmup", 1, 0, WARMUP},
    {"partitions", 1, 0, PARTITIONS}, {"per-turn", 1, 0, PER_TURN}, {"linger-ms", 1, 0, LINGER},
    {"batch-bytes", 1, 0, BATCH}, {"idempotence", 0, 0, IDEMPOTENCE},
    {"rate", 1, 0, RATE}, {"rates", 1, 0, RATES}, {"fetch-bytes", 1, 0, FETCH},
    {"queue-kbytes", 1, 0, QUEUE}, {"config", 1, 0, CONFIG}, {"keys", 1, 0, KEYS},
    {"queue-messages", 1, 0, MESSAGES}, {0, 0, 0, 0},
};

static long number(long least) {
    char *end;
    errno = 0;
    long value = strtol(optarg, &end, 10);
    if (errno || *end || end == optarg || value < least || value > INT32_MAX * 1000L)
        fail("%s: expected a whole number from %ld on", optarg, least);
    return value;
}

static int small(long least) {
    long value = number(least);
    if (value > 1 << 30) fail("%ld: expected at most %d", value, 1 << 30);
    return (int)value;
}

static void parse(int count, char **words) {
    for (int option; (option = getopt_long(count, words, "", names, NULL)) != -1;) {
        switch (option) {
        case BOOTSTRAP: options.bootstrap = optarg; break;
        case TOPIC: options.topic = optarg; break;
        case SIZE: options.record_size = small(0); break;
        case RECORDS: options.records = number(1); break;
        case SECONDS: options.seconds = (double)number(1); break;
        case WARMUP: options.warmup = (double)number(0); break;
        case PARTITIONS: options.partitions = small(1); break;
        case PER_TURN: options.per_turn = small(1); break;
        case LINGER: options.linger_ms = small(0); break;
        case BATCH: options.batch_bytes = small(1); break;
        case IDEMPOTENCE: options.idempotence = true; break;
        case RATE: options.rate = number(1); break;
        case RATES: options.rates = optarg; break;
        case FETCH: options.fetch_bytes = small(1); break;
        case QUEUE: options.queue_kbytes = small(1); break;
        case MESSAGES: options.queue_messages = small(1); break;
        case KEYS: options.keys = small(1); break;
        case CONFIG:
            if (options.config_count == 16) fail("more than 16 times --config");
            options.configs[options.config_count++] = optarg;
            break;
        default: fputs(usage, stderr); exit(2);
        }
    }
}

int main(int count, char **words) {
    parse(count, words);
    const char *mode = optind + 1 == count ? words[optind] : "";
    bool known = !strcmp(mode, "produce") || !strcmp(mode, "consume") || !strcmp(mode, "latency");
    if (!known || !options.bootstrap) {
        fputs(usage, stderr);
        return 2;
    }
    if (options.warmup < 0) options.warmup = strcmp(mode, "consume") ? 1 : 0;
    if (!strcmp(mode, "produce")) produce();
    else if (!strcmp(mode, "consume")) consume();
    else latency();
    return 0;
}
