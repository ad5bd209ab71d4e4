"""The client processes of a history run."""

import collections
import json
import pathlib
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROLES = {
    "plain": "plain",
    "txn-1": "transactional",
    "txn-2": "transactional",
    "job": "transformer",
    "reader": "reader",
    "member-1": "member",
    "member-2": "member",
}
MOST_ZOMBIES = 2
FINISH_S = 60
POLL_S = 0.05
ONCE_S = 600


class Worker:
    def __init__(self, name, number, process):
        self.name, self.number, self.process = name, number, process
        self.session = f"{name}.{number}"


class Crew:
    """Keeps one worker of each name going; what was replaced may go on beside it for a while."""

    def __init__(self, python, directory, bootstrap, seed, isolation, protocol):
        self.python, self.directory = python, directory
        self.said = {"bootstrap": bootstrap, "seed": seed, "isolation": isolation, "protocol": protocol}
        self.workers, self.zombies = {}, []
        self.numbers = collections.Counter()
        self.ended = collections.Counter()

    def spawn(self, name, role):
        self.numbers[name] += 1
        number = self.numbers[name]
        said = {**self.said, "name": name, "number": number, "history": f"{self.directory}/{name}.{number}.jsonl"}
        command = ["nice", "-n", "5", self.python, HERE / "worker.py", role, json.dumps(said)]
        with open(self.directory / f"{name}.{number}.log", "ab") as log:
            return Worker(name, number, subprocess.Popen(command, stdout=log, stderr=log))

    def start(self):
        for name in ROLES:
            self.workers[name] = self.spawn(name, ROLES[name])

    def replace(self, name):
        self.zombies.append(self.workers[name])
        self.workers[name] = self.spawn(name, ROLES[name])

    def watch(self, seconds):
        """Waits; who has ended is started again."""
        deadline = time.monotonic() + seconds
        while True:
            for name, worker in self.workers.items():
                if worker.process.poll() is not None:
                    self.ended[worker.process.returncode] += 1
                    self.workers[name] = self.spawn(name, ROLES[name])
            self.bury()
            if time.monotonic() > deadline:
                return
            time.sleep(POLL_S)

    def bury(self):
        """A zombie is fenced off and ends, or reads on; at most so many do at once."""
        self.zombies = [zombie for zombie in self.zombies if zombie.process.poll() is None]
        while len(self.zombies) > MOST_ZOMBIES:
            zombie = self.zombies.pop(0)
            zombie.process.kill()
            zombie.process.wait()

    def once(self, name, role):
        """A worker that does one thing and must succeed."""
        worker = self.spawn(name, role)
        try:
            code = worker.process.wait(ONCE_S)
        finally:
            worker.process.kill()
        if code:
            tail = (self.directory / f"{worker.session}.log").read_text()[-800:]
            raise RuntimeError(f"{worker.session} ended with {code}: {tail}")

    def finish(self):
        """Lets all end in good order; returns who did not."""
        for zombie in self.zombies:
            zombie.process.kill()
            zombie.process.wait()
        for worker in self.workers.values():
            worker.process.terminate()
        deadline, late = time.monotonic() + FINISH_S, []
        for worker in self.workers.values():
            try:
                self.ended[worker.process.wait(max(0.1, deadline - time.monotonic()))] += 1
            except subprocess.TimeoutExpired:
                late.append(worker.session)
                worker.process.send_signal(signal.SIGUSR1)
                time.sleep(1)
                worker.process.kill()
                worker.process.wait()
        return late

    def kill(self):
        for worker in [*self.workers.values(), *self.zombies]:
            worker.process.kill()
            worker.process.wait()
