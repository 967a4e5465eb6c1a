"""Stage combine: the events of all benchmarks and jobs as one shuffled sample."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.events import madminer_file
from steps.events.combination import (
    fitted,
    mixture_weights,
    monomials,
    morphed,
    pooled_cross_sections,
    pooled_norms,
    shares,
)
from steps.events.responses import Form, at_plus_and_minus_one, kept_variance
from steps.settings import arguments, physics, stages
from steps.settings.systematics import Entry, of_detector
from steps.stage import command, seeds
from steps.stage.errors import InputError, SettingError
from steps.stage.files import atomic


def main() -> None:
    """Write ``data/combined_delphes.h5``, a MadMiner file."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    parser.add_argument(
        "--data-files", nargs="+", action=command.Files, required=True, help="MadMiner files"
    )
    arguments.add(parser, *arguments.PHYSICS)
    args = parser.parse_args()

    settings = physics.of_stage(args, stages.Combine)
    # By name, so that the order in which the jobs finished does not matter.
    files = sorted(args.data_files, key=lambda file: file.name)
    samples = _numbered([_sample(file, args.config_file) for file in files])
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
    processes = _processes(samples)
    k_factors = {name: settings.k_factors.get(name, settings.k_factor) for name in processes}
    events = _joined(samples, benchmarks, k_factors, settings.systematics)
    for number, (name, k_factor) in enumerate(k_factors.items()):
        cross_section = events.weights[events.processes == number, 0].sum()
        print(
            f"{name}: {cross_section:.4e} pb after cuts at {benchmarks[0]}, "
            f"k_factor {k_factor:g} included"
        )
    for name, cross_section in zip(benchmarks, events.weights.sum(axis=0), strict=True):
        print(f"{name}: {cross_section:.4e} pb after cuts")
    order = seeds.generator(settings.seed, "combine").permutation(len(events.weights))
    events = events[order]
    with atomic(args.output_dir / "data" / "combined_delphes.h5") as path:
        observables = madminer_file.read_observables(files[0])
        madminer_file.write_setup(path, args.config_file, observables)
        madminer_file.replace_events(path, events.observations, events.weights, events.sampled)
        about = madminer_file.Processes(processes, events.processes, events.events)
        madminer_file.write_processes(path, about)
        before_cuts = [
            k_factor * _cross_sections(_of(samples, name), args.config_file)
            for name, k_factor in k_factors.items()
        ]
        madminer_file.write_cross_sections(path, np.array(before_cuts))
        if settings.systematics:
            described, logs = _responses(settings.systematics, events)
            madminer_file.write_systematics(path, described, logs)
        for entry in of_detector(settings.systematics):
            sides = []
            for side in (0, 1):
                moved = [_moved(sample, entry["name"], side) for sample in samples]
                made = _joined(moved, benchmarks, k_factors, ())
                rng = seeds.generator(settings.seed, "combine", entry["name"], side)
                made = made[rng.permutation(len(made.weights))]
                columns = (made.observations, made.weights, made.events, made.processes)
                sides.append(madminer_file.Shifted(*columns))
                change = made.weights[:, 0].sum() / events.weights[:, 0].sum() - 1
                print(
                    f"{entry['name']} {('up', 'down')[side]}: {change:+.2%} pass at {benchmarks[0]}"
                )
            madminer_file.write_shifted(path, entry["name"], *sides)


@dataclass(frozen=True)
class _Events:
    """Columns of events of all processes; ``logs`` are log responses by systematic, ``(n, m)``."""

    observations: Array
    weights: Array
    sampled: Array
    processes: Array
    events: Array
    logs: Mapping[str, Array]

    def __getitem__(self, rows: Array) -> "_Events":
        columns = {k: v[rows] for k, v in vars(self).items() if k != "logs"}
        return _Events(**columns, logs={name: logs[rows] for name, logs in self.logs.items()})


def _numbered(samples: Sequence[madminer_file.Sample]) -> list[madminer_file.Sample]:
    """Number the events of all jobs, which number theirs from zero."""
    sizes = [sample.origin.n_events for sample in samples]
    starts = np.cumsum([0, *sizes[:-1]])
    return [
        replace(
            sample,
            events=sample.events + start,
            shifted={
                name: (
                    replace(up, events=up.events + start),
                    replace(down, events=down.events + start),
                )
                for name, (up, down) in sample.shifted.items()
            },
        )
        for sample, start in zip(samples, starts, strict=True)
    ]


def _processes(samples: Sequence[madminer_file.Sample]) -> list[str]:
    """Return the names of the processes, those that depend on the parameters first."""
    origins = sorted((sample.origin for sample in samples), key=lambda o: o.is_background)
    return list(dict.fromkeys(origin.name for origin in origins))


def _of(samples: Sequence[madminer_file.Sample], process: str) -> list[madminer_file.Sample]:
    return [sample for sample in samples if sample.origin.name == process]


def _cross_sections(samples: Sequence[madminer_file.Sample], setup_file: Path) -> Array:
    """Return the cross sections of a process before cuts at all benchmarks, in pb."""
    benchmarks = madminer_file.read_setup(setup_file).benchmarks
    origins = [sample.origin for sample in samples]
    found = np.array([origin.cross_section for origin in origins])
    n_events = np.array([origin.n_events for origin in origins])
    if origins[0].is_background:
        return np.full(len(benchmarks), np.average(found, weights=n_events))
    names = list(benchmarks)
    sampled = np.array([names.index(origin.benchmark) for origin in origins])
    known = np.isin(np.arange(len(names)), sampled)
    means = pooled_cross_sections(sampled, n_events, found, len(names))
    # Benchmarks that no events were drawn at lie on the polynomial of the others.
    points = np.array([list(values.values()) for values in benchmarks.values()])
    exponents = madminer_file.read_exponents(setup_file)
    coefficients = fitted(means[known], points[known], exponents)
    return np.where(known, means, monomials(points, exponents) @ coefficients)


