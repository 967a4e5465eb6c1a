"""Responses of events' weights to systematic uncertainties, as nuisance parameters have them.

A response is r = w(nu) / w(0). Variations of one systematic are the columns of an array of log
responses; its ``form`` says which nuisance parameters they make.
"""

from enum import StrEnum

import numpy as np

from steps.arrays import Array

# As far as MadMiner, too, believes in exponents (its sanitize_array): weights in floats survive.
_LARGEST_LOG = 10.0


class Form(StrEnum):
    """How the variations of a systematic make nuisance parameters."""

    PAIRS = "pairs"
    """Two columns per parameter: at +1 and at -1."""
    ONE_SIDED = "one-sided"
    """One column per parameter, at +1; see :func:`mirrored`."""
    REPLICAS = "replicas"
    """Equally likely versions, whose principal components are the parameters; one-sided."""
    SHIFTED = "shifted"
    """No columns: the observables move, not the weights."""


def parameters(name: str, form: Form, columns: int, components: int = 0) -> list[str]:
    """Return the names of the nuisance parameters of a systematic.

    Args:
        name: Name of the systematic, which is that of its only parameter.
        form: Form of its variations.
        columns: Number of variations.
        components: Number of principal components, of replicas.
    """
    count = {
        Form.PAIRS: columns // 2,
        Form.ONE_SIDED: columns,
        Form.REPLICAS: components,
        Form.SHIFTED: 1,
    }[form]
    return [name] if count == 1 else [f"{name}_{k + 1}" for k in range(count)]


def at_plus_and_minus_one(form: Form, logs: Array, weights: Array, components: int) -> Array:
    """Return the log responses of all events to each nuisance parameter of a systematic.

    Args:
        form: Form of the variations.
        logs: Log responses to the variations, ``(n, m)``, zero where a process is not affected.
        weights: Weights of the events, ``(n,)``; they rank principal components.
        components: Number of principal components, of replicas.

    Returns:
        Log responses ``(n, k, 2)`` at nu = +1 and -1 of each parameter; of one-sided ones see
        :func:`mirrored`.
    """
    logs = np.clip(logs, -_LARGEST_LOG, _LARGEST_LOG)
    if form is Form.PAIRS:
        return logs.reshape(len(logs), -1, 2)
    if form is Form.REPLICAS:
        logs = principal(logs, weights, components)
    return np.stack([logs, mirrored(logs)], axis=-1)


def mirrored(logs: Array) -> Array:
    """Return the log responses at -1 of what is known at +1 alone.

    To first order they are the opposite; a weight that vanishes at +1 doubles at -1, one that grows
    without bounds vanishes there.
    """
    opposite: Array = np.where(logs > 0, -logs, np.log(2 - np.exp(np.minimum(logs, 0.0))))
    return opposite


def principal(logs: Array, weights: Array, components: int) -> Array:
    """Convert replicas to principal components: nuisance parameters of one sigma each.

    The components' deviations e_i have sum_i e_i e_i^T = C with the covariance C of the responses
    over the replicas, up to what the components left out hold (as in arXiv:1505.06736, there for
    densities, here for events). Those kept vary the cross sections of the file's events most.

    Args:
        logs: Log responses to each replica, ``(n, m)``.
        weights: Weights of the events, ``(n,)``.
        components: Number k of components to keep, below m.

    Returns:
        Log responses at nu = +1, ``(n, k)``; each component's sign is such that it raises the cross
        section.
    """
    deviations = _deviations(logs)
    # Ascending eigenvalues.
    directions = np.linalg.eigh(_gram(deviations, weights))[1][:, : -components - 1 : -1]
    found = deviations @ directions / np.sqrt(logs.shape[1] - 1)
    found *= np.where(weights @ found < 0, -1.0, 1.0)
    kept: Array = np.log(np.maximum(1 + found, np.exp(-_LARGEST_LOG)))
    return kept


def kept_variance(logs: Array, weights: Array, components: int) -> float:
    """Return which share of the replicas' variance so many principal components keep.

    Args:
        logs: Log responses to each replica, ``(n, m)``.
        weights: Weights of the events, ``(n,)``.
        components: Number of components.
    """
    variances = np.linalg.eigvalsh(_gram(_deviations(logs), weights))[::-1]
    return float(variances[:components].sum() / variances.sum())


def _deviations(logs: Array) -> Array:
    deviations = np.expm1(logs)
    centred: Array = deviations - deviations.mean(axis=1, keepdims=True)
    return centred


def _gram(deviations: Array, weights: Array) -> Array:
    gram: Array = deviations.T @ (weights[:, None] * deviations)
    return gram
