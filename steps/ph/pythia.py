"""Stage pythia: generate the events of one job and shower them."""

import shutil
import tempfile
from pathlib import Path

from numpy.typing import NDArray

from steps.events import lhe, madminer_file, particle_file
from steps.events.origin import Origin
from steps.interface import command, plans, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import PhInput, load_ph
from steps.physics import amplitude, builtin, generator
from steps.physics.shower import CardError, shower


def main() -> None:
    """Write ``events/events.lhe.gz`` and, after the shower, ``events/particles.h5``."""
    parser = command.parser(main.__doc__)
    parser.add_argument("--config-file", type=Path, required=True, help="MadMiner set-up")
    parser.add_argument("--job-dir", type=Path, required=True, help="folder of the job's plan")
    args = parser.parse_args()

    spec = load_ph(args.input_file)
    setup = madminer_file.read_setup(args.config_file)
    plan = plans.read(args.job_dir)
    generate = _builtin if spec.generator["backend"] == "builtin" else _madgraph
    with atomic(args.output_dir / "events") as folder:
        folder.mkdir()
        event_file = folder / "events.lhe.gz"
        weights, weight_norm = generate(spec, setup, plan, args.job_dir, event_file)
        try:
            particles, kept = shower(
                event_file,
                spec.shower_card.read_text().splitlines(),
                len(weights),
                seeds.generator(plan.seed, "shower"),
                command.progress(len(weights), "events showered"),
            )
        except CardError as error:
            raise InputError(f"{spec.shower_card}: {error}; mend the card") from None
        sample = particle_file.Sample(
            particles=particles,
            weights=weights[kept],
            origin=Origin(plan.process, plan.benchmark, weight_norm),
            job=plan.job,
            seed=plan.seed,
        )
        particle_file.write(folder / "particles.h5", sample)


def _builtin(
    spec: PhInput, setup: madminer_file.Setup, plan: plans.Plan, job_dir: Path, event_file: Path
) -> tuple[NDArray, float]:
    """Write parton events; return their weights ``(n, n_benchmarks)`` and sigma / N in pb."""
    points = [builtin.wilson_coefficients(setup.card_values(v)) for v in setup.benchmarks.values()]
    point = points[list(setup.benchmarks).index(plan.benchmark)]
    grid = plans.read_grid(job_dir)
    events = generator.generate(
        builtin.process(spec.generator),
        grid,
        point,
        plan.n_events,
        seeds.generator(plan.seed, "generator"),
        command.progress(plan.n_events, "events generated"),
    )
    weights = generator.benchmark_weights(
        events, grid.cross_section, plan.n_events_all_jobs, point, points
    )
    lhe.write(
        event_file,
        events.pdg_id,
        events.momenta,
        weights,
        list(setup.benchmarks),
        plan.benchmark,
        beam_energy=0.5 * spec.generator["energy"],
        cross_section=(grid.cross_section, grid.error),
        scale=spec.generator["scale"],
        alphas=(amplitude.ALPHA_EW, -1.0),
    )
    return weights, grid.cross_section / plan.n_events_all_jobs


def _madgraph(
    spec: PhInput, setup: madminer_file.Setup, plan: plans.Plan, job_dir: Path, event_file: Path
) -> tuple[NDArray, float]:
    """Let MadGraph generate and reweight; return as :func:`_builtin`."""
    from steps.programs import madgraph

    process = next(p for p in spec.generator["processes"] if p["name"] == plan.process)
    script = list(setup.benchmarks).index(plan.benchmark) if plan.benchmark else 0
    print(f"MadGraph: {plan.n_events} events of {plan.process} at {plan.benchmark or 'any point'}")
    try:
        with tempfile.TemporaryDirectory(dir=event_file.parent.resolve()) as scratch:
            found = madgraph.find([process["process_card"]], Path(scratch))
            shutil.unpack_archive(job_dir / "process.tar.gz", scratch)
            folder = Path(scratch) / plan.process
            made = madgraph.generate(found, folder, script, plan.n_events, plan.seed)
            shutil.copyfile(made, event_file)
        weights, cross_section = lhe.read_weights(
            event_file, list(setup.benchmarks), plan.benchmark
        )
    except (madgraph.MadGraphError, lhe.WeightsError) as error:
        raise InputError(f"{spec.path}: generator: {plan.process}: {error}") from None
    # MadGraph may end with fewer events than it was asked for.
    share = process["branching_ratio"] * plan.n_events / plan.n_events_all_jobs
    return share * weights, share * cross_section / len(weights)


if __name__ == "__main__":
    command.run(main)