def _moved(sample: madminer_file.Sample, name: str, side: int) -> madminer_file.Sample:
    """Return a sample with its events shifted; unchanged where its process is not affected."""
    if name not in sample.shifted:
        return sample
    return replace(sample, **vars(sample.shifted[name][side]))


def _responses(systematics: Sequence[Entry], events: _Events) -> tuple[list[dict[str, Any]], Array]:
    """Return a description of each nuisance parameter and the log responses to it, (n, k, 2)."""
    described, logs = [], []
    nominal = events.weights[:, 0]
    for entry in systematics:
        own = {key: value for key, value in entry.items() if key not in ("name", "parameters")}
        described += [{"name": p, "systematic": entry["name"], **own} for p in entry["parameters"]]
        form = Form(entry["form"])
        if form is Form.SHIFTED:
            logs.append(np.zeros((len(nominal), 1, 2)))
            continue
        found, components = events.logs[entry["name"]], entry.get("components", 0)
        logs.append(at_plus_and_minus_one(form, found, nominal, components))
        if form is Form.REPLICAS:
            share = kept_variance(found, nominal, components)
            print(f"{entry['name']}: {components} components keep {share:.1%} of the variance")
        for k, parameter in enumerate(entry["parameters"]):
            up, down = (np.average(np.exp(logs[-1][:, k, s]), weights=nominal) - 1 for s in (0, 1))
            print(f"{parameter}: {up:+.2%} {down:+.2%} of the cross section after cuts")
    return described, np.concatenate(logs, axis=1)


def _sample(file: Path, setup_file: Path) -> madminer_file.Sample:
    """Read the events of a job, with weights at all benchmarks of the set-up."""
    sample = madminer_file.read_sample(file)
    wanted, known = (madminer_file.read_setup(f).benchmarks for f in (setup_file, file))
    if any(wanted.get(name) != values for name, values in known.items()):
        raise InputError(f"{file}: has other benchmarks than {setup_file}; run its job again")
    missing = [name for name in wanted if name not in known]
    exponents = madminer_file.read_exponents(setup_file) if missing else np.zeros((0, 0))
    basis = list(wanted)[: len(exponents)]
    at, to = (np.array([list(wanted[b].values()) for b in names]) for names in (basis, missing))

    def complete(weights: Array) -> Array:
        if sample.origin.is_background:
            return np.repeat(weights[:, :1], len(wanted), axis=1)
        columns = dict(zip(known, weights.T, strict=True))
        if missing:
            at_basis = np.stack([columns[name] for name in basis], axis=1)
            columns |= dict(zip(missing, morphed(at_basis, at, to, exponents).T, strict=True))
        return np.stack([columns[name] for name in wanted], axis=1)

    return replace(
        sample,
        weights=complete(sample.weights),
        shifted={
            name: (
                replace(up, weights=complete(up.weights)),
                replace(down, weights=complete(down.weights)),
            )
            for name, (up, down) in sample.shifted.items()
        },
    )


def _joined(
    samples: Sequence[madminer_file.Sample],
    benchmarks: Sequence[str],
    k_factors: Mapping[str, float],
    systematics: Sequence[Entry],
) -> _Events:
    """Join the samples of all processes, with log responses to the systematics that have them.

    Weights get the factors ``k_factors`` of their processes, which are numbered in their order.
    """
    logs: dict[str, list[Array]] = {e["name"]: [] for e in systematics if e["form"] != Form.SHIFTED}
    columns = []
    for number, (process, k_factor) in enumerate(k_factors.items()):
        members = _of(samples, process)
        observations, weights, sampled = _of_process(members, benchmarks)
        columns.append(
            (
                observations,
                k_factor * weights,
                sampled,
                np.full(sum(len(sample.weights) for sample in members), number),
                np.concatenate([sample.events for sample in members]),
            )
        )
        for entry in systematics:
            if entry["name"] in logs:
                logs[entry["name"]] += [_log_responses(sample, entry) for sample in members]
    observations, weights, sampled, numbers, events = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    of_all = {name: np.concatenate(parts) for name, parts in logs.items()}
    return _Events(observations, weights, sampled, numbers, events, of_all)


def _log_responses(sample: madminer_file.Sample, entry: Entry) -> Array:
    """Return a sample's log responses to a systematic, zero where its process is not affected."""
    n, affected = len(sample.weights), sample.origin.name in entry["processes"]
    if entry["type"] == "norm":
        return np.full((n, 1), np.log1p(entry["value"]) if affected else 0.0)
    if not affected:
        return np.zeros((n, entry["columns"]))
    if entry["name"] not in sample.log_responses:
        raise InputError(
            f"{sample.origin.label}: a job does not know the systematic '{entry['name']}'; "
            "run it again"
        )
    return sample.log_responses[entry["name"]]


def _of_process(
    samples: Sequence[madminer_file.Sample], benchmarks: Sequence[str]
) -> tuple[Array, Array, Array]:
    """Join the samples of one process: observations, weights and MadMiner's sampling index."""
    background = samples[0].origin.is_background
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
