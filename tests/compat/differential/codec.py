"""Kafka's codec as a process (Codec.java)."""

import json
import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parent / "Codec.java"
SMALL_JVM = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]


def install(installer):
    """The class path with the compiled codec; Apache Kafka's own jars are the library."""
    from harness.install import need, run

    need("javac")
    reference = installer.reference_classpath()

    def build(directory):
        run(["javac", "-cp", reference, "-d", directory, SOURCE])

    return f"{installer.once('differential', [SOURCE], build)}:{reference}"


def clients_jar(classpath):
    return next(path for path in classpath.split(":") if "/kafka-clients-" in path)


class Codec:
    def __init__(self, classpath, log):
        command = ["java", *SMALL_JVM, "-cp", classpath, "Codec"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.errors = {int(code): name for code, name in json.loads(self.process.stdout.readline()).items()}
        self.correlation = 0

    def tell(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the codec ended")
        return json.loads(line)

    def next_correlation(self):
        self.correlation += 1
        return self.correlation

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
