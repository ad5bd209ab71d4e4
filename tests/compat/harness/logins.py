"""Logging in, with and without the right password or certificate, and what may be done then: librdkafka
and Kafka's own tools against a server of its own, with TLS, every kind of login and rules."""

import json
import os
import pathlib
import subprocess

from .broker import Factum, free_port
from .install import CLIENTS, need
from .tools import TOOLS

RUN_S = 90
PASSWORD = "the way in"
MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN")
TOPIC = "guarded"
# What librdkafka calls a server that ends the handshake or the connection after it.
REFUSED = {"_SSL", "_TRANSPORT", "_ALL_BROKERS_DOWN"}


def certificates(directory):
    """An authority, a server's certificate, and one of a client, by OpenSSL."""
    openssl = need("openssl")

    def run(*arguments):
        done = subprocess.run([openssl, *arguments], cwd=directory, capture_output=True, text=True, timeout=RUN_S)
        if done.returncode:
            raise AssertionError(f"openssl {arguments[0]}: {done.stderr[-300:]}")

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    for name, subject in (("server", "/CN=broker"), ("client", "/O=x/CN=order-service")):
        (directory / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:false\n")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        run("x509", "-req", "-in", f"{name}.csr", *signed, "-extfile", f"{name}.ext", "-out", f"{name}.pem")


class Guarded(Factum):
    """A Factum behind TLS, on which only the admin may do something at first."""

    def __init__(self, binary):
        super().__init__(binary)
        self.sasl, self.mutual = (f"127.0.0.1:{free_port()}" for _ in range(2))

    def command(self):
        files = [f"--tls-{name}={self.directory / file}" for name, file in (("certificate", "server.pem"), ("key", "server.key"), ("client-ca", "ca.pem"))]
        listeners = [f"--listener=sasl_ssl://{self.sasl}", f"--listener=ssl://{self.mutual}?client_auth=required"]
        rules = ["--tls-principal-rules=RULE:^CN=([^,]+),O=x$/$1/", "--access-control"]
        data = self.directory / "data"
        serve = [self.binary, "serve", "--data", data, "--kafka", self.bootstrap, "--http", self.http_address]
        return ["env", f"FACTUM_ADMIN_PASSWORD={PASSWORD}", *serve, *files, *listeners, *rules]

    def factum(self, *arguments, stdin=""):
        """The command line, as the admin."""
        environment = {**os.environ, "FACTUM_SERVER": self.http, "FACTUM_USER": "admin", "FACTUM_PASSWORD": PASSWORD}
        done = subprocess.run([self.binary, *arguments], input=stdin, capture_output=True, text=True, timeout=RUN_S, env=environment)
        if done.returncode:
            raise AssertionError(f"factum {' '.join(arguments)}: {done.stderr}")

    def prepare(self):
        """Certificates, the server, users and their rules."""
        certificates(self.directory)
        self.start()
        write, read = ["--produce", TOPIC], ["--consume", TOPIC]
        users = {"both": write + read, "writer": write, "reader": read, "nobody": []}
        for user, rules in users.items():
            self.factum("user", "add", user, "--password-file", "-", *rules, "--group", "readers", stdin="secret\n")
        self.factum("acl", "allow", "order-service", *write, *read, "--group", "readers")


class Logins:
    def __init__(self, suite, broker):
        self.suite, self.broker = suite, broker
        self.ca = str(broker.directory / "ca.pem")

    def settings(self, mechanism, user, password):
        login = {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}
        return {"bootstrap.servers": self.broker.sasl, "security.protocol": "SASL_SSL", "ssl.ca.location": self.ca, **login}

    def librdkafka(self, settings):
        """What came of writing and of reading."""
        python = self.suite.commands["confluent"][0]
        command = [python, CLIENTS / "confluent" / "login.py", json.dumps(settings), TOPIC]
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S)
        with open(self.suite.client_log("confluent"), "a", encoding="utf-8") as log:
            log.write(done.stdout + done.stderr)
        return done.stdout.split()

    def expect(self, settings, written, read):
        came = self.librdkafka(settings)
        if came != [written, read]:
            raise AssertionError(f"{settings.get('sasl.mechanism', 'certificate')} {settings.get('sasl.username', '')}: {came}, expected {[written, read]}")

    def passwords(self):
        for mechanism in MECHANISMS:
            self.expect(self.settings(mechanism, "both", "secret"), "written", "read")
            self.expect(self.settings(mechanism, "both", "wrong"), "_AUTHENTICATION", "_AUTHENTICATION")

    def rules(self):
        denied = "TOPIC_AUTHORIZATION_FAILED"
        self.expect(self.settings("SCRAM-SHA-512", "writer", "secret"), "written", denied)
        self.expect(self.settings("SCRAM-SHA-512", "reader", "secret"), denied, "read")
        self.expect(self.settings("SCRAM-SHA-512", "nobody", "secret"), denied, denied)
        self.broker.factum("acl", "deny", "both", "--operation", "write", "--topic", TOPIC)
        self.expect(self.settings("SCRAM-SHA-512", "both", "secret"), denied, "read")

    def mutual(self):
        files = {"certificate": "client.pem", "key": "client.key"}
        shown = {f"ssl.{name}.location": str(self.broker.directory / file) for name, file in files.items()}
        settings = {"bootstrap.servers": self.broker.mutual, "security.protocol": "SSL", "ssl.ca.location": self.ca}
        self.expect({**settings, **shown}, "written", "read")
        came = self.librdkafka(settings)
        if len(came) != 2 or not REFUSED.issuperset(came):
            raise AssertionError(f"without a certificate: {came}, expected two of {sorted(REFUSED)}")

    def java(self):
        for password, expected in (("secret", TOPIC), ("wrong", "invalid credentials")):
            module = "org.apache.kafka.common.security.scram.ScramLoginModule"
            lines = [
                "security.protocol=SASL_SSL",
                "sasl.mechanism=SCRAM-SHA-512",
                f'sasl.jaas.config={module} required username="both" password="{password}";',
                "ssl.truststore.type=PEM",
                f"ssl.truststore.location={self.ca}",
            ]
            properties = pathlib.Path(self.broker.directory) / "client.properties"
            properties.write_text("\n".join(lines))
            command = [*self.suite.commands["kafka-tools"], TOOLS["kafka-topics"], "--list"]
            command += ["--bootstrap-server", self.broker.sasl, "--command-config", str(properties)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S)
            if expected not in done.stdout + done.stderr:
                raise AssertionError(f"no {expected} in {(done.stdout + done.stderr)[-600:]}")


def run(suite, clients):
    if not isinstance(suite.broker, Factum) or "confluent" not in clients:
        return
    broker = Guarded(suite.options.factum)

    def check(client, name, body):
        return suite.report.check(client, "logins", name, body, [suite.client_log(client), broker.log_path])

    try:
        if not check("confluent", "certificates and users", broker.prepare):
            return
        logins = Logins(suite, broker)
        check("confluent", "passwords over TLS", logins.passwords)
        check("confluent", "rules", logins.rules)
        check("confluent", "certificates", logins.mutual)
        if "kafka-tools" in suite.commands:
            check("kafka-tools", "kafka-topics with a login", logins.java)
    finally:
        broker.stop()
