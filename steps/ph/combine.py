"""Stage combine: the events of all benchmarks and jobs as one shuffled sample."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file
from steps.events.combination import mixture_weights, morphed, pooled_norms, shares
from steps.settings import arguments, physics, stages
from steps.stage import command, seeds
from steps.stage.errors import InputError, SettingError
from steps.stage.files import atomic


def main() -> None:
    """Write ``data/combined_delphes.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    parser.add_argument("--data-files", type=Path, nargs="+", required=True, help="MadMiner files")
    arguments.add(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    settings = physics.of_stage(args, stages.Combine)
    # By name, so that the order in which the jobs finished does not matter.
    files = sorted(args.data_files, key=lambda file: file.name)
    samples = [_sample(file, args.config_file) for file in files]
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

    benchmarks = list(madminer_file.read_setup(args.config_file).benchmarks)
    columns: list[tuple[Array, Array, Array]] = []
    for process in dict.fromkeys(sample.origin.process for sample in samples):
        members = [sample for sample in samples if sample.origin.process == process]
        columns.append(_joined(members, benchmarks))
    observations, weights, sampled = (np.concatenate(c) for c in zip(*columns, strict=True))
    for name, cross_section in zip(benchmarks, weights.sum(axis=0), strict=True):
        print(f"{name}: {cross_section:.4e} pb after cuts")
    order = seeds.generator(settings.seed, "combine").permutation(len(weights))
    with atomic(args.output_dir / "data" / "combined_delphes.h5") as path:
        observables = madminer_file.read_observables(files[0])
        madminer_file.write_setup(path, args.config_file, observables)
        madminer_file.replace_events(path, observations[order], weights[order], sampled[order])


def _sample(file: Path, setup_file: Path) -> madminer_file.Sample:
    """Read the events of a job, with weights at all benchmarks of the set-up."""
    sample = madminer_file.read_sample(file)
    wanted, known = (madminer_file.read_setup(f).benchmarks for f in (setup_file, file))
    if any(wanted.get(name) != values for name, values in known.items()):
        raise InputError(f"{file}: has other benchmarks than {setup_file}; run its job again")
    columns = dict(zip(known, sample.weights.T, strict=True))
    missing = [name for name in wanted if name not in known]
    if missing:
        exponents = madminer_file.read_exponents(setup_file)
        basis = list(wanted)[: len(exponents)]
        at, to = (np.array([list(wanted[b].values()) for b in names]) for names in (basis, missing))
        at_basis = np.stack([columns[name] for name in basis], axis=1)
        columns |= dict(zip(missing, morphed(at_basis, at, to, exponents).T, strict=True))
    return replace(sample, weights=np.stack([columns[name] for name in wanted], axis=1))


def _joined(
    samples: Sequence[madminer_file.Sample], benchmarks: Sequence[str]
) -> tuple[Array, Array, Array]:
    """Join the samples of one process: observations, weights and MadMiner's sampling index."""
    background = not samples[0].origin.benchmark
    origins = [sample.origin for sample in samples]
    drawn_at = np.array([0 if background else benchmarks.index(o.benchmark) for o in origins])
    n_events = np.array([origin.n_events for origin in origins])
    observations = np.concatenate([sample.observations for sample in samples])
    # The weights of a job are those of its events alone: it does not know how many jobs there are.
    share = shares(drawn_at, n_events)
    weights = np.concatenate([f * sample.weights for f, sample in zip(share, samples, strict=True)])
    if background:
        return observations, weights, np.full(len(weights), -1)
    cross_sections = np.array([origin.cross_section for origin in origins])
    norms = pooled_norms(drawn_at, n_events, cross_sections, len(benchmarks))
    drawn_at = np.repeat(drawn_at, [len(sample.weights) for sample in samples])
    weights = mixture_weights(weights, drawn_at, norms)
    # The weights are those of one sample, drawn from the mixture: MadMiner must neither scale
    # them by a benchmark's share of events nor use one benchmark's events alone.
    return observations, weights, np.zeros(len(weights), dtype=np.int64)


if __name__ == "__main__":
    command.run(main, "physics")
