"""Stage combine: the events of all benchmarks and jobs as one shuffled sample."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np

from steps.events import madminer_file
from steps.events.combination import mixture_weights
from steps.interface import command, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import load_ph


def main() -> None:
    """Write ``data/combined_delphes.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-files", type=Path, nargs="+", required=True, help="MadMiner files")
    parser.add_argument("--seed", type=int, default=1, help="seed of the run")
    args = parser.parse_args()

    spec = load_ph(args.input_file)
    # By name, so that the order in which the jobs finished does not matter.
    files = sorted(args.data_files, key=lambda file: file.name)
    samples = [madminer_file.read_sample(file) for file in files]
    flow: Counter[str] = Counter()
    for sample in samples:
        flow.update(sample.cut_flow)
    for requirement, passed in flow.items():
        print(f"{passed} events: {requirement}")
        if passed == 0:
            raise InputError(
                f"{spec.path}: observables, cuts: no event passes '{requirement}'; "
                "loosen it or generate more events"
            )

    benchmarks = list(madminer_file.read_setup(files[0]).benchmarks)
    drawn_at = np.array([benchmarks.index(sample.sampled) for sample in samples])
    norms = np.full(len(benchmarks), np.inf)
    norms[drawn_at] = [sample.weight_norm for sample in samples]
    weights = mixture_weights(
        np.concatenate([sample.weights for sample in samples]),
        np.repeat(drawn_at, [len(sample.weights) for sample in samples]),
        norms,
    )
    observations = np.concatenate([sample.observations for sample in samples])
    order = seeds.generator(args.seed, "combine").permutation(len(weights))
    with atomic(args.output_dir / "data" / "combined_delphes.h5") as path:
        shutil.copyfile(files[0], path)
        # The weights are those of one sample, drawn from the mixture: MadMiner must neither scale
        # them by a benchmark's share of events nor use one benchmark's events alone.
        one_sample = np.zeros(len(weights), dtype=np.int64)
        madminer_file.replace_events(path, observations[order], weights[order], one_sample)


if __name__ == "__main__":
    command.run(main)
