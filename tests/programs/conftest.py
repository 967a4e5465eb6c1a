"""Stand-ins for MadGraph and Delphes, which behave like them as far as the stages can see."""

import sys
from pathlib import Path

import pytest

from steps.programs import madgraph

ROOT = Path(__file__).parents[2]

# Generates with the built-in generator what the cards ask for, and writes it as MadGraph does.
MADGRAPH = f"""
import gzip, re, sys
from pathlib import Path
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
target = folder / "Events/run_01/unweighted_events.lhe.gz"
target.parent.mkdir(parents=True)
lhe.write(target, events.pdg_id, events.momenta, weights, list(points), "own", beam_energy=6500.0,
          cross_section=(grid.cross_section, grid.error), scale=125.0, alphas=(0.0078, 0.13))
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


@pytest.fixture
def fake_madgraph(tmp_path, monkeypatch) -> Path:
    """A folder that looks like MadGraph, found without a look at compilers."""
    folder = tmp_path / "mg5"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "mg5_aMC").write_text(MADGRAPH)
    found = madgraph.Installation(folder, Path(sys.executable))
    monkeypatch.setattr(madgraph, "find", lambda cards, scratch=None: found)
    return folder


@pytest.fixture
def fake_delphes(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "delphes"
    folder.mkdir()
    (folder / "DelphesHepMC3").write_text(DELPHES)
    (folder / "DelphesHepMC3").chmod(0o755)
    monkeypatch.setenv("DELPHES_DIR", str(folder))
    return folder
