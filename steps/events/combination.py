"""Events sampled at several benchmarks as one sample."""

import numpy as np

from steps.arrays import Array


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
