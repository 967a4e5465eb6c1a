"""Stage pythia: generate the events of one job and shower them."""

from pathlib import Path

from steps.events import lhe, madminer_file, particle_file
from steps.interface import command, plans, seeds
from steps.interface.errors import InputError
from steps.interface.files import atomic
from steps.interface.inputs import load_ph
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
    plan, grid = plans.read(args.job_dir)
    points = [builtin.wilson_coefficients(setup.card_values(v)) for v in setup.benchmarks.values()]
    point = points[list(setup.benchmarks).index(plan.benchmark)]

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
    with atomic(args.output_dir / "events") as folder:
        folder.mkdir()
        event_file = folder / "events.lhe.gz"
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
        try:
            particles, kept = shower(
                event_file,
                spec.shower_card.read_text().splitlines(),
                plan.n_events,
                seeds.generator(plan.seed, "shower"),
                command.progress(plan.n_events, "events showered"),
            )
        except CardError as error:
            raise InputError(f"{spec.shower_card}: {error}; mend the card") from None
        sample = particle_file.Sample(
            particles=particles,
            weights=weights[kept],
            sampled=plan.benchmark,
            weight_norm=grid.cross_section / plan.n_events_all_jobs,
            job=plan.job,
            seed=plan.seed,
        )
        particle_file.write(folder / "particles.h5", sample)


if __name__ == "__main__":
    command.run(main)
