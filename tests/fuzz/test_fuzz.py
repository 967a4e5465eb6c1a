"""Broken input files are refused in one line with file, key and remedy, or accepted and can run."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.events.expressions import ExpressionError, parse
from tests.fuzz import expressions, mutants, runs, verdicts
from tests.fuzz.mutants import BYTES, PARAMETERS, TEXT, TREE, Change, Mutant


@pytest.fixture(scope="module", autouse=True)
def cards() -> None:
    verdicts.remember_cards()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def test_mutants_are_accepted_or_refused_as_they_should_be(folder: Path) -> None:
    for number in range(200):
        mutant = mutants.draw(Random(f"test:{number}"))
        verdict = verdicts.judge(mutant, folder)
        assert verdict.kind != verdicts.FINDING, (mutant.text, verdict.text)


@given(st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_expressions_are_parsed_or_refused_in_one_line(rng: Random) -> None:
    said = _said(expressions.draw(rng))
    assert "\n" not in said
    assert len(said) < 700


def _said(text: str) -> str:
    try:
        parse(text, ["pt_j1"])
    except ExpressionError as error:
        return str(error)
    return "accepted"


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_same_numbers_give_the_same_mutant(rng: Random) -> None:
    mutant = mutants.draw(rng)
    assert mutant.parameters() == mutant.parameters()
    if mutant.base != "parameters":
        assert mutant.content() == mutant.content()


@pytest.mark.parametrize("base", [base for base in mutants.BASES if base != "parameters"])
def test_what_is_shipped_is_accepted(base: str, folder: Path) -> None:
    assert verdicts.judge(Mutant(base, (Change("none", 1),)), folder).kind == verdicts.ACCEPTED


@pytest.mark.parametrize("kind", [*TREE, *TEXT, *BYTES])
def test_every_kind_of_change_changes_something(kind: str) -> None:
    original = Mutant("ph/input.yml", (Change("none", 1),)).content()
    again = Mutant("ph/input.yml", (Change("flip", 0), Change("none", 1))).content()
    changed = {Mutant("ph/input.yml", (Change(kind, seed),)).content() for seed in range(10)}
    assert changed - {original, again}


def test_parameters_change_too() -> None:
    for kind in PARAMETERS:
        assert Mutant("parameters", (Change(kind, 1),)).parameters()


LINES = [
    ("", "names neither file nor parameter"),
    ("f.yml: generator: energy: -1; give more", ""),
    ("f.yml: generator: energy: -1", "has no remedy"),
    ("f.yml: energi: -1; give more", "names no key"),
    ("other.yml: generator: energy: -1; give more", "names neither file nor parameter"),
    ("num_events: -1; give more", ""),
    ("f.yml: line 3: key 'a' appears twice; mend the YAML", ""),
    ("f.yml: generator: \x1b: no; give more", "has characters that are not printable"),
    ("f.yml: generator: <class 'int'>; give more", "has Python's '<class'"),
    ("f.yml: generator: KeyError; give more", "has Python's 'yError'"),
    (f"f.yml: generator: {'x' * 800}; give more", "is 8"),
]


@pytest.mark.parametrize(("line", "fault"), LINES)
def test_the_oracle_sees_what_a_line_lacks(line: str, fault: str) -> None:
    assert verdicts.faults(line, [Path("f.yml")]).startswith(fault)
    assert fault or not verdicts.faults(line, [Path("f.yml")])


@pytest.mark.slow
def test_what_the_check_accepts_ends_in_results_or_in_one_line(folder: Path) -> None:
    data_file = runs.events(folder / "events")
    for base, change in (
        ("ph/input.yml", Change("expression", 3)),
        ("ml/input.yml", Change("scale", 1)),
        ("sweeps/default.yml", Change("none", 1)),
    ):
        mutant = Mutant(base, (change,))
        if verdicts.judge(mutant, folder / "check", data_file).kind == verdicts.ACCEPTED:
            verdict = runs.run(mutant, folder / "run", data_file)
            assert verdict.kind in (runs.RESULTS, verdicts.REFUSED), (mutant.text, verdict.text)
