"""A server of MongoDB's wire protocol: mongod when it is on PATH, else FerretDB (scripts/ferretdb).

One process on a free port of loopback with a data directory of its own; it can be stopped, halted
(it takes connections but answers nothing), and started again over the same data.
"""

import contextlib
import pathlib
import shutil
import signal
import socket
import subprocess

import pymongo

from harness.process import ROOT, free_port, halt, launch, wait_until

START_DEADLINE = 30.0
STOP_DEADLINE = 20.0
BUILD_DEADLINE = 600.0


def ferretdb():
    """The path of the built server; the first call of a checkout takes a minute."""
    made = subprocess.run([ROOT / "scripts" / "ferretdb"], stdout=subprocess.PIPE, check=True,
                          timeout=BUILD_DEADLINE, text=True)
    return made.stdout.strip()


class MongoServer:
    """start() and stop() may be repeated: port and data stay."""

    def __init__(self, folder, *options):
        """options: of mongod's command line; FerretDB has none of them."""
        self.folder = pathlib.Path(folder)
        self.options = options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None
        self.mongod = shutil.which("mongod")

    @property
    def uri(self):
        return f"mongodb://127.0.0.1:{self.port}/"

    def command(self):
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        if self.mongod:
            return [self.mongod, "--bind_ip", "127.0.0.1", "--port", str(self.port), "--dbpath",
                    str(data), "--nounixsocket", *self.options]
        return [ferretdb(), f"127.0.0.1:{self.port}", str(data)]

    def start(self):
        command = self.command()
        with open(self.folder / "server.log", "ab") as log:
            self.process = launch(command, stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=subprocess.STDOUT, cwd=self.folder)
        wait_until(self.listens, START_DEADLINE, "document store listens")
        return self

    def listens(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the document store ended at once: see {self.folder}/server.log")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    @contextlib.contextmanager
    def database(self, name):
        """A pymongo database: to write as another program does, and to see what is stored."""
        with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=5000) as client:
            yield client[name]

    @contextlib.contextmanager
    def direct(self, **options):
        """A pymongo client of this very server, whatever set it is a member of."""
        with pymongo.MongoClient(self.uri, directConnection=True, serverSelectionTimeoutMS=1000,
                                 **options) as client:
            yield client

    def kill(self):
        """Without any farewell; start() afterwards finds the data."""
        self.process.kill()
        self.process.wait(STOP_DEADLINE)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def halt(self):
        """Connections are taken by the kernel, nothing is answered."""
        halt(self.process)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.go_on()
        self.process.terminate()
        try:
            self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_DEADLINE)


class ReplicaSet:
    """Three mongods, one of them primary; elections take a second or two. Needs mongod."""

    NAME = "rs"

    def __init__(self, folder):
        self.members = [MongoServer(pathlib.Path(folder) / f"member{n}", "--replSet", self.NAME)
                        for n in range(3)]

    @property
    def hosts(self):
        return ",".join(f"127.0.0.1:{member.port}" for member in self.members)

    @property
    def uri(self):
        return f"mongodb://{self.hosts}/?replicaSet={self.NAME}"

    def start(self):
        for member in self.members:
            member.start()
        members = [{"_id": n, "host": f"127.0.0.1:{member.port}"}
                   for n, member in enumerate(self.members)]
        with self.members[0].direct() as client:
            client.admin.command("replSetInitiate", {
                "_id": self.NAME, "members": members,
                "settings": {"electionTimeoutMillis": 1000, "heartbeatTimeoutSecs": 1}})
        wait_until(self.primary, START_DEADLINE, "the set has a primary")
        return self

    def primary(self):
        """The member that takes writes now; None during an election."""
        for member in self.members:
            with contextlib.suppress(pymongo.errors.PyMongoError), member.direct() as client:
                if client.admin.command("hello")["isWritablePrimary"]:
                    return member
        return None

    def step_down(self):
        """The primary gives up its place, and takes it not again for a minute."""
        with self.primary().direct() as client:
            with contextlib.suppress(pymongo.errors.AutoReconnect):
                client.admin.command("replSetStepDown", 60, force=True)

    @contextlib.contextmanager
    def database(self, name):
        with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=20000) as client:
            yield client[name]

    def stop(self):
        for member in self.members:
            member.stop()
