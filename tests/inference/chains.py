"""The stages of the machine-learning half on a toy."""

import json
import runpy
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml
from matplotlib import pyplot

from inference.toys import Toy, blocks

ROOT = Path(__file__).parents[2]

_DRIVER = """
import json, runpy, sys
for argv in json.loads(sys.argv[1]):
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
"""


def call(argv: Sequence[object]) -> None:
    """Run a stage in this process, as its script is."""
    before, sys.argv = sys.argv, [str(word) for word in argv]
    try:
        path = ROOT.joinpath(*sys.argv[0].split(".")).with_suffix(".py")
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.argv = before
        pyplot.close("all")


@dataclass(frozen=True)
class Chain:
    """The stages of the machine-learning workflow on the toy, in a folder of their own."""

    toy: Toy
    folder: Path
    observed: str = ""

    def write_input(self, methods, **changes):
        k = self.toy.n_parameters
        content = {
            "methods": list(methods),
            "asymptotic_limits": {
                "region": {f"theta_{i}": {"min": -1.0, "max": 1.0} for i in range(k)},
                "resolutions": [7, 5][:k],
                "theta_true": [0.0] * k,
            },
            "histogram_vars": "x0",
            "training": {"hidden_layers": [10]},
            "morphing": {"hidden_layers": [16], "n_bags": 2},
        }
        content |= {method: blocks(method, k) for method in methods} | changes
        # Pseudo-experiments would take most of the time.
        content["evaluating"] = {"n_toys": 0, **content.get("evaluating", {})}
        (self.folder / "input.yml").write_text(yaml.safe_dump(content))

    @property
    def reference(self) -> Path:
        """What stage reference wrote."""
        return self.folder / "reference" / "reference.h5"

    def stage(self, name: str, output: str, *options: object) -> Sequence[object]:
        """Return the command line of a stage."""
        folder = self.folder / output
        common = ("--input-file", self.folder / "input.yml", "--output-dir", folder)
        return (f"steps.ml.{name}", *common, *options)

    def stages(self, n_runs=1, plots=True) -> list[Sequence[object]]:
        """Return the command lines of all stages, tiny."""
        methods = yaml.safe_load((self.folder / "input.yml").read_text())["methods"]
        data = ("--data-file", self.toy.path, "--overrides")
        seen = ("--observed-file", self.observed)
        calls, files = [self.stage("reference", "reference", *seen, *data)], []
        data = ("--reference-file", self.reference, *data)
        sampling = f"n_samples_train=1000 n_sampling_runs={n_runs}"
        calls.append(self.stage("sampling", "sampling", *data, sampling))
        for method, k in product(methods, range(n_runs)):
            trained, evaluated = f"training_{method}_{k}", f"evaluating_{method}_{k}"
            sample = ("--sample-dir", self.sample(method, k), "--overrides", "num_epochs=2")
            model = ("--model-file", self.folder / trained / "Model.tar.gz")
            calls.append(self.stage("training", trained, *sample))
            options = (*seen, *model, *data, "n_samples_test=500")
            calls.append(self.stage("evaluating", evaluated, *options))
            files.append(self.folder / evaluated / f"Results_{method}.tar.gz")
        if plots:
            options = ("--result-files", *files, "--reference-file", self.reference)
            calls.append(self.stage("plotting", "plotting", *options))
        return calls

    def sample(self, method: str, run: int = 0) -> Path:
        """Return the folder of the sample of a method and run."""
        return self.folder / "sampling" / "data" / f"Samples_{method}_{run}"

    def run(self, n_runs=1, plots=True) -> Path:
        """Run all stages; return the folder of the results."""
        for argv in self.stages(n_runs, plots):
            call(argv)
        return self.folder

    def run_afresh(self, n_runs=1, plots=True) -> Path:
        """Run all stages in an interpreter of their own."""
        calls = [[str(word) for word in argv] for argv in self.stages(n_runs, plots)]
        command = [sys.executable, "-c", _DRIVER, json.dumps(calls)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return self.folder
