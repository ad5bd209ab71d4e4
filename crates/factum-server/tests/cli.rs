//! The binary as people and scripts use it: a real server, real pipes, real exit codes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const FACTUM: &str = env!("CARGO_BIN_EXE_factum");

fn factum() -> Command {
    let mut command = Command::new(FACTUM);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FACTUM_")) {
        command.env_remove(name);
    }
    command
}

/// A server on free ports; killed when dropped.
struct Server {
    process: Child,
    _stdout: BufReader<ChildStdout>,
    ready: Value,
}

impl Server {
    fn start(data: &Path) -> Self {
        Self::start_on(data, "127.0.0.1:0")
    }

    fn start_on(data: &Path, http: &str) -> Self {
        let mut process = factum()
            .args(["serve", "--output", "json", "--kafka", "127.0.0.1:0", "--http", http])
            .args(["--group-initial-rebalance-delay-ms", "0", "--data"])
            .arg(data)
            .current_dir(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).expect("one line of JSON says where it listens");
        Self { process, _stdout: stdout, ready }
    }

    fn url(&self) -> String {
        format!("http://{}", self.ready["http"].as_str().unwrap())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.spawn(arguments);
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || {
            // A command that stops at a bad line does not read the rest.
            let _ = stdin.write_all(input.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        factum()
            .args(arguments)
            .args(["--server", &self.url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The JSON that a command prints, which must succeed.
    fn json(&self, arguments: &[&str]) -> Value {
        success(&self.run(arguments))
    }

    fn stop(mut self) -> bool {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn success(output: &Output) -> Value {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

fn lines(output: &Output) -> Vec<Value> {
    let err = text(&output.stderr);
    assert!(output.status.success(), "{:?}\n{err}", output.status);
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The error that a command prints as JSON, with its exit code.
fn failure(output: &Output) -> (i32, Value) {
    let err = text(&output.stderr);
    let last = err.lines().last().unwrap_or_default();
    let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("no JSON: {err}"));
    (output.status.code().unwrap(), error["error"].clone())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn numbered(count: usize) -> String {
    (0..count)
        .map(|n| {
            let event = json!({"id": n.to_string(), "source": "/t", "type": "counted",
                "subject": format!("s{}", n % 3), "data": {"n": n, "text": "x".repeat(100)}});
            format!("{event}\n")
        })
        .collect()
}

fn server() -> (TempDir, Server) {
    let data = TempDir::new().unwrap();
    let server = Server::start(data.path());
    (data, server)
}

#[test]
fn a_server_says_where_it_listens_and_stops_gracefully() {
    let (data, server) = server();
    assert!(server.ready["kafka"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(server.ready["recovery"]["truncated"], Value::Null);
    assert_eq!(server.ready["data"], json!(data.path()));
    assert!(server.stop(), "SIGTERM ends it with success");
}

#[test]
fn what_was_published_is_there_after_a_kill() {
    let (data, server) = server();
    server.json(&["topic", "create", "t"]);
    success(&server.run_with(&["publish", "t"], &numbered(100)));
    drop(server);
    let server = Server::start(data.path());
    assert_eq!(lines(&server.run(&["read", "t"])).len(), 100);
}

#[test]
fn a_second_server_on_the_same_data_is_refused_with_the_reason() {
    let (data, _server) = server();
    let output = factum()
        .args(["serve", "--output", "json", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .arg("--data")
        .arg(data.path())
        .output()
        .unwrap();
    let (code, error) = failure(&output);
    assert_eq!((code, &error["code"]), (1, &json!("serve")), "{error}");
}

#[test]
fn topics_are_created_listed_grown_and_deleted() {
    let (_data, server) = server();
    let created = server.json(&["topic", "create", "orders", "--partitions", "2"]);
    assert_eq!(created["partitions"].as_array().unwrap().len(), 2);
    let (code, error) = failure(&server.run(&["topic", "create", "orders"]));
    assert_eq!((code, &error["code"]), (1, &json!("topic-exists")));
    assert_eq!(server.json(&["topic", "list"])["topics"][0]["name"], "orders");
    let grown = server.json(&["topic", "grow", "orders", "--partitions", "5"]);
    assert_eq!(grown["partitions"].as_array().unwrap().len(), 5);
    let text = text(&server.run(&["topic", "describe", "orders", "--output", "text"]).stdout);
    assert!(text.contains("partition") && text.contains("orders"), "{text}");
    let (code, error) = failure(&server.run(&["topic", "delete", "orders"]));
    assert_eq!((code, &error["code"]), (2, &json!("usage")), "nobody can be asked");
    assert_eq!(server.json(&["topic", "delete", "orders", "--yes"]), json!({"deleted": "orders"}));
    let (code, error) = failure(&server.run(&["topic", "describe", "orders"]));
    assert_eq!((code, &error["code"]), (1, &json!("unknown-topic")));
}

#[test]
fn topics_are_configured_and_trimmed() {
    let (_data, server) = server();
    server.json(&["topic", "create", "orders", "--config", "segment.ms=5"]);
    server.run_with(&["publish", "orders"], &numbered(10));
    let both = ["--set", "retention.ms=-1", "--unset", "segment.ms"];
    let configured = server.json(&[&["topic", "configure", "orders"][..], &both].concat());
    assert_eq!(configured["configs"], json!({"retention.ms": "-1"}));
    let refused = server.run(&["topic", "configure", "orders", "--set", "retention.ms=x"]);
    assert_eq!(failure(&refused).0, 1);
    assert_eq!(server.run(&["topic", "configure", "orders"]).status.code(), Some(2));
    let described = server.json(&["topic", "describe", "orders"]);
    let settings = described["settings"].as_array().unwrap();
    let retention = settings.iter().find(|setting| setting["name"] == "retention.ms").unwrap();
    assert_eq!((&retention["value"], &retention["source"]), (&json!("-1"), &json!("topic")));
    let shown = text(&server.run(&["topic", "describe", "orders", "--output", "text"]).stdout);
    assert!(shown.contains("segment.ms") && shown.contains("604800000"), "{shown}");
    let trim = ["topic", "trim", "orders", "--partition", "0", "--before"];
    let trim = |before| [&trim[..], &[before]].concat();
    let (code, error) = failure(&server.run(&trim("4")));
    assert_eq!((code, &error["code"]), (2, &json!("usage")), "nobody can be asked");
    let start = |answer: &Value| answer["partitions"][0]["start"].clone();
    assert_eq!(start(&server.json(&[trim("4"), vec!["--yes"]].concat())), 4);
    assert_eq!(failure(&server.run(&[trim("11"), vec!["--yes"]].concat())).0, 1);
    assert_eq!(start(&server.json(&[trim("end"), vec!["--yes"]].concat())), 10);
}

#[test]
fn one_event_from_flags_is_read_back_equal() {
    let (_data, server) = server();
    server.json(&["topic", "create", "orders"]);
    let position = server.json(&[
        "publish",
        "orders",
        "--type",
        "order.placed",
        "--source",
        "/shop",
        "--id",
        "e-1",
        "--subject",
        "order/7",
        "--time",
        "2026-01-31T12:00:00Z",
        "--data",
        r#"{"total":12.50}"#,
        "--correlation-id",
        "c-1",
        "--causation-id",
        "e-0",
        "--extension",
        "tenant=acme",
    ]);
    assert_eq!(position, json!({"topic": "orders", "partition": 0, "offset": 0, "id": "e-1"}));
    let output = server.run(&["read", "orders"]);
    assert!(text(&output.stdout).contains(r#""data":{"total":12.50}"#), "data to the byte");
    let event = &lines(&output)[0];
    for (name, value) in [
        ("type", "order.placed"),
        ("source", "/shop"),
        ("id", "e-1"),
        ("subject", "order/7"),
        ("time", "2026-01-31T12:00:00Z"),
        ("correlationid", "c-1"),
        ("causationid", "e-0"),
        ("tenant", "acme"),
        ("factumtopic", "orders"),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    let shown = text(&server.run(&["read", "orders", "--output", "text"]).stdout);
    assert!(
        shown.starts_with("2026-01-31T12:00:00Z  orders/0@0  order.placed  order/7\n"),
        "{shown}"
    );
}

#[test]
fn lines_from_a_pipe_keep_their_order_and_can_be_filtered() {
    let (_data, server) = server();
    server.json(&["topic", "create", "t"]);
    let summary = success(&server.run_with(&["publish", "t"], &numbered(2500)));
    assert_eq!((&summary["published"], &summary["last_line"]), (&json!(2500), &json!(2500)));
    let events = lines(&server.run(&["read", "t"]));
    let numbers: Vec<u64> =
        events.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..2500).collect::<Vec<_>>());
    let some =
        lines(&server.run(&["read", "t", "--subject", "s1", "--limit", "3", "--from", "100"]));
    let ids: Vec<&str> = some.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["100", "103", "106"]);
    assert!(lines(&server.run(&["read", "t", "--from", "end"])).is_empty());
    // What was read can be published again.
    server.json(&["topic", "create", "copy"]);
    let copied = text(&server.run(&["read", "t"]).stdout);
    let summary = success(&server.run_with(&["publish", "copy"], &copied));
    assert_eq!(summary["published"], 2500);
}

#[test]
fn a_bad_line_stops_with_its_number_unless_it_may_be_skipped() {
    let (_data, server) = server();
    server.json(&["topic", "create", "t"]);
    let input = format!("{}{}\n{}", numbered(3), r#"{"type":"no source"}"#, numbered(2));
    let output = server.run_with(&["publish", "t"], &input);
    let (code, error) = failure(&output);
    assert_eq!((code, &error["code"]), (1, &json!("invalid-line")));
    assert!(error["message"].as_str().unwrap().starts_with("line 4: "), "{error}");
    let summary = success(&server.run_with(&["publish", "t", "--skip-invalid"], &input));
    assert_eq!((&summary["published"], &summary["skipped"]), (&json!(5), &json!(1)));
}

#[test]
fn rows_of_a_csv_become_events() {
    let (data, server) = server();
    server.json(&["topic", "create", "quakes"]);
    let file = data.path().join("quakes.csv");
    std::fs::write(&file, "id,time,mag,place\nus1,2018-01-31T01:00:00.5Z,2.5,\"Big, Lake\"\n")
        .unwrap();
    let summary = server.json(&[
        "publish",
        "quakes",
        file.to_str().unwrap(),
        "--format",
        "csv",
        "--type",
        "quake.observed",
        "--source",
        "/usgs",
        "--id-column",
        "id",
        "--time-column",
        "time",
        "--subject-column",
        "place",
    ]);
    assert_eq!(summary["published"], 1);
    let event = &lines(&server.run(&["read", "quakes"]))[0];
    assert_eq!((&event["id"], &event["subject"]), (&json!("us1"), &json!("Big, Lake")));
    assert_eq!(
        (&event["time"], &event["data"]),
        (&json!("2018-01-31T01:00:00.5Z"), &json!({"mag": 2.5}))
    );
}

#[test]
fn a_follower_goes_on_after_a_restart_without_gap_or_double() {
    let data = TempDir::new().unwrap();
    let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Server::start_on(data.path(), &http);
    server.json(&["topic", "create", "t", "--partitions", "2"]);
    success(&server.run_with(&["publish", "t"], &numbered(20)));
    let mut follower = server.spawn(&["read", "t", "--follow", "--from", "start", "--limit", "40"]);
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    let mut ids = Vec::new();
    let mut next = |ids: &mut Vec<String>| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        ids.push(
            event["time"].to_string()
                + &event["factumpartition"].to_string()
                + &event["factumoffset"].to_string(),
        );
    };
    (0..20).for_each(|_| next(&mut ids));
    assert!(server.stop());
    let server = Server::start_on(data.path(), &http);
    success(&server.run_with(&["publish", "t"], &numbered(20)));
    (0..20).for_each(|_| next(&mut ids));
    assert!(follower.wait().unwrap().success());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (_data, server) = server();
    server.json(&["topic", "create", "t"]);
    success(&server.run_with(&["publish", "t"], &numbered(3000)));
    let mut reader = server.spawn(&["read", "t"]);
    let mut out = reader.stdout.take().unwrap();
    out.read_exact(&mut [0; 10]).unwrap();
    drop(out);
    let output = reader.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn groups_are_moved_described_and_deleted() {
    let (_data, server) = server();
    server.json(&["topic", "create", "orders"]);
    success(&server.run_with(&["publish", "orders"], &numbered(10)));
    let (code, error) = failure(&server.run(&["group", "describe", "billing"]));
    assert_eq!((code, &error["code"]), (1, &json!("unknown-group")));
    server.json(&["group", "reset", "billing", "--topic", "orders", "--to", "4"]);
    let group = server.json(&["group", "describe", "billing"]);
    assert_eq!(
        group["offsets"],
        json!([{"topic": "orders", "partition": 0, "offset": 4, "lag": 6}])
    );
    let shown = text(&server.run(&["group", "describe", "billing", "--output", "text"]).stdout);
    assert!(shown.contains("lag") && shown.contains("total"), "{shown}");
    assert_eq!(server.json(&["group", "list"])["groups"][0]["name"], "billing");
    server.json(&["group", "delete", "billing", "--yes"]);
    assert_eq!(server.json(&["group", "list"])["groups"], json!([]));
}

#[test]
fn bench_measures_producing_consuming_and_latency() {
    let (_data, server) = server();
    let broker = server.ready["kafka"].as_str().unwrap();
    for (index, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].iter().enumerate() {
        let report = server.json(&[
            "bench",
            "produce",
            "--bootstrap",
            broker,
            "--records",
            "3001",
            "--partitions",
            "3",
            "--connections",
            "2",
            "--compression",
            codec,
            "--batch-size",
            "4KiB",
        ]);
        assert_eq!(report["sent"]["acknowledged"], 3001, "{codec}");
        let read = server.json(&["bench", "consume", "--bootstrap", broker, "--connections", "2"]);
        assert_eq!(read["records"], 3001 * (index + 1), "{codec}");
    }
    let report = server.json(&[
        "bench",
        "latency",
        "--bootstrap",
        broker,
        "--rate",
        "500",
        "--records",
        "250",
        "--end-to-end",
        "--topic",
        "latency",
    ]);
    assert_eq!(report["sent"]["acknowledged"], 250);
    for latency in &report["latencies"].as_array().unwrap()[..2] {
        assert_eq!(latency["count"], 250, "{latency}");
        assert!(latency["p50"].as_f64().unwrap() > 0.0);
    }
    let shown = server.run(&["bench", "consume", "--bootstrap", broker, "--output", "text"]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("records/s") && shown.contains("p99.9"), "{shown}");
}

#[test]
fn bench_of_a_topic_that_is_missing_says_what_to_do() {
    let (_data, server) = server();
    let broker = server.ready["kafka"].as_str().unwrap();
    let output = server.run(&["bench", "consume", "--bootstrap", broker, "--topic", "none"]);
    let (code, error) = failure(&output);
    assert_eq!((code, &error["code"]), (1, &json!("refused")));
    assert!(error["advice"].as_str().unwrap().contains("bench produce"), "{error}");
}

#[test]
fn wrong_usage_is_exit_code_2_and_nothing_there_is_exit_code_1() {
    let run = |arguments: &[&str]| failure(&factum().args(arguments).output().unwrap());
    assert_eq!(run(&["topic", "create", "a/b", "--output", "json"]).0, 2);
    assert_eq!(run(&["no-such-command", "--output=json"]).1["code"], "usage");
    let open = ["serve", "--output", "json", "--http", "0.0.0.0:0", "--kafka", "127.0.0.1:0"];
    let (code, error) = run(&open);
    assert_eq!(code, 2);
    assert!(error["message"].as_str().unwrap().contains("--insecure-listen"), "{error}");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, error) = run(&["topic", "list", "--server", &format!("http://{free}")]);
    assert_eq!((code, &error["code"]), (1, &json!("unreachable")));
}

#[test]
fn configuration_comes_from_file_then_environment_then_flags() {
    let data = TempDir::new().unwrap();
    std::fs::write(data.path().join("factum.toml"), "http = '0.0.0.0:1'\nkafka = '10.0.0.1:1'\n")
        .unwrap();
    let serve = |flags: &[&str]| {
        let output = factum()
            .args(["serve", "--output", "json"])
            .args(flags)
            .env("FACTUM_KAFKA", "10.0.0.2:2")
            .current_dir(data.path())
            .output()
            .unwrap();
        failure(&output).1["message"].as_str().unwrap().to_owned()
    };
    assert!(serve(&[]).contains("10.0.0.2:2"), "the environment wins over the file");
    assert!(serve(&["--kafka", "10.0.0.3:3"]).contains("10.0.0.3:3"), "a flag wins over both");
    assert!(serve(&["--kafka", "127.0.0.1:0"]).contains("0.0.0.0:1"), "the file over the default");
    std::fs::write(data.path().join("factum.toml"), "data = 'x'\nhtpp = 'y'\n").unwrap();
    let error = serve(&[]);
    assert!(error.contains("line 2") && error.contains("htpp"), "{error}");
}
