"""Brings the clients from their registries into the cache, once per pinned version.

A client whose toolchain is missing is not installed; the reason is kept and printed.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent
CLIENTS = HERE / "clients"
INSTALL_S = 600
MIN_NODE = {"kafkajs": (20, 0), "platformatic": (20, 19)}
MIN_GO = (1, 26)
SMALL_JVM = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


class Unavailable(Exception):
    """The client cannot be had on this machine; says why."""


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, **options)
    if done.returncode:
        tail = (done.stdout + done.stderr).strip().splitlines()[-4:]
        raise Unavailable(f"`{' '.join(map(str, command[:4]))} …` failed: {' / '.join(tail)}")
    return done.stdout


def need(tool):
    found = shutil.which(tool)
    if not found:
        raise Unavailable(f"{tool} is not installed")
    return found


def version_of(command):
    return tuple(int(part) for part in re.search(r"(\d+)\.(\d+)", run(command)).groups())


def fingerprint(paths):
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class Installer:
    """One method per client; each returns the command line that starts it."""

    def __init__(self, cache):
        self.cache = pathlib.Path(cache)
        self.cache.mkdir(parents=True, exist_ok=True)

    def once(self, name, inputs, install):
        """Runs `install(directory)` unless it has run for these inputs."""
        directory = self.cache / name
        stamp = directory / "installed"
        wanted = fingerprint(inputs)
        if stamp.exists() and stamp.read_text() == wanted:
            return directory
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        install(directory)
        stamp.write_text(wanted)
        return directory

    def kcat(self):
        if not shutil.which("kcat"):
            if os.geteuid() != 0 or not shutil.which("apt-get"):
                raise Unavailable("kcat is not installed, and installing it takes apt-get and root")
            run(["apt-get", "update"])
            run(["apt-get", "install", "-y", "--no-install-recommends", "kcat"])
        return [need("kcat")]

    def python(self, name):
        """The interpreter of a virtual environment with what `clients/NAME` requires."""
        requirements = CLIENTS / name / "requirements.txt"

        def install(directory):
            run([sys.executable, "-m", "venv", directory / "venv"])
            run([directory / "venv/bin/pip", "install", "-q", "--disable-pip-version-check", "-r", requirements])

        return self.once(name, [requirements], install) / "venv/bin/python"

    def confluent(self):
        return [self.python("confluent"), CLIENTS / "confluent" / "client.py"]

    def aiokafka(self):
        return [self.python("aiokafka"), CLIENTS / "aiokafka" / "client.py"]

    def node_modules(self, name):
        need("npm")
        found = version_of([need("node"), "--version"])
        if found < MIN_NODE[name]:
            raise Unavailable(f"Node {MIN_NODE[name]} or newer is needed, {found} is installed")
        manifests = [CLIENTS / name / file for file in ("package.json", "package-lock.json")]

        def install(directory):
            for manifest in manifests:
                shutil.copy(manifest, directory)
            run(["npm", "ci", "--no-audit", "--no-fund"], cwd=directory)

        return self.once(name, manifests, install)

    def kafkajs(self):
        modules = self.node_modules("kafkajs")
        return ["env", f"COMPAT_MODULES={modules}", need("node"), CLIENTS / "kafkajs" / "client.js"]

    def platformatic(self):
        modules = self.node_modules("platformatic")
        return ["env", f"COMPAT_MODULES={modules}", need("node"), CLIENTS / "platformatic" / "client.mjs"]

    def maven(self, name, pom, sources, goals):
        need("java"), need("mvn")

        def install(directory):
            classpath = directory / "classpath"
            output = [f"-Dcompat.build={directory}/build", f"-Dmdep.outputFile={classpath}"]
            run(["mvn", "-q", "-B", "-f", pom, *output, *goals, "dependency:build-classpath"])

        directory = self.once(name, [pom, *sources], install)
        return f"{directory}/build/classes:{(directory / 'classpath').read_text().strip()}"

    def java(self):
        need("javac")
        sources = list((CLIENTS / "java" / "src").glob("*.java"))
        classpath = self.maven("java", CLIENTS / "java" / "pom.xml", sources, ["compile"])
        return [need("java"), *SMALL_JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath, "Client"]

    def streams(self):
        need("javac")
        sources = list((CLIENTS / "streams" / "src").glob("*.java"))
        classpath = self.maven("streams", CLIENTS / "streams" / "pom.xml", sources, ["compile"])
        return [need("java"), *SMALL_JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath, "Streams"]

    def connect(self):
        classpath = self.maven("connect", CLIENTS / "connect" / "pom.xml", [], [])
        return [need("java"), *SMALL_JVM, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath]

    def kafka_tools(self):
        classpath = self.maven("kafka-tools", CLIENTS / "kafka-tools" / "pom.xml", [], [])
        return [need("java"), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classpath]

    def reference_classpath(self):
        return self.maven("reference", HERE / "reference" / "pom.xml", [], [])

    def go(self, name):
        found = version_of([need("go"), "version"])
        if found < MIN_GO:
            raise Unavailable(f"Go {MIN_GO} or newer is needed, {found} is installed")
        source = CLIENTS / name

        def install(directory):
            run(["go", "build", "-o", directory / "client", "."], cwd=source)

        inputs = [*source.glob("*.go"), source / "go.mod", source / "go.sum"]
        return [self.once(name, inputs, install) / "client"]

    def franz_go(self):
        return self.go("franz-go")

    def sarama(self):
        return self.go("sarama")
