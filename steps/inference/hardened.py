"""Scores of the parameters that nuisance parameters hardly move, as an observable.

The local score t_theta alone takes a change of a nuisance parameter for one of theta. What remains
of it once the part that the score t_nu explains is taken away,

    t_theta - I_tn (I_nn + 1)^-1 t_nu,

is the most informative summary of theta after profiling (nuisance-hardened: arXiv:1903.01473,
eq. 12, with the constraint's information, one, of a standard normal nu).
"""

import numpy as np

from steps.arrays import Array


def hardened(scores: Array, nuisance: Array, counts: Array, *, with_rate: bool) -> Array:
    """Return scores of the parameters less what nuisance parameters explain of them, ``(n, p)``.

    Args:
        scores: t_theta of events, ``(n, p)``: derivatives of log lambda, the expected number of
            events per x, or of the normalised density where the rate does not count.
        nuisance: t_nu, likewise, ``(n, k)``.
        counts: Expected number of each event, ``(n,)``.
        with_rate: Whether the number of events counts.
    """
    if not with_rate:
        scores, nuisance = (t - np.average(t, axis=0, weights=counts) for t in (scores, nuisance))
    mixed = (scores * counts[:, None]).T @ nuisance
    own = (nuisance * counts[:, None]).T @ nuisance + np.eye(nuisance.shape[1])
    found: Array = scores - nuisance @ np.linalg.solve(own, mixed.T)
    return found
