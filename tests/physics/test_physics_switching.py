"""What switching one systematic off changes: the second analysis, as shipped, with three more."""

import shutil

import h5py
import numpy as np
import pytest
import yaml
from stages import ROOT, call_stage, checked

from steps.events import madminer_file

pytestmark = pytest.mark.slow

INPUT = ROOT / "inputs/ph/jets_photons.yml"
# Beside the shipped ones: densities of all processes, scale and shower of one of Pythia's.
MORE = [
    {"name": "pdf", "type": "pdf", "value": "NNPDF31_lo_as_0118"},
    {
        "name": "photon_scale",
        "type": "scale",
        "scale": "mu",
        "value": "0.5,2",
        "processes": ["diphoton"],
    },
    {
        "name": "isr",
        "type": "shower",
        "variation": "isr",
        "value": "0.5,2",
        "processes": ["diphoton"],
    },
]
SHIPPED = yaml.safe_load(INPUT.read_text())["systematics"]
ALL = [entry["name"] for entry in [*SHIPPED, *MORE]]
SIGNAL, SIZES = 40, {"ggF": 40, "diphoton": 80}


class Runs:
    """Runs of the stages that do a step once for the same settings and files, as ``make run``."""

    def __init__(self, folder):
        self._folder = folder
        self._made = {}
        shutil.copytree(INPUT.parent / "cards", folder / "cards")

    def file(self, without=None):
        """Return the combined file of a run with one systematic switched off."""
        content = yaml.safe_load(INPUT.read_text())
        content["generator"]["num_events"] = SIGNAL
        for process in content["generator"]["processes"]:
            process["num_events"] = SIZES[process["name"]]
        content["systematics"] = [e for e in [*SHIPPED, *MORE] if e["name"] != without]
        (self._folder / "input.yml").write_text(yaml.safe_dump(content))
        texts = checked(self._folder / "input.yml", self._folder, seed=1)

        config = self._step("configure", texts, ()) / "data/madminer_config.h5"
        generated = self._step("generate", texts, (config,), config_file=config)
        data = []
        for job in sorted((generated / "jobs").iterdir()):
            showered = self._step("pythia", texts, (job,), job_dir=job)
            events = showered / "events"
            measured = self._step("delphes", texts, (events,), events_dir=events)
            data += measured.glob("data/*.h5")
        options = {"config_file": config, "data_files": data}
        combined = self._step("combine", texts, (config, *data), **options)
        return combined / "data/combined_delphes.h5"

    def _step(self, name, texts, files, **options):
        key = (name, texts[name], files)
        if key not in self._made:
            out = self._folder / f"{name}_{len(self._made)}"
            settings = self._folder / "settings" / f"{name}.yml"
            call_stage(name, {"settings": settings, "output_dir": out} | options)
            self._made[key] = out
        return self._made[key]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("switching"))


def content(path):
    """Return nominal events; responses ``(n, 2)``, shifted events and benchmarks by parameter."""
    described = madminer_file.read_systematics(path)
    with h5py.File(path) as file:
        names = [name.decode() for name in file["benchmarks/names"][()]]
        columns = {name: file[f"samples/{name}"][()] for name in file["samples"]}
    nominal = [not name.startswith("nu_") for name in names]
    made = {name: columns["weights"][:, k] for k, name in enumerate(names) if not nominal[k]}
    columns["weights"] = columns["weights"][:, nominal]
    columns["processes"] = np.array(madminer_file.read_processes(path).names)[columns["processes"]]
    responses = madminer_file.read_responses(path)
    shifted = {
        e["name"]: madminer_file.read_shifted(path, e["name"])
        for e in described
        if e["type"] == "detector"
    }
    by_name = {e["name"]: responses[:, k] for k, e in enumerate(described)}
    return columns, by_name, shifted, made


def same(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[k], two[k]) for k in one)


@pytest.fixture(scope="module")
def all_on(runs):
    return content(runs.file())


def test_every_process_and_systematic_is_there(all_on):
    columns, responses, shifted, made = all_on
    assert set(columns["processes"]) == {"signal", *SIZES}
    assert list(responses) == ALL
    assert list(shifted) == ["jet_energy", "photon_energy"]
    of_norms = [f"nu_{name}_up" for name in ("luminosity", "ggF_rate", "diphoton_rate")]
    others = ("scale", "pdf", "photon_scale", "isr")
    of_others = [f"nu_{name}_{side}" for name in others for side in ("up", "down")]
    assert list(made) == of_norms + of_others


def test_weights_of_processes_that_are_not_named_are_those_at_zero(all_on):
    columns, _, _, made = all_on
    nominal, processes = columns["weights"][:, 0], columns["processes"]
    named = {"ggF_rate": "ggF", "diphoton_rate": "diphoton", "scale": "signal"}
    for name, process in (named | {"photon_scale": "diphoton"}).items():
        for benchmark in {f"nu_{name}_up", f"nu_{name}_down"} & made.keys():
            np.testing.assert_array_equal(made[benchmark] != nominal, processes == process)


@pytest.mark.parametrize("name", [name for name in ALL if name != "isr"])
def test_one_switched_off_leaves_all_else_to_the_last_bit(runs, all_on, name):
    """Table 'What switching one off changes' in docs/systematics.md."""
    columns, responses, shifted, made = content(runs.file(without=name))
    before, responses_before, shifted_before, made_before = all_on
    assert list(responses) == [other for other in ALL if other != name]
    gone = f"nu_{name}_up", f"nu_{name}_down"
    assert list(made) == [other for other in made_before if other not in gone]
    assert list(shifted) == [other for other in shifted_before if other != name]
    assert same(columns, before)
    for other, found in responses.items():
        np.testing.assert_array_equal(found, responses_before[other])
    for other, sides in shifted.items():
        for one, two in zip(sides, shifted_before[other], strict=True):
            assert same(vars(one), vars(two))


def test_the_last_shower_switched_off_draws_other_events_of_its_processes_alone(runs, all_on):
    columns, responses, _, made = content(runs.file(without="isr"))
    before, responses_before, _, made_before = all_on
    assert list(made) == [name for name in made_before if not name.startswith("nu_isr")]
    rows = [np.argsort(c["events"]) for c in (columns, before)]
    for process in ("signal", *SIZES):
        chosen = [
            r[c["processes"][r] == process] for r, c in zip(rows, (columns, before), strict=True)
        ]
        others = process != "diphoton"
        pairs = [(responses[name], responses_before[name]) for name in ("scale", "pdf")]
        pairs += [(columns[name], before[name]) for name in ("observations", "weights")]
        for one, two in pairs[0 if others else 1 :]:
            assert np.array_equal(one[chosen[0]], two[chosen[1]]) == others
