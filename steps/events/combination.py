"""Events sampled at several benchmarks, in several jobs, as one sample."""

import numpy as np

from steps.arrays import Array


def morphed(weights: Array, basis: Array, points: Array, exponents: Array) -> Array:
    """Return the weights of events at further parameter points, by morphing.

    Weights are polynomials in the parameters, which those at the basis determine.

    Args:
        weights: Weights at the basis, ``(n, c)``.
        basis: Parameter points of the basis, ``(c, p)``.
        points: Parameter points at which weights are wanted, ``(m, p)``.
        exponents: Powers of each parameter in each monomial, ``(c, p)``.

    Returns:
        Weights ``(n, m)``.
    """
    known, wanted = (monomials(x, exponents) for x in (basis, points))
    found: Array = weights @ np.linalg.solve(known.T, wanted.T)
    return found


def shares(sampled: Array, n_events: Array) -> Array:
    """Return each job's share of the events drawn at its benchmark, the factor on its weights.

    The weights of a job's events sum to the cross sections, times their shares those of all jobs
    of a benchmark do.

    Args:
        sampled: Index of the benchmark that each job drew its events at, ``(n_jobs,)``.
        n_events: Events that each job drew, before cuts, ``(n_jobs,)``.

    Returns:
        Shares ``(n_jobs,)``, which sum to one for each benchmark.
    """
    share: Array = n_events / np.bincount(sampled, n_events)[sampled]
    return share


def pooled_cross_sections(
    sampled: Array, n_events: Array, cross_sections: Array, n_benchmarks: int
) -> Array:
    """Return the cross section of each benchmark in pb, before cuts, ``(n_benchmarks,)``.

    It is the mean of what the jobs found, see :func:`pooled_norms`; zero where there are none.
    """
    weights = shares(sampled, n_events) * cross_sections
    return np.bincount(sampled, weights, minlength=n_benchmarks)


def fitted(values: Array, points: Array, exponents: Array) -> Array:
    """Return the coefficients of the polynomial of the parameters that is nearest to values.

    Args:
        values: Values at the points, ``(b,)``.
        points: Parameter points, ``(b, p)``.
        exponents: Powers of each parameter in each monomial, ``(c, p)``.

    Returns:
        Coefficients ``(c,)``.
    """
    found: Array = np.linalg.lstsq(monomials(points, exponents), values, rcond=None)[0]
    return found


def monomials(points: Array, exponents: Array) -> Array:
    """Return the monomials ``(b, c)`` of the parameters at points ``(b, p)``."""
    found: Array = np.prod(points[:, None] ** exponents, axis=-1)
    return found


def from_mixture(weights: Array, sampled: Array) -> Array:
    """Weight the events of any MadMiner file as drawn from the mixture of all benchmarks.

    MadMiner weights an event relative to the sample that it came from. Drawn from the mixture of
    all of them it has w_i / sum_b N_b w_b / sigma_b, which stage combine writes already.

    Args:
        weights: Weights of the benchmarks ``(n, b)`` in pb.
        sampled: Index of the benchmark that each event was drawn at, -1 for backgrounds, ``(n,)``.

    Returns:
        Weights ``(n, b)`` in pb, summing to the cross sections.
    """
    counts = np.bincount(sampled[sampled >= 0], minlength=weights.shape[1])
    samples = [b for b in np.flatnonzero(counts) if _is_drawn_at(weights[sampled == b, b])]
    if len(samples) < np.count_nonzero(counts):
        return weights
    signal = sampled >= 0
    density = weights[signal][:, samples] / weights[signal][:, samples].sum(axis=0)
    weights = weights.copy()
    weights[signal] /= (density @ counts[samples])[:, None]
    return weights


def _is_drawn_at(own_weights: Array) -> bool:
    """Whether events were drawn at a benchmark: unweighted, all have the same weight there."""
    return bool(np.ptp(own_weights) <= 1e-3 * abs(own_weights.mean()))


def pooled_norms(
    sampled: Array, n_events: Array, cross_sections: Array, n_benchmarks: int
) -> Array:
    """Return sigma_b / N_b of each benchmark with its N_b events of all jobs.

    Args:
        sampled: Index of the benchmark that each job drew its events at, ``(n_jobs,)``.
        n_events: Events that each job drew, before cuts, ``(n_jobs,)``.
        cross_sections: sigma_b in pb as each job found it, ``(n_jobs,)``; these may differ by
            their errors, and count by the jobs' events.
        n_benchmarks: Number of benchmarks.

    Returns:
        sigma_b / N_b in pb, infinite where there are no events, ``(n_benchmarks,)``.
    """
    total = np.bincount(sampled, n_events, minlength=n_benchmarks)
    mean = pooled_cross_sections(sampled, n_events, cross_sections, n_benchmarks)
    norms: Array = np.divide(mean, total, out=np.full(n_benchmarks, np.inf), where=total > 0)
    return norms


def mixture_weights(weights: Array, sampled: Array, norms: Array) -> Array:
    """Weight events as drawn from the mixture of all benchmarks' distributions.

    An event drawn at benchmark b carries w_i = sigma_i p_i / (N_b p_b), which is large wherever
    p_b is small: in interference the variance is even unbounded.  Drawn from the mixture, the same
    event carries sigma_i p_i / sum_c N_c p_c: no benchmark's gap matters that another one fills.
    This is the balance heuristic of multiple importance sampling (Veach and Guibas, SIGGRAPH 1995;
    Owen and Zhou, JASA 95 (2000) 135).

    Args:
        weights: Weights ``(n, n_benchmarks)`` in pb; those of one benchmark's events (of all its
            jobs, before cuts) sum to sigma_i.
        sampled: Index of the benchmark that each event was drawn at, ``(n,)``.
        norms: sigma_b / N_b in pb for each benchmark with N_b events, before cuts, over all jobs;
            infinite where there are none, ``(n_benchmarks,)``.

    Returns:
        Weights ``(n, n_benchmarks)`` in pb; those of all events together sum to sigma_i.
    """
    density = weights / norms
    own = np.take_along_axis(density, sampled[:, None], axis=1)
    mixed: Array = weights * own / density.sum(axis=1, keepdims=True)
    return mixed
