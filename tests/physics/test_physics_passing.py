"""The filter before the detector, on events made by hand."""

import numpy as np
import pytest

from steps.events.particles import Particles
from steps.physics.passing import passing

PHOTON, ELECTRON, MUON, PION, NEUTRINO = 22, 11, -13, 211, 12


def particle(code, pt, eta=0.0, phi=0.0):
    momentum = pt * np.array([np.cosh(eta), np.cos(phi), np.sin(phi), np.sinh(eta)])
    return code, momentum


def events(*lists):
    flat = [p for particles in lists for p in particles]
    return Particles(
        np.array([len(particles) for particles in lists], dtype=np.int32),
        np.array([code for code, _ in flat], dtype=np.int32),
        np.array([momentum for _, momentum in flat], dtype=np.float32).reshape(-1, 4),
    )


def passes(wanted, *particles):
    (found,) = passing(events(particles), wanted)
    return bool(found)


def test_nothing_wanted_passes_all_also_of_no_events():
    assert passing(events([], [particle(PION, 1.0)]), {}).tolist() == [True, True]
    jets = {"photons": {"number": 1, "pt_min": 5.0}, "jets": {"number": 1, "pt_min": 5.0}}
    assert passing(events(), jets).tolist() == []
    assert passing(events([], []), jets).tolist() == [False, False]


def test_photons_count_above_a_transverse_momentum_and_within_eta():
    wanted = {"photons": {"number": 2, "pt_min": 20.0, "eta_max": 2.5}}
    first = particle(PHOTON, 30.0)
    assert passes(wanted, first, particle(PHOTON, 21.0, eta=-2.4))
    assert not passes(wanted, first, particle(PHOTON, 19.0))
    assert not passes(wanted, first, particle(PHOTON, 21.0, eta=-2.6))
    assert not passes(wanted, first, particle(PION, 30.0))


def test_some_pair_has_its_mass_in_the_window():
    """Back to back at eta = 0 the mass is the sum; a harder third photon does not spoil it."""
    wanted = {"photons": {"number": 2, "pt_min": 20.0, "mass_min": 120.0, "mass_max": 130.0}}
    pair = [particle(PHOTON, 62.5), particle(PHOTON, 62.5, phi=np.pi)]
    third = particle(PHOTON, 300.0, phi=0.5 * np.pi)
    assert passes(wanted, *pair)
    assert passes(wanted, third, *pair)
    assert not passes(wanted, third, pair[0])
    assert not passes(wanted, pair[0])


@pytest.mark.parametrize("code", [ELECTRON, -ELECTRON, MUON, -MUON])
def test_leptons_are_electrons_and_muons_of_both_charges(code):
    wanted = {"leptons": {"number": 1, "pt_min": 10.0}}
    assert passes(wanted, particle(code, 11.0))
    assert not passes(wanted, particle(code, 9.0))
    assert not passes(wanted, particle(NEUTRINO, 50.0))


def test_jets_are_clustered_from_what_is_visible():
    wanted = {"jets": {"number": 1, "pt_min": 20.0}}
    near = [particle(PION, 12.0), particle(PION, 12.0, eta=0.2)]
    assert passes(wanted, *near)
    assert not passes(wanted, particle(PION, 12.0), particle(PION, 12.0, eta=1.0))
    assert not passes(wanted, particle(PION, 12.0), particle(NEUTRINO, 50.0, eta=0.2))
    assert not passes({"jets": {**wanted["jets"], "number": 2}}, *near)
    assert not passes({"jets": {**wanted["jets"], "eta_max": 0.05}}, *near)


def test_a_photon_that_is_asked_for_is_no_jet_but_one_inside_a_jet_leaves_it():
    both = {"photons": {"number": 1, "pt_min": 20.0}, "jets": {"number": 1, "pt_min": 20.0}}
    photon = particle(PHOTON, 40.0)
    assert not passes(both, photon)
    assert passes({"jets": both["jets"]}, photon)
    assert passes(both, photon, particle(PION, 30.0, phi=2.0))
    # A neutral pion's photon among hadrons: neither photon nor jet is lost.
    assert passes(both, photon, particle(PION, 30.0, eta=0.1))
    # Isolated, with a little of the shower around it.
    assert not passes(both, photon, particle(PION, 3.0, eta=0.1))


def test_jets_of_one_event_do_not_help_another():
    wanted = {
        "photons": {"number": 1, "pt_min": 20.0},
        "jets": {"number": 1, "pt_min": 20.0},
    }
    photon, jet = particle(PHOTON, 40.0), particle(PION, 30.0, phi=2.0)
    found = passing(events([photon], [photon, jet], [jet], [jet, jet, photon], []), wanted)
    assert found.tolist() == [False, True, False, True, False]
