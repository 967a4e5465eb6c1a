"""No code of ours runs what a file or a parameter says."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted([*(ROOT / "steps").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")])

# What a call must say, by the end of its name; None: it must not be there at all.
RULES = {
    "eval": None,
    "exec": None,
    "compile": None,
    "os.system": None,
    "os.popen": None,
    "yaml.load": None,
    "yaml.unsafe_load": None,
    "yaml.full_load": None,
    "tempfile.mktemp": None,
    "shutil.unpack_archive": None,
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}
PICKLES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def named(node: ast.expr) -> str:
    """The name of what is called: ``yaml.load``."""
    if isinstance(node, ast.Attribute):
        return f"{named(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def faults(tree: ast.AST) -> Iterator[str]:
    """Yield what a module must not have."""
    archives = "tarfile" in ast.dump(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            yield from (f"import {name}" for name in names if str(name).split(".")[0] in PICKLES)
        if not isinstance(node, ast.Call):
            continue
        name = named(node.func)
        said = {k.arg: getattr(k.value, "value", ...) for k in node.keywords}
        if name in RULES:
            rule = RULES[name]
            if rule is None or said.get(rule[0]) is not rule[1]:
                yield name
        if said.get("shell", False) is not False:
            yield f"{name}(shell)"
        if said.get("allow_pickle", False) is not False:
            yield f"{name}(allow_pickle)"
        if archives and name.rpartition(".")[2] in ("extract", "extractall"):
            yield name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_it_reads(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)",
        "exec('x')",
        "import pickle",
        "from pickle import loads",
        "import xml, dill as d",
        "yaml.load(text, Loader=yaml.Loader)",
        "subprocess.run(text, shell=True)",
        "subprocess.Popen(text, shell=flag)",
        "os.system(text)",
        "import tarfile\ntarfile.open(x).extractall(y)",
        "import tarfile\nwith tarfile.open(x) as content: content.extract(member)",
        "shutil.unpack_archive(x, y)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "h.read(allow_pickle=flag)",
    ],
)
def test_a_fault_would_be_found(code: str) -> None:
    assert list(faults(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "made().eval()",
        "re.compile(x)",
        "ast.literal_eval(x)",
        "yaml.safe_load(x)",
        "np.load(path, allow_pickle=False)",
        "torch.load(path, weights_only=True)",
        "subprocess.run([x], shell=False)",
    ],
)
def test_what_is_safe_is_allowed(code: str) -> None:
    assert not list(faults(ast.parse(code)))
