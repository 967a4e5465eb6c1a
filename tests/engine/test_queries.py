"""Each query of a specification is parsed once, and finds what it found."""

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

import scripts.engine.queries
from yadage.wflowview import WorkflowView

after = [[m.value for m in WorkflowView.query(None, q, steps)] for q in queries]
assert after == before, (before, after)
assert [len(found) for found in before] == [1, 2, 1, 0], before
assert jsonpath_rw.parse(queries[1]) is jsonpath_rw.parse(queries[1])
"""


def test_queries_are_parsed_once_and_find_the_same() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, check=True)
