"""What goes wrong in a history run: the server, the connections, and the clients."""

import collections
import shutil
import signal
import time

PAUSES_S = (0.3, 3.0)
DOWN_S = (0.0, 1.5)
STOPPED_S = (0.3, 6.0)
HELD_S = (0.3, 4.0)
# Longer than a session in a group and than a transaction may be, now and then.
ZOMBIE_S = (0.5, 9.0)


class Nemesis:
    """Does one thing after another, and notes from when to when clients could feel it."""

    def __init__(self, rng, history, broker, proxy, crew):
        self.rng, self.note, self.broker, self.proxy, self.crew = rng, history.note, broker, proxy, crew
        self.count = collections.Counter()
        faults = {self.kill_server: 4, self.stop_server: 3, self.cut: 3, self.pause: 2, self.swallow: 3,
                  self.kill_worker: 5, self.zombie: 3}
        self.faults, self.weights = list(faults), list(faults.values())

    def strike(self):
        fault = self.rng.choices(self.faults, self.weights)[0]
        began = time.monotonic_ns()
        self.note("invoke", "fault", kind=fault.__name__)
        whom = fault()
        self.count[fault.__name__] += 1
        self.note("ok", "fault", kind=fault.__name__, whom=whom, began=began)

    def kill_server(self):
        self.broker.kill_and_restart(self.rng.uniform(*DOWN_S))
        return "server"

    def copy_data(self):
        """For the control in which the server loses what it has acknowledged."""
        self.broker.kill()
        shutil.copytree(self.broker.directory / "data", self.broker.directory / "copy")
        self.broker.start()

    def roll_back(self):
        self.broker.kill()
        shutil.rmtree(self.broker.directory / "data")
        (self.broker.directory / "copy").rename(self.broker.directory / "data")
        self.broker.start()
        self.count["roll_back"] += 1

    def stop_server(self):
        self.broker.process.send_signal(signal.SIGSTOP)
        try:
            self.crew.watch(self.rng.uniform(*STOPPED_S))
            if self.rng.random() < 0.3:
                # What waits in the connections is read by a server whose clients have gone.
                self.proxy.cut(0.5)
        finally:
            self.broker.process.send_signal(signal.SIGCONT)
        return "server"

    def cut(self):
        self.proxy.cut(self.rng.choice([0.3, 1.0]))
        return "server"

    def pause(self):
        self.proxy.pause(True)
        self.crew.watch(self.rng.uniform(*HELD_S))
        self.proxy.pause(False)
        return "server"

    def swallow(self):
        self.proxy.swallow(True)
        self.crew.watch(self.rng.uniform(*HELD_S))
        self.proxy.swallow(False)
        return "server"

    def kill_worker(self):
        worker = self.rng.choice(list(self.crew.workers.values()))
        worker.process.kill()
        worker.process.wait()
        self.crew.watch(self.rng.uniform(*DOWN_S))
        return worker.session

    def zombie(self):
        """A client is held up, mostly while another takes its place, and then goes on."""
        worker = self.rng.choice(list(self.crew.workers.values()))
        worker.process.send_signal(signal.SIGSTOP)
        if self.rng.random() < 0.8:
            self.crew.replace(worker.name)
        self.crew.watch(self.rng.uniform(*ZOMBIE_S))
        worker.process.send_signal(signal.SIGCONT)
        return worker.session
