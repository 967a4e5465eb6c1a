"""The whole workflow, small: a change runs what reads it, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.engine.resume import contents, journal

ROOT = Path(__file__).parents[2]
SIZES = {
    "num_events": "300",
    "mlflow_args_s": "n_samples_train=1000",
    "mlflow_args_t": "num_epochs=1",
    "mlflow_args_e": "n_toys=0",
    "mlflow_server": "''",
    "mlflow_username": "''",
}
DATA = "workflow_ph/combine/data/combined_delphes.h5"

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


class Analysis:
    """A small analysis with input files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "inputs", folder / "inputs")

        profile = "input_file_ph: ph/input.yml\ninput_file_ml: ml/input.yml\nseed: 1\n"
        lines = (f'{name}: "{value}"\n' for name, value in SIZES.items())
        self.profile = folder / "profile.yml"
        self.profile.write_text(profile + "num_procs_per_job: 0\n" + "".join(lines))

    def call(self, target: str, *options: str) -> None:
        inputs = [f"--profile={self.profile}"]
        inputs += [f"--input-file-ph={self.folder}/inputs/ph/input.yml"] * (target != "ml")
        inputs += [f"--input-file-ml={self.folder}/inputs/ml/input.yml"] * (target != "ph")
        result = subprocess.run(
            [*(sys.executable, "-m", "scripts.run", target), *inputs, *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr

    def run(self, target: str = "all", *options: str) -> set[str]:
        """Return the stages of which a step ran, checks apart, with the numbers of steps."""
        place = self.folder / f"run_{target}"
        self.call(target, f"--workdir={place}", *options)
        ran = [line.of["label"].split("/")[-1] for line in journal.read(place) if not line.kept]
        stages = [label.rstrip("0123456789").rstrip("_") for label in ran]
        return {f"{stages.count(stage)} {stage}" for stage in stages if stage != "check"}

    def change(self, half: str, old: str, new: str) -> None:
        path = self.folder / f"inputs/{half}/input.yml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    made = Analysis(tmp_path_factory.mktemp("resume"))
    made.run()
    return made


def test_a_half_takes_the_steps_of_the_whole(analysis):
    assert analysis.run("ph") == set()
    data = analysis.folder / "run_all" / DATA
    assert analysis.run("ml", f"--data-file={data}") == set()


def test_a_plot_is_drawn_again_alone(analysis):
    analysis.change("ml", "  rates: True", "  rates: False")
    assert analysis.run() == {"1 plotting"}


def test_a_comment_changes_nothing(analysis):
    analysis.change("ml", "methods:", "# a comment\nmethods:")
    assert analysis.run() == set()


def test_a_setting_of_one_method_trains_that_one(analysis):
    """Only the loss of ALICES has the weight alpha."""
    analysis.change("ml", "training:", "morphing: {alpha: 0.2}\ntraining:")
    assert analysis.run() == {"1 training", "1 evaluating", "1 plotting"}


def test_one_method_more_trains_that_one(analysis):
    analysis.change("ml", "[alice, alices, sally]", "[alice, alices, sally, carl]")
    analysis.change("ml", "sally:\n", "carl:\n  theta_0: *region\n  theta_1: *sm\n\nsally:\n")
    ran = analysis.run()
    assert ran == {"1 sampling", "1 training", "1 evaluating", "1 plotting"}


def test_more_events_add_jobs(analysis):
    events = analysis.folder / "run_ph/combine/data/combined_delphes.h5"
    first = contents.of_file(events)
    analysis.change("ph", "events_per_job: 8000", "events_per_job: 300")
    # All events were one job of each benchmark, and are.
    assert analysis.run("ph") == {"1 generate"}
    more = analysis.run("ph", "-p", "num_events=600")
    assert more == {"1 generate", "6 pythia", "6 delphes", "1 combine"}
    assert analysis.run("ph") == set()
    assert contents.of_file(events) == first


def test_an_observable_leaves_the_generator_alone(analysis):
    name = "observables:\n"
    more = "  - {name: 'm_jj', definition: '(j[0] + j[1]).m', required: True, default: null}\n"
    analysis.change("ph", name, name + more)
    assert analysis.run("ph") == {"6 delphes", "1 combine"}


def test_a_benchmark_outside_the_basis_adds_its_own_job(analysis):
    new = (
        "  - {name: more, in_basis: False, parameter_name_1: CWL2, value_1: 0.3, "
        "parameter_name_2: CPWL2, value_2: 0.4}\n\nset_morphing:\n"
    )
    analysis.change("ph", "\nset_morphing:\n", new)
    assert analysis.run("ph") == {
        *("1 configure", "1 generate", "1 pythia", "1 delphes", "1 combine")
    }
