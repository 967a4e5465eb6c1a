"""What several tests of the physics share and takes seconds to make."""

import numpy as np
import pytest

from steps.physics import generator
from steps.physics.partons import PartonDensities
from steps.physics.phase_space import Cuts


@pytest.fixture(scope="session")
def densities():
    return PartonDensities("NNPDF31_lo_as_0130", 125.0)


@pytest.fixture(scope="session")
def process(densities):
    """The default process, without the branching ratio."""
    return generator.Process(densities, 13000.0, 1.0, Cuts(pt_min=10.0))


@pytest.fixture(scope="session")
def sm_grid(process):
    return generator.adapt(process, {}, np.random.default_rng(1))


@pytest.fixture(scope="session")
def sm_events(process, sm_grid):
    return generator.generate(process, sm_grid, {}, 40_000, np.random.default_rng(2))
