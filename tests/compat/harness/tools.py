"""Apache Kafka's command-line tools, as its users and their scripts call them."""

import json
import re
import subprocess

CLIENT = "kafka-tools"
RUN_S = 120
RECORDS = 20_000
LINES = 50
PACKAGE = "org.apache.kafka.tools"
TOOLS = {
    "kafka-topics": f"{PACKAGE}.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups": f"{PACKAGE}.consumer.group.ConsumerGroupCommand",
    "kafka-groups": f"{PACKAGE}.GroupsCommand",
    "kafka-console-producer": f"{PACKAGE}.ConsoleProducer",
    "kafka-console-consumer": f"{PACKAGE}.consumer.ConsoleConsumer",
    "kafka-producer-perf-test": f"{PACKAGE}.ProducerPerformance",
    "kafka-consumer-perf-test": f"{PACKAGE}.ConsumerPerformance",
    "kafka-get-offsets": f"{PACKAGE}.GetOffsetShell",
    "kafka-delete-records": f"{PACKAGE}.DeleteRecordsCommand",
    "kafka-log-dirs": f"{PACKAGE}.LogDirsCommand",
    "kafka-broker-api-versions": f"{PACKAGE}.BrokerApiVersionsCommand",
    "kafka-cluster": f"{PACKAGE}.ClusterTool",
    "kafka-features": f"{PACKAGE}.FeatureCommand",
    "kafka-metadata-quorum": f"{PACKAGE}.MetadataQuorumCommand",
    "kafka-leader-election": f"{PACKAGE}.LeaderElectionCommand",
    "kafka-reassign-partitions": f"{PACKAGE}.reassign.ReassignPartitionsCommand",
    "kafka-transactions": f"{PACKAGE}.TransactionsCommand",
    "kafka-acls": f"{PACKAGE}.AclCommand",
    "kafka-verifiable-producer": f"{PACKAGE}.VerifiableProducer",
    "kafka-verifiable-consumer": f"{PACKAGE}.VerifiableConsumer",
}
BROKER_FIRST = {"kafka-features", "kafka-metadata-quorum", "kafka-transactions"}


def holds(text, *patterns):
    for pattern in patterns:
        if not re.search(pattern, text, re.M):
            raise AssertionError(f"nothing like {pattern!r} in {text[-600:]!r}")


