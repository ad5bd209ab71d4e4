"""A PostgreSQL server of its own for change data capture, from Debian's packages."""

import os
import pathlib
import shutil
import subprocess
import tempfile

from .broker import free_port
from .install import Unavailable, run

START_S = 60
DEBIAN = pathlib.Path("/usr/lib/postgresql")


def binaries():
    """The directory of the newest server that is installed."""
    found = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def install():
    if not binaries():
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Unavailable("PostgreSQL is not installed, and installing it takes apt-get and root")
        run(["apt-get", "update"])
        run(["apt-get", "install", "-y", "--no-install-recommends", "postgresql"])
    if not binaries():
        raise Unavailable(f"PostgreSQL's server is not in {DEBIAN}")
    return binaries()


class Postgres:
    """Listens on this machine only and trusts whoever comes; its data goes with it."""

    def __init__(self):
        self.bin, self.port = install(), free_port()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="factum-compat-postgres-"))
        # PostgreSQL refuses to run as root; Debian's package has made it a user.
        self.user = []
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.data = self.directory / "data"

    def start(self):
        self.call("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync")
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "wal_level": "logical", "fsync": "off"}
        flags = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        self.call("pg_ctl", "-D", self.data, "-l", self.directory / "log", "-o", flags, "-w", "-t", str(START_S), "start")

    def call(self, tool, *arguments):
        return run([*self.user, self.bin / tool, *map(str, arguments)], cwd=self.directory)

    def sql(self, statements):
        self.call("psql", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statements)

    def stop(self):
        try:
            self.call("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        except (Unavailable, OSError, subprocess.TimeoutExpired):
            pass  # it did not start, or ends on its own
        shutil.rmtree(self.directory, ignore_errors=True)
