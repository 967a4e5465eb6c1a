"""Stage combine: the events of all benchmarks and jobs as one shuffled sample."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file
from steps.events.combination import mixture_weights
from steps.settings import arguments, physics, stages
from steps.stage import command, seeds
from steps.stage.errors import SettingError
from steps.stage.files import atomic


def main() -> None:
    """Write ``data/combined_delphes.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--data-files", type=Path, nargs="+", required=True, help="MadMiner files")
    arguments.add(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    settings = physics.of_stage(args, stages.Combine)
    # By name, so that the order in which the jobs finished does not matter.
    files = sorted(args.data_files, key=lambda file: file.name)
    samples = [madminer_file.read_sample(file) for file in files]
    flow: Counter[str] = Counter()
    for sample in samples:
        flow.update(sample.cut_flow)
    for requirement, passed in flow.items():
        print(f"{passed} events: {requirement}")
        if passed == 0:
            raise SettingError(
                f"observables, cuts: no event passes '{requirement}'; "
                "loosen it or generate more events"
            )

    benchmarks = list(madminer_file.read_setup(files[0]).benchmarks)
    columns: list[tuple[Array, Array, Array]] = []
    for process in dict.fromkeys(sample.origin.process for sample in samples):
        members = [sample for sample in samples if sample.origin.process == process]
        columns.append(_joined(members, benchmarks))
    observations, weights, sampled = (np.concatenate(c) for c in zip(*columns, strict=True))
    for name, cross_section in zip(benchmarks, weights.sum(axis=0), strict=True):
        print(f"{name}: {cross_section:.4e} pb after cuts")
    order = seeds.generator(settings.seed, "combine").permutation(len(weights))
    with atomic(args.output_dir / "data" / "combined_delphes.h5") as path:
        shutil.copyfile(files[0], path)
        madminer_file.replace_events(path, observations[order], weights[order], sampled[order])


def _joined(
    samples: Sequence[madminer_file.Sample], benchmarks: Sequence[str]
) -> tuple[Array, Array, Array]:
    """Join the samples of one process: observations, weights and MadMiner's sampling index."""
    observations = np.concatenate([sample.observations for sample in samples])
    weights = np.concatenate([sample.weights for sample in samples])
    if not samples[0].origin.benchmark:
        return observations, weights, np.full(len(weights), -1)
    drawn_at = np.array([benchmarks.index(sample.origin.benchmark) for sample in samples])
    norms = np.array([sample.origin.weight_norm for sample in samples])
    # Jobs of a benchmark may have cross sections of their own, which differ by their errors.
    mean = [
        norms[drawn_at == k].mean() if k in drawn_at else np.inf for k in range(len(benchmarks))
    ]
    drawn_at = np.repeat(drawn_at, [len(sample.weights) for sample in samples])
    weights = mixture_weights(weights, drawn_at, np.array(mean))
    # The weights are those of one sample, drawn from the mixture: MadMiner must neither scale
    # them by a benchmark's share of events nor use one benchmark's events alone.
    return observations, weights, np.zeros(len(weights), dtype=np.int64)


if __name__ == "__main__":
    command.run(main, "physics")
