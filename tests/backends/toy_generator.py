"""A generator of a process of its own, u u-bar -> e- e+ at 500 GeV, for the tests."""

import gzip

import numpy as np

_ENERGY = 500.0
_HEAD = """<LesHouchesEvents version="1.0">
<init>
2212 2212 6500 6500 0 0 0 0 3 1
1.0 0.0 1.0 1
</init>
"""


class Backend:
    def __init__(self, settings):
        self._settings = settings

    @staticmethod
    def complete(section, card):
        return {"backend": section["backend"], **card("generator: card", None, "pythia8.cmnd")}

    def check(self, parameters):
        pass

    def check_morphing(self, benchmarks, weights, point):
        pass

    def find_programs(self):
        pass

    @property
    def event_settings(self):
        return {"backend": self._settings["backend"]}

    @property
    def exact_morphing(self):
        return False

    def prepare(self, setup_file, folder, seed, fan_out):
        (folder / "shared").write_text(self._settings["name"])
        for benchmark in ("sm", "w"):
            fan_out("ee", benchmark, lambda place: (place / "card").write_text("toy"))

    def generate(self, setup, plan, job_dir, event_file):
        assert (job_dir / "card").read_text() == "toy"
        rng = np.random.default_rng(plan.seed)
        half = 0.5 * _ENERGY
        with gzip.open(event_file, "wt") as file:
            file.write(_HEAD)
            for phi in rng.uniform(-np.pi, np.pi, plan.n_events):
                px, py = half * np.cos(phi), half * np.sin(phi)
                file.write(
                    "<event>\n4 1 1.0 91.0 -1 -1\n"
                    f"2 -1 0 0 501 0 0 0 {half} {half} 0 0 9\n"
                    f"-2 -1 0 0 0 501 0 0 {-half} {half} 0 0 9\n"
                    f"11 1 1 2 0 0 {px} {py} 0 {half} 0 0 9\n"
                    f"-11 1 1 2 0 0 {-px} {-py} 0 {half} 0 0 9\n</event>\n"
                )
            file.write("</LesHouchesEvents>\n")
        sigma = [(1 + values["C"]) ** 2 for values in setup.benchmarks.values()]
        weights = np.tile(sigma, (plan.n_events, 1)) / plan.n_events
        own = list(setup.benchmarks).index(plan.benchmark)
        return weights, sigma[own]
