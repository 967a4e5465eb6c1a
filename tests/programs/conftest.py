"""Stand-ins for MadGraph and Delphes, which behave like them as far as the stages can see."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stages import ROOT

from steps.programs import madgraph

# Generates with the built-in generator what the cards ask for, and writes it as MadGraph does;
# leaves a file where it is started, as MadGraph does, and tells of its surroundings.
MADGRAPH = f"""
import json, os, re, sys
from pathlib import Path
Path("py.py").touch()
with Path(__file__).with_name("started").open("a") as started:
    started.write(json.dumps({{"cwd": os.getcwd(), "environment": dict(os.environ)}}) + "\\n")
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
commands = Path(sys.argv[1]).read_text()
if output := re.search(r"^output (\\S+)", commands, re.M):
    assert "auto_convert_model" in commands
    if "nonsense" in commands:
        print('Command "generate nonsense" interrupted with error:')
        print("InvalidCmd : No particle nonsense in model")
        sys.exit(0)
    cards = Path(output[1]) / "Cards"
    cards.mkdir(parents=True)
    (Path(output[1]) / "SubProcesses").mkdir()
    (cards / "param_card.dat").write_text("Block dim6\\n 2 0.0\\n 3 0.0\\n 5 0.0\\n")
    (cards / "proc").write_text(commands)
    sys.exit(0)
folder = Path(re.search(r"launch (\\S+)", commands)[1])
from steps.events import lhe
from steps.physics import generator, amplitude
from steps.physics.partons import PartonDensities
from steps.physics.phase_space import Cuts
def value(card, name):
    return re.search(rf"^\\s*(\\S+)\\s*=\\s*{{name}}\\b", card, re.M)[1]
run_card = (folder / "Cards/run_card.dat").read_text()
n, seed = int(value(run_card, "nevents")), int(value(run_card, "iseed"))
def point(text):
    # A whole parameter card has other blocks.
    text = re.split(r"^Block dim6.*$", text, flags=re.I | re.M)[-1]
    text = re.split(r"^(?:Block|DECAY)", text, flags=re.I | re.M)[0]
    found = dict(re.findall(r"^\\s*(?:set dim6)?\\s*(\\d)\\s+(\\S+)", text, re.M))
    return {{"CWL2": float(found["2"]), "CPWL2": float(found.get("5", 0))}}
own = point((folder / "Cards/param_card.dat").read_text())
background = "reweight=OFF" in commands
points = {{"own": own}}
if not background:
    for block in (folder / "Cards/reweight_card.dat").read_text().split("launch --rwgt_name=")[1:]:
        name, rest = block.split("\\n", 1)
        points[name.strip()] = point(rest)
if "broken reweighting" in (folder / "Cards/proc").read_text():
    points = {{"own": own}}
process = generator.Process(PartonDensities("NNPDF31_lo_as_0130", 125.0), 13000.0, 1.0, Cuts())
rng = np.random.default_rng(seed)
grid = generator.adapt(process, own, rng, evaluations=2000, iterations=4)
events = generator.generate(process, grid, own, n, rng)
# As with event_norm = average: weights in pb that average to the cross section.
weights = generator.benchmark_weights(events, grid.cross_section, 1, own, list(points.values()))
number = 1 + len(list(folder.glob("Events/run_*")))
target = folder / f"Events/run_{{number:02}}/unweighted_events.lhe.gz"
target.parent.mkdir(parents=True)
sample = lhe.Weights(weights, list(points), "own")
head = lhe.Head(6500.0, (grid.cross_section, grid.error), 125.0, (0.0078, 0.13))
lhe.write(target, events.pdg_id, events.momenta, sample, head)
print("done", n, seed)
"""

# Counts the events of the HepMC file, and gives each two jets and a photon.
DELPHES = f"""#!{sys.executable}
import sys
import awkward as ak, numpy as np, uproot
card, target, source = sys.argv[1:]
if "broken" in open(card).read():
    print("** ERROR: can't read card")
    sys.exit(1)
n = sum(line.startswith("E ") for line in open(source))
rng = np.random.default_rng(1)
columns = {{}}
for branch, count in (("Jet", 2), ("Photon", 1)):
    for leaf, low, high in (("PT", 35, 90), ("Eta", -3, 3), ("Phi", -3, 3), ("Mass", 1, 5)):
        values = rng.uniform(low, high, n * count).astype(np.float32)
        columns[f"{{branch}}.{{leaf}}"] = ak.unflatten(values, np.full(n, count))
with uproot.recreate(target) as file:
    file.mktree("Delphes", {{name: "var * float32" for name in columns}})
    file["Delphes"].extend(columns)
"""


@contextmanager
def _madgraph(folder: Path) -> Iterator[Path]:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "mg5_aMC").write_text(MADGRAPH)
    found = madgraph.Installation(folder, Path(sys.executable))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(madgraph, "find", lambda cards, scratch=None: found)
        # A Python that got these would not start.
        patch.setenv("PYTHONPATH", "/nowhere")
        patch.setenv("PYTHONHOME", "/nowhere")
        yield folder


@pytest.fixture(scope="session")
def madgraph_in():
    """Context manager: makes a folder look like MadGraph, found without a look at compilers."""
    return _madgraph


@pytest.fixture
def fake_madgraph(tmp_path) -> Iterator[Path]:
    """A folder that looks like MadGraph, for one test."""
    with _madgraph(tmp_path / "mg5") as folder:
        yield folder


@pytest.fixture
def fake_delphes(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "delphes"
    folder.mkdir()
    (folder / "DelphesHepMC3").write_text(DELPHES)
    (folder / "DelphesHepMC3").chmod(0o755)
    monkeypatch.setenv("DELPHES_DIR", str(folder))
    return folder
