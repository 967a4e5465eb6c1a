"""What Yadage knows it does not ask again."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# In a process of its own: the plug-in changes a library.
PROGRAM = """
import jsonpath_rw

steps = {"a": [{"b": 1}, {"b": 2}], "c": {"b": 3}}
queries = ["*.b", "$.a[*].b", "c.b", "missing"]
before = [[match.value for match in jsonpath_rw.parse(q).find(steps)] for q in queries]

import scripts.engine.polling
from yadage.wflowview import WorkflowView

after = [[m.value for m in WorkflowView.query(None, q, steps)] for q in queries]
assert after == before, (before, after)
assert [len(found) for found in before] == [1, 2, 1, 0], before
assert jsonpath_rw.parse(queries[1]) is jsonpath_rw.parse(queries[1])

from adage import nodestate
from adage.node import Node


class Backend:
    asked = 0
    is_ready = False

    def ready(self, proxy):
        self.asked += 1
        return self.is_ready

    def successful(self, proxy):
        return proxy == "good"

    def result(self, proxy):
        return proxy


for proxy, ended in (("good", nodestate.SUCCESS), ("bad", nodestate.FAILED)):
    node, backend = Node("name", task=None), Backend()
    node.update_state(backend)
    assert (node.state, backend.asked) == (nodestate.DEFINED, 0)
    node.resultproxy = proxy
    for _ in range(2):
        node.update_state(backend)
    assert (node.state, backend.asked) == (nodestate.RUNNING, 2)
    backend.is_ready = True
    for _ in range(3):
        node.update_state(backend)
    assert (node.state, backend.asked) == (ended, 3)
    assert node.ready_by_time
"""


def test_polling_asks_once_and_says_the_same() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True)
