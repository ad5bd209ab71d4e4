//! What the server counts, in Prometheus' text format.
//!
//! Names begin with `factum_`, carry their unit, and stay what they are. The doors count here as
//! they work; rooms that keep plain numbers of their own are asked for [`Reading`]s at scrape
//! time, so that they need not know of any format.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The media type of [`Metrics::encode`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the latency histograms, in seconds: from a read out of memory to a long poll.
const LATENCY_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A number that a room keeps itself, as it is at scrape time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    name: &'static str,
    help: &'static str,
    value: Value,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Counter(u64),
    Seconds(f64),
    Gauge(f64),
}

impl Reading {
    /// A number that only grows. The name is without `_total`, which the format adds.
    pub(crate) const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, value: Value::Counter(value) }
    }

    /// Time that was spent and only grows. The name ends in `_seconds`.
    pub(crate) const fn spent(name: &'static str, help: &'static str, time: Duration) -> Self {
        Self { name, help, value: Value::Seconds(time.as_secs_f64()) }
    }

    /// A number that comes and goes.
    pub(crate) const fn gauge(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, value: Value::Gauge(value) }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.value {
            Value::Counter(_) | Value::Seconds(_) => MetricType::Counter,
            Value::Gauge(_) => MetricType::Gauge,
        };
        let metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        match self.value {
            Value::Counter(value) => ConstCounter::new(value).encode(metric),
            Value::Seconds(value) => ConstCounter::new(value).encode(metric),
            Value::Gauge(value) => ConstGauge::new(value).encode(metric),
        }
    }
}

