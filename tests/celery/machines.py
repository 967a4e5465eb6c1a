"""A Redis server, and workers that can be lost: in network namespaces where root may make them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "not-to-be-shown"


def wait_for(condition: Callable[[], object], seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


class Broker:
    """A Redis server with a password."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start the server, without anything in it."""
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "0.0.0.0", "--save", ""],
            stdout=(self.folder / "redis.log").open("w"),
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
        )
        self.client = redis.Redis(port=self.port)
        wait_for(self._answers)
        # Not on the command line, which every user of the machine may read.
        self.client.config_set("requirepass", PASSWORD)
        self.client.close()
        self.client = redis.Redis(port=self.port, password=PASSWORD)

    def _answers(self) -> bool:
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def idle_workers(self) -> int:
        """Number of workers that wait for a step."""
        return sum(client["cmd"] == "brpop" for client in self.client.client_list())

    def url(self, host: str = "127.0.0.1") -> str:
        return f"redis://:{PASSWORD}@{host}:{self.port}"

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Machine:
    """A place for a worker, with a network of its own if possible; steps see its name as WHERE."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.prefix: list[str] = []
        self.host = "127.0.0.1"
        self.worker: subprocess.Popen | None = None
        self.link = f"mm{os.getpid() % 100000}{name}"
        net = f"10.213.{os.getpid() % 200}.{4 * number}"
        base = net.rsplit(".", 1)[0]
        here, there = f"{base}.{4 * number + 1}", f"{base}.{4 * number + 2}"
        commands = [
            f"ip netns add {self.link}",
            f"ip link add {self.link} type veth peer name eth0 netns {self.link}",
            f"ip address add {here}/30 dev {self.link}",
            f"ip link set {self.link} up",
            f"ip -n {self.link} address add {there}/30 dev eth0",
            f"ip -n {self.link} link set eth0 up",
            f"ip -n {self.link} link set lo up",
        ]
        if os.geteuid() == 0 and shutil.which("ip") and all(map(self._call, commands)):
            self.prefix = ["ip", "netns", "exec", self.link]
            self.host = here

    @staticmethod
    def _call(command: str) -> bool:
        return subprocess.run(command.split(), capture_output=True, check=False).returncode == 0

    def start(self, broker: Broker) -> None:
        """Start a worker for one step at a time and wait until it listens."""
        before = broker.idle_workers()
        command = [sys.executable, "-m", "scripts.worker", "--cores", "1"]
        self.worker = subprocess.Popen(
            [*self.prefix, *command],
            cwd=ROOT,
            env=os.environ | {"CELERY_BROKER": broker.url(self.host), "WHERE": self.name},
            start_new_session=True,
        )
        wait_for(lambda: broker.idle_workers() > before)

    def kill(self) -> None:
        """Kill the worker and all processes of its group; steps have groups of their own."""
        if self.worker:
            os.killpg(self.worker.pid, signal.SIGKILL)
            self.worker.wait()
            self.worker = None

    def unplug(self) -> None:
        """Cut the machine off; where it has no network of its own, stop its processes instead."""
        if self.prefix:
            assert self._call(f"ip link set {self.link} down")
        else:
            os.killpg(self.worker.pid, signal.SIGSTOP)

    def close(self) -> None:
        self.kill()
        self._call(f"ip link delete {self.link}")
        self._call(f"ip netns delete {self.link}")
