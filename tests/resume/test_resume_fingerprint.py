"""What counts as a step's code."""

from pathlib import Path

import pytest

from scripts.engine.resume import fingerprint, keys

FILES = {
    "steps/__init__.py": "",
    "steps/arrays.py": "x = 1\n",
    "steps/ml/__init__.py": "",
    "steps/ml/training.py": "from steps.ml import near\nimport numpy\n",
    "steps/ml/near.py": "def f():\n    from .lazy import g\n    return g\n",
    "steps/ml/lazy.py": "BACKENDS = {'one': 'steps.backends.one'}\ng = 1\n",
    "steps/ml/other.py": "import steps.arrays\n",
    "steps/backends/__init__.py": "",
    "steps/backends/one.py": "",
    "steps/backends/two.py": "",
    "steps/backends/tables/data.json": "{}",
    "elsewhere/__init__.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def forget() -> None:
    for known in (fingerprint.code, fingerprint._read, fingerprint._files, fingerprint._data):
        known.cache_clear()


def test_code_is_what_is_imported_named_or_lies_beside_it(root):
    assert list(fingerprint.code(root, "steps.ml.training")) == [
        "steps/__init__.py",
        "steps/backends/__init__.py",
        "steps/backends/one.py",
        "steps/backends/tables/data.json",
        "steps/ml/__init__.py",
        "steps/ml/lazy.py",
        "steps/ml/near.py",
        "steps/ml/training.py",
    ]


@pytest.mark.parametrize("file", FILES)
def test_a_change_of_its_code_changes_a_step(root, file):
    before = fingerprint.code(root, "steps.ml.training")
    forget()
    (root / file).write_text(FILES[file] + "\n\n")
    after = fingerprint.code(root, "steps.ml.training")
    assert (before != after) == (file in before)
    forget()


def test_stages_know_their_own_code_and_not_that_of_others():
    pythia, plotting = (
        set(fingerprint.code(keys.ROOT, f"steps.{stage}")) for stage in ("ph.pythia", "ml.plotting")
    )
    assert {"steps/physics/shower.py", "steps/backends/builtin.py"} <= pythia
    assert not any(path.startswith(("steps/inference/morphing", "steps/plots")) for path in pythia)
    assert "steps/plots/figures.py" in plotting
    assert "steps/ph/pythia.py" not in plotting
    # Data that is read at work.
    assert "steps/settings/schemas/ph.json" in pythia


def test_packages_are_told_by_their_versions(monkeypatch):
    before = fingerprint.packages()
    fingerprint.packages.cache_clear()

    class Other:
        name, version = "madminer", "0.0.0"

    monkeypatch.setattr(fingerprint.metadata, "distributions", lambda: [Other()])
    assert fingerprint.packages() != before
    fingerprint.packages.cache_clear()


def test_packages_of_another_environment_are_its_own(tmp_path):
    """But for the steps that run there, nothing else."""
    place = tmp_path / "lib/python3.11/site-packages/pyhf-0.7.6.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: pyhf\nVersion: 0.7.6\n")
    before = fingerprint.packages(tmp_path)
    assert before != fingerprint.packages()
    assert [(one.name, one.version) for one in fingerprint.distributions(tmp_path)] == [
        ("pyhf", "0.7.6")
    ]
    fingerprint.packages.cache_clear()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: pyhf\nVersion: 0.7.7\n")
    assert fingerprint.packages(tmp_path) != before
    fingerprint.packages.cache_clear()
