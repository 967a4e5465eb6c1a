"""A Redis server and machines with workers for each test."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from machines import Broker, Machine
from toys import Toy, toy_stages


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path, toy_stages())


@pytest.fixture(scope="session", autouse=True)
def redis_server() -> None:
    """A program of the system (Debian's redis-server), which .ci/run installs."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server: apt-get install redis-server, or the like")


@pytest.fixture
def broker(tmp_path: Path, redis_server: None) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def machines(broker: Broker) -> Iterator[dict[str, Machine]]:
    """Three machines; a and b have a worker."""
    machines = {name: Machine(name, number) for number, name in enumerate("abc")}
    try:
        for name in "ab":
            machines[name].start(broker)
        yield machines
    finally:
        for machine in machines.values():
            machine.close()