def rows(table):
    """The lines of a printed table as dictionaries, by its headings."""
    lines = [line.split() for line in table.splitlines() if line.strip()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


class Tools:
    def __init__(self, suite):
        self.suite = suite
        self.topic, self.lines, self.verified = (f"{name}-{suite.tag}" for name in ("tools", "lines", "verified"))
        self.group = f"tools-group-{suite.tag}"

    def start(self, tool, arguments, stdin):
        command = [*self.suite.commands[CLIENT], TOOLS[tool]]
        broker = ["--bootstrap-server", self.suite.broker.bootstrap]
        # Some take it only before their subcommand, some only after it, one not at all.
        if tool in BROKER_FIRST:
            command += broker
        command += arguments
        if tool not in BROKER_FIRST and tool != "kafka-producer-perf-test":
            command += broker
        with open(self.suite.client_log(CLIENT), "a", encoding="utf-8") as log:
            log.write(f"{tool} {' '.join(arguments)}\n")
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=RUN_S)
            log.write(done.stdout + done.stderr)
        return done

    def run(self, tool, *arguments, stdin=""):
        """What the tool prints; it must succeed."""
        done = self.start(tool, arguments, stdin)
        if done.returncode or "Exception" in done.stdout + done.stderr:
            raise AssertionError(f"{tool} {' '.join(arguments)}: {done.returncode}, {(done.stdout + done.stderr)[-900:]}")
        return done.stdout

    def refused(self, tool, *arguments, why):
        done = self.start(tool, arguments, "")
        holds(done.stdout + done.stderr, why)

    def check(self, name, body):
        return self.suite.report.check(CLIENT, "tools", name, body, self.suite.logs(CLIENT))

    def all(self):
        if not self.check("kafka-topics", self.topics):
            return
        self.check("kafka-*-perf-test, kafka-get-offsets", self.performance)
        self.check("kafka-console-*", self.console)
        self.check("kafka-verifiable-*", self.verifiable)
        self.check("kafka-consumer-groups, kafka-groups", self.groups)
        self.check("kafka-configs", self.configs)
        self.check("kafka-delete-records, kafka-log-dirs", self.records)
        self.check("kafka-transactions", self.transactions)
        self.check("tools for a cluster", self.cluster)
        self.check("kafka-acls, kafka-configs for users", self.access)
        self.check("kafka-configs for quotas", self.quotas)
        self.check("kafka-topics --delete", self.delete)

    def topics(self):
        create = ["--create", "--topic", self.topic, "--partitions", "3", "--replication-factor", "1"]
        create += ["--config", "retention.ms=360000000", "--config", "compression.type=lz4"]
        create += ["--config", "file.delete.delay.ms=1000"]
        holds(self.run("kafka-topics", *create), f"Created topic {self.topic}")
        self.refused("kafka-topics", *create, why="exist")
        holds(self.run("kafka-topics", "--list", "--exclude-internal"), f"^{self.topic}$")
        described = self.run("kafka-topics", "--describe", "--topic", self.topic)
        holds(described, "PartitionCount: 3", "compression.type=lz4", "retention.ms=360000000")
        self.run("kafka-topics", "--alter", "--topic", self.topic, "--partitions", "5")
        described = self.run("kafka-topics", "--describe", "--topic", self.topic)
        holds(described, "PartitionCount: 5", r"Partition: 4\s+Leader: 1\s+Replicas: 1\s+Isr: 1")

    def performance(self):
        produce = ["--topic", self.topic, "--num-records", str(RECORDS), "--record-size", "100"]
        produce += ["--throughput", "-1", "--command-property", f"bootstrap.servers={self.suite.broker.bootstrap}"]
        holds(self.run("kafka-producer-perf-test", *produce), f"^{RECORDS} records sent")
        ends = [int(line.split(":")[2]) for line in self.run("kafka-get-offsets", "--topic", self.topic).split()]
        if sum(ends) != RECORDS or len(ends) != 5:
            raise AssertionError(f"the partitions end at {ends}, and {RECORDS} records were sent")
        consume = ["--topic", self.topic, "--num-records", str(RECORDS), "--group", self.group]
        holds(self.run("kafka-consumer-perf-test", *consume), rf"^[\d: -]+, [\d: -]+, [\d.]+, [\d.]+, {RECORDS},")

    def console(self):
        lines = [f"key {number}|value {number} größer" for number in range(LINES)]
        parse = ["--reader-property", "parse.key=true", "--reader-property", "key.separator=|"]
        self.run("kafka-console-producer", "--topic", self.lines, *parse, stdin="\n".join(lines) + "\n")
        read = ["--topic", self.lines, "--from-beginning", "--max-messages", str(LINES)]
        read += ["--formatter-property", "print.key=true", "--formatter-property", "key.separator=|"]
        printed = self.run("kafka-console-consumer", *read).splitlines()
        if sorted(printed) != sorted(lines):
            raise AssertionError(f"wrote {len(lines)} lines, read {printed}")

    def verifiable(self):
        produce = ["--topic", self.verified, "--max-messages", str(LINES), "--acks", "-1"]
        said = [json.loads(line) for line in self.run("kafka-verifiable-producer", *produce).splitlines()]
        if said[-1].get("acked", said[-2].get("acked")) != LINES:
            raise AssertionError(f"not {LINES} acknowledged: {said[-2:]}")
        consume = ["--topic", self.verified, "--group-id", self.verified, "--max-messages", str(LINES)]
        consume += ["--reset-policy", "earliest"]
        said = [json.loads(line) for line in self.run("kafka-verifiable-consumer", *consume).splitlines()]
        read = sum(event["count"] for event in said if event["name"] == "records_consumed")
        if read != LINES:
            raise AssertionError(f"{read} of {LINES} records read")

    def groups(self):
        about = ["--group", self.group]
        listed = self.run("kafka-consumer-groups", "--list", "--state")
        holds(listed, rf"^{self.group}\s+Empty")
        holds(self.run("kafka-groups", "--list"), rf"^{self.group}\s+Classic\s+consumer")

        def lags():
            described = self.run("kafka-consumer-groups", "--describe", *about)
            return [int(row["LAG"]) for row in rows(described.split("members.")[-1])]

        if sum(lags()) or len(lags()) != 5:
            raise AssertionError(f"all was read, and the lags are {lags()}")
        holds(self.run("kafka-consumer-groups", "--describe", *about, "--state"), rf"{self.group}.*Empty\s+0")
        self.run("kafka-consumer-groups", *about, "--reset-offsets", "--to-earliest", "--all-topics", "--execute")
        if sum(lags()) != RECORDS:
            raise AssertionError(f"nothing is read any more, and the lags are {lags()}")
        deleted = self.run("kafka-consumer-groups", *about, "--delete-offsets", "--topic", self.topic)
        holds(deleted, rf"{self.topic}\s+4\s+Successful")
        holds(self.run("kafka-consumer-groups", "--delete", *about), "was successful")
        self.refused("kafka-consumer-groups", "--describe", *about, why="GroupIdNotFound|does not exist")

    def configs(self):
        about = ["--entity-type", "topics", "--entity-name", self.topic]
        change = "max.message.bytes=2000000,cleanup.policy=[compact,delete]"
        self.run("kafka-configs", *about, "--alter", "--add-config", change)
        described = self.run("kafka-configs", *about, "--describe")
        holds(described, r"max.message.bytes=2000000 .*DYNAMIC_TOPIC_CONFIG", "cleanup.policy=compact,delete")
        self.run("kafka-configs", *about, "--alter", "--delete-config", "max.message.bytes,cleanup.policy")
        described = self.run("kafka-configs", *about, "--describe")
        if "max.message.bytes" in described:
            raise AssertionError(f"deleted, and still there: {described}")
        wrong = [*about, "--alter", "--add-config", "retention.ms=soon"]
        self.refused("kafka-configs", *wrong, why="InvalidConfigurationException")
        holds(self.run("kafka-configs", "--entity-type", "brokers", "--entity-name", "1", "--describe"), "broker 1")

    def records(self):
        file = self.suite.directory / "delete.json"
        partition = {"topic": self.topic, "partition": 0, "offset": 10}
        file.write_text(json.dumps({"version": 1, "partitions": [partition]}))
        deleted = self.run("kafka-delete-records", "--offset-json-file", str(file))
        holds(deleted, rf"{self.topic}-0\s+low_watermark: 10")
        said = self.run("kafka-log-dirs", "--describe", "--topic-list", self.topic)
        directories = json.loads(said[said.index("{") :])["brokers"][0]["logDirs"]
        sizes = [partition["size"] for directory in directories for partition in directory["partitions"]]
        if len(sizes) != 5 or min(sizes) <= 0:
            raise AssertionError(f"the partitions have the sizes {sizes}")

    def transactions(self):
        holds(self.run("kafka-transactions", "list"), "TransactionalId")
        producers = ["describe-producers", "--topic", self.topic, "--partition", "1"]
        holds(self.run("kafka-transactions", *producers), r"^\d+\s+0\s+-1\s+\d+")
        self.run("kafka-transactions", "find-hanging", "--broker-id", "1")

    def cluster(self):
        holds(self.run("kafka-cluster", "cluster-id"), r"^Cluster ID: \S+")
        holds(self.run("kafka-cluster", "list-endpoints"), r"^1\s+127\.0\.0\.1")
        holds(self.run("kafka-broker-api-versions"), r"Produce\(0\): 0 to 13", r"Fetch\(1\): 4 to 18")
        holds(self.run("kafka-features", "describe"), r"transaction\.version.*FinalizedVersionLevel: 2")
        holds(self.run("kafka-metadata-quorum", "describe", "--status"), r"^LeaderId:\s+1")
        self.run("kafka-leader-election", "--election-type", "preferred", "--all-topic-partitions")
        holds(self.run("kafka-reassign-partitions", "--list"), "No partition reassignments found")

    def access(self):
        """Rules and users, where nobody logs in: that rules hold is for Factum's own tests."""
        user, rules = f"User:alice-{self.suite.tag}", ["kafka-acls", "--add"]
        self.run(*rules, "--allow-principal", user, "--producer", "--topic", self.topic)
        prefixed = ["--consumer", "--topic", "ord", "--group", "g", "--resource-pattern-type", "prefixed"]
        self.run(*rules, "--allow-principal", user, *prefixed)
        denied = ["--deny-host", "10.0.0.7", "--operation", "All", "--cluster"]
        self.run(*rules, "--deny-principal", user, *denied)
        listed = self.run("kafka-acls", "--list", "--principal", user)
        holds(listed, rf"name={self.topic}, patternType=LITERAL", "operation=WRITE", "operation=CREATE")
        holds(listed, "resourceType=GROUP, name=g, patternType=PREFIXED", "host=10.0.0.7, operation=ALL, permissionType=DENY")
        matching = ["--list", "--topic", "orders", "--resource-pattern-type", "match", "--principal", user]
        holds(self.run("kafka-acls", *matching), "name=ord, patternType=PREFIXED")
        self.run("kafka-acls", "--remove", "--force", "--allow-principal", user, *prefixed)
        if "PREFIXED" in self.run("kafka-acls", "--list", "--principal", user):
            raise AssertionError("rules were removed, and are still there")
        users = ["kafka-configs", "--entity-type", "users", "--entity-name", f"alice-{self.suite.tag}"]
        self.run(*users, "--alter", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=secret],SCRAM-SHA-512=[password=secret]")
        self.run(*users, "--alter", "--delete-config", "SCRAM-SHA-256,SCRAM-SHA-512")

    def quotas(self):
        """Of a name that no client has, so that nothing else is held back."""
        whose = ["--entity-type", "users", "--entity-name", f"quota-{self.suite.tag}"]
        clients = ["--entity-type", "clients", "--entity-name", "tool"]
        some = "producer_byte_rate=1024,consumer_byte_rate=2048,request_percentage=12.5"
        self.run("kafka-configs", *whose, "--alter", "--add-config", some)
        self.run("kafka-configs", *whose, *clients, "--alter", "--add-config", "producer_byte_rate=512")
        described = self.run("kafka-configs", *whose, "--describe")
        holds(described, "producer_byte_rate=1024.0", "consumer_byte_rate=2048.0", "request_percentage=12.5")
        holds(self.run("kafka-configs", *whose, *clients, "--describe"), "client-id 'tool'.*producer_byte_rate=512.0")
        self.run("kafka-configs", *whose, *clients, "--alter", "--delete-config", "producer_byte_rate")
        names = "producer_byte_rate,consumer_byte_rate,request_percentage"
        self.run("kafka-configs", *whose, "--alter", "--delete-config", names)
        if "byte_rate" in self.run("kafka-configs", *whose, "--describe"):
            raise AssertionError("quotas were removed, and are still there")

    def delete(self):
        for topic in (self.topic, self.lines, self.verified):
            self.run("kafka-topics", "--delete", "--topic", topic)
        left = self.run("kafka-topics", "--list", "--exclude-internal").split()
        if {self.topic, self.lines, self.verified} & set(left):
            raise AssertionError(f"deleted, and still there: {left}")


def run(suite, clients):
    if CLIENT in clients:
        Tools(suite).all()