/// The counters of the doors, and where all metrics are written out.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    http_requests: Family<HttpLabels, Counter>,
    http_seconds: Family<RouteLabels, Histogram>,
    http_followers: Gauge,
    http_connections: Gauge,
    events_published: Counter,
    events_read: Counter,
    kafka_requests: Family<KafkaLabels, Counter>,
    kafka_seconds: Family<ApiLabels, Histogram>,
    kafka_connections: Gauge,
    kafka_connections_opened: Counter,
    kafka_received: Counter,
    kafka_sent: Counter,
    kafka_authentications: Family<AuthenticationLabels, Counter>,
    kafka_held_back: Family<QuotaLabels, Counter>,
    kafka_held_back_seconds: Counter<f64, AtomicU64>,
    tls_handshakes_failed: Family<ReasonLabels, Counter>,
    tls_reloads_failed: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KafkaLabels {
    api: &'static str,
    error: i16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    api: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuotaLabels {
    quota: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuthenticationLabels {
    mechanism: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl Metrics {
    /// Metrics that count from zero.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("factum")),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(latency),
            http_followers: Gauge::default(),
            http_connections: Gauge::default(),
            events_published: Counter::default(),
            events_read: Counter::default(),
            kafka_requests: Family::default(),
            kafka_seconds: Family::new_with_constructor(latency),
            kafka_connections: Gauge::default(),
            kafka_connections_opened: Counter::default(),
            kafka_received: Counter::default(),
            kafka_sent: Counter::default(),
            kafka_authentications: Family::default(),
            kafka_held_back: Family::default(),
            kafka_held_back_seconds: Counter::default(),
            tls_handshakes_failed: Family::default(),
            tls_reloads_failed: Counter::default(),
        };
        metrics.register_http();
        metrics.register_kafka();
        metrics.register_security();
        metrics
    }

    fn register_http(&self) {
        let registry = &mut *self.registry.lock();
        let requests = self.http_requests.clone();
        registry.register("http_requests", "HTTP requests that were answered", requests);
        registry.register_with_unit(
            "http_request_duration",
            "Time from the head of an HTTP request to the head of its answer",
            Unit::Seconds,
            self.http_seconds.clone(),
        );
        let followers = self.http_followers.clone();
        registry.register("http_followers", "Event streams that are open", followers);
        let connections = self.http_connections.clone();
        registry.register("http_connections", "HTTP connections that are open", connections);
        let published = self.events_published.clone();
        registry.register("http_events_published", "Events appended through HTTP", published);
        let read = self.events_read.clone();
        registry.register("http_events_read", "Events answered through HTTP", read);
    }

    fn register_kafka(&self) {
        let registry = &mut *self.registry.lock();
        registry.register(
            "kafka_requests",
            "Kafka requests that were answered, by the error code of the answer; 0 is none",
            self.kafka_requests.clone(),
        );
        registry.register_with_unit(
            "kafka_request_duration",
            "Time from a whole Kafka request to its answer, long polls included",
            Unit::Seconds,
            self.kafka_seconds.clone(),
        );
        let connections = self.kafka_connections.clone();
        registry.register("kafka_connections", "Kafka connections that are open", connections);
        let opened = self.kafka_connections_opened.clone();
        registry.register("kafka_connections_opened", "Kafka connections accepted", opened);
        registry.register_with_unit(
            "kafka_received",
            "Bytes that came in Kafka requests",
            Unit::Bytes,
            self.kafka_received.clone(),
        );
        registry.register_with_unit(
            "kafka_sent",
            "Bytes that went out in Kafka answers",
            Unit::Bytes,
            self.kafka_sent.clone(),
        );
    }

    fn register_security(&self) {
        let registry = &mut *self.registry.lock();
        registry.register(
            "kafka_authentications",
            "Logins of Kafka clients, by mechanism and how they ended",
            self.kafka_authentications.clone(),
        );
        registry.register(
            "kafka_held_back",
            "Answers after which a client was held back, by the quota that it exceeded",
            self.kafka_held_back.clone(),
        );
        registry.register_with_unit(
            "kafka_held_back",
            "Time for which clients were not read from, as they had exceeded a quota",
            Unit::Seconds,
            self.kafka_held_back_seconds.clone(),
        );
        registry.register(
            "tls_handshakes_failed",
            "TLS handshakes that did not lead to a connection",
            self.tls_handshakes_failed.clone(),
        );
        registry.register(
            "tls_reloads_failed",
            "Times that changed TLS files could not be used; the log says why",
            self.tls_reloads_failed.clone(),
        );
    }

    /// Asks `source` at each scrape. A reading's name is without `factum_`, which is added.
    pub(crate) fn observe(&self, source: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
        self.registry.lock().register_collector(Box::new(Source(source)));
    }

    /// Everything in the text format of [`MEDIA_TYPE`].
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }

    /// An HTTP request was answered. `route` is the pattern, never the path that came.
    pub(crate) fn http_request(
        &self,
        method: &'static str,
        route: &str,
        status: u16,
        took: Duration,
    ) {
        let labels = HttpLabels { method, route: route.to_owned(), status };
        self.http_requests.get_or_create(&labels).inc();
        let labels = RouteLabels { method, route: route.to_owned() };
        self.http_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// An HTTP connection is open for as long as the answer is kept.
    pub(crate) fn http_connection(&self) -> Open {
        Open::new(&self.http_connections)
    }

    /// An event stream is open for as long as the answer is kept.
    pub(crate) fn http_follower(&self) -> Open {
        Open::new(&self.http_followers)
    }

    /// Events were appended through HTTP.
    pub(crate) fn http_published(&self, events: usize) {
        self.events_published.inc_by(events as u64);
    }

    /// Events were answered through HTTP.
    pub(crate) fn http_read(&self, events: u64) {
        self.events_read.inc_by(events);
    }

    /// A Kafka request was answered; `error` is the answer's code, 0 for none.
    pub(crate) fn kafka_request(&self, api: &'static str, error: i16, took: Duration) {
        self.kafka_requests.get_or_create(&KafkaLabels { api, error }).inc();
        self.kafka_seconds.get_or_create(&ApiLabels { api }).observe(took.as_secs_f64());
    }

    /// A Kafka client has connected.
    pub(crate) fn kafka_connection_opened(&self) {
        self.kafka_connections.inc();
        self.kafka_connections_opened.inc();
    }

    /// A Kafka client has gone.
    pub(crate) fn kafka_connection_closed(&self) {
        self.kafka_connections.dec();
    }

    /// A Kafka client is held back, as it has had more than its quota.
    pub(crate) fn kafka_held_back(&self, quota: &'static str) {
        self.kafka_held_back.get_or_create(&QuotaLabels { quota }).inc();
    }

    /// A Kafka client will not be read from for so long.
    pub(crate) fn kafka_held_back_for(&self, time: Duration) {
        self.kafka_held_back_seconds.inc_by(time.as_secs_f64());
    }

    /// A Kafka client has tried to log in.
    pub(crate) fn kafka_authentication(&self, mechanism: &'static str, succeeded: bool) {
        let result = if succeeded { "success" } else { "failure" };
        self.kafka_authentications.get_or_create(&AuthenticationLabels { mechanism, result }).inc();
    }

    /// A TLS handshake led to no connection.
    pub(crate) fn tls_handshake_failed(&self, reason: &'static str) {
        self.tls_handshakes_failed.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Changed TLS files could not be used.
    pub(crate) fn tls_reload_failed(&self) {
        self.tls_reloads_failed.inc();
    }

    /// Bytes came from Kafka clients.
    pub(crate) fn kafka_bytes_received(&self, bytes: u64) {
        self.kafka_received.inc_by(bytes);
    }

    /// Bytes went to Kafka clients.
    pub(crate) fn kafka_bytes_sent(&self, bytes: u64) {
        self.kafka_sent.inc_by(bytes);
    }
}

/// Something that counts as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn latency() -> Histogram {
    Histogram::new(LATENCY_SECONDS)
}

struct Source<F>(F);

impl<F> fmt::Debug for Source<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

impl<F: Fn() -> Vec<Reading> + Send + Sync + 'static> Collector for Source<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)().iter().try_for_each(|reading| reading.encode(&mut encoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_doors_are_written_with_their_labels_and_units() {
        let metrics = Metrics::new();
        metrics.kafka_request("Produce", 0, Duration::from_millis(3));
        metrics.http_request("GET", "/topics/{topic}", 404, Duration::from_micros(10));
        metrics.kafka_bytes_sent(12);
        let text = metrics.encode().expect("text takes everything");
        for line in [
            "factum_kafka_requests_total{api=\"Produce\",error=\"0\"} 1",
            "factum_kafka_request_duration_seconds_bucket{le=\"0.005\",api=\"Produce\"} 1",
            "factum_kafka_sent_bytes_total 12",
            "factum_http_requests_total{method=\"GET\",route=\"/topics/{topic}\",status=\"404\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn readings_are_taken_at_each_scrape() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let metrics = Metrics::new();
        let flushes = AtomicU64::new(0);
        metrics.observe(move || {
            let flushes = flushes.fetch_add(1, Ordering::Relaxed);
            vec![
                Reading::counter("log_flushes", "Flushes", flushes),
                Reading::gauge("log_queue_bytes", "Queued", 1.5),
                Reading::spent("log_flush_seconds", "Time", Duration::from_millis(250)),
            ]
        });
        metrics.encode().expect("text takes everything");
        let text = metrics.encode().expect("text takes everything");
        for line in [
            "factum_log_flushes_total 1",
            "factum_log_queue_bytes 1.5",
            "factum_log_flush_seconds_total 0.25",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_open_is_counted_until_it_is_dropped() {
        let metrics = Metrics::new();
        let open = metrics.http_follower();
        assert!(metrics.encode().expect("text").contains("factum_http_followers 1\n"));
        drop(open);
        assert!(metrics.encode().expect("text").contains("factum_http_followers 0\n"));
    }
}
