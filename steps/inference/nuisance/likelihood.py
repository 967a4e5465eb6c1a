"""The joint log likelihood of parameters theta and nuisance parameters nu.

Events come from processes, each of which responds to nu in its own way. With densities
D_p(x).M(theta) relative to a mixture of simulated events, M the monomials of theta,

    lambda(x|theta, nu) = s(theta) / f(theta) sum_p D_p(x).M(theta)
                          exp[A_p(x).nu + B_p(x).nu^2 + c_p(theta, nu)]

is the expected number of events over the mixture's density; s the expected number at nu = 0, f the
mixture's mean of sum_p D_p.M. A = (u+ - u-) / 2 and B = (u+ + u-) / 2 of the log responses u+-(x)
at nu_k = +-1. c_p makes the number of events of each process what it is known to be at nu_k = +-1,

    c_p = sum_k (c+ - c-) / 2 nu_k + (c+ + c-) / 2 nu_k^2 + ln kappa_pk nu_k,
    c+- = ln[S_pk+-(theta) / S_p(theta)] - ln[N_pk+-(theta) / N_p(theta)],

with the numbers S and the mixture's means N of the densities times their responses; normalisations
are log-normal factors kappa^nu of their process. With n_e events in a row e, an event or a bin, and
auxiliary measurements a of nu with unit error (as in arXiv:1007.1727),

    ln L = sum_e n_e ln lambda_e - S(theta, nu) - |nu - a|^2 / 2,    or
    ln L = sum_e n_e ln[lambda_e / S(theta, nu)] - |nu - a|^2 / 2

without the rate, S = s / f sum_p <D_p.M exp(...)> with the mean over the mixture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from steps.arrays import Array
from steps.inference.likelihood import Densities
from steps.inference.morphing.polynomial import Polynomial
from steps.inference.nuisance.jets import TINY, Jet, Monomials

# Numbers of a process held at once, points times rows; more leave the cache.
_MOST_NUMBERS = 16_000


@dataclass(frozen=True)
class Rows:
    """What is known of rows, events or bins, as those of one process.

    Attributes:
        densities: Coefficients of densities relative to the mixture, ``(n, c)``, or ``(n, 1)`` of a
            process whose weights do not depend on theta.
        linear: A, a column for each nuisance parameter that changes the shape, ``(n, k)``.
        quadratic: B, likewise.
    """

    densities: Array
    linear: Array
    quadratic: Array

    @cached_property
    def columns(self) -> tuple[Array, Array, Array]:
        """The attributes transposed, each column in one piece of memory."""
        d, a, b = (
            np.ascontiguousarray(values.T, dtype=float)
            for values in (self.densities, self.linear, self.quadratic)
        )
        return d, a, b

    def taken(self, rows: Array) -> "Rows":
        """Return some rows, given by their numbers."""
        return Rows(self.densities[rows], self.linear[rows], self.quadratic[rows])


@dataclass(frozen=True)
class Process:
    """A source of events.

    Attributes:
        rows: The mixture's events, or bins, as those of the process.
        numbers: Numbers of the nuisance parameters of the columns of A and B, ``(k,)``.
        rate: Coefficients of the expected number of events S_p, ``(c,)``; ``(1,)`` if constant.
        varied: Those at nu_k = +1 and -1, ``(k, 2, c)``.
        log_kappa: Logarithm of the factor of the number of events at nu = 1 by nuisance
            parameters of normalisations alone, ``(K,)``, zero for all others.
    """

    rows: Rows
    numbers: Array
    rate: Array
    varied: Array
    log_kappa: Array

    @property
    def is_constant(self) -> bool:
        """Whether the parameters are of no effect."""
        return len(self.rate) == 1

    def of(self, monomials: Monomials) -> Monomials:
        """Return the monomials of its coefficients."""
        return monomials.constant() if self.is_constant else monomials


@dataclass(frozen=True)
class Data:
    """What was observed, or is expected to be.

    Attributes:
        counts: Number of events n_e in each row, ``(n,)``, or ``(T, n)`` of T experiments.
        auxiliary: Auxiliary measurements a of the nuisance parameters, ``(K,)`` or ``(T, K)``.
        rows: What is known of the rows as those of each process; None for those of the mixture.
    """

    counts: Array
    auxiliary: Array
    rows: Sequence[Rows] | None = None

    def taken(self, experiments: Array) -> "Data":
        """Return those of some experiments; all, if there is one only."""
        counts = self.counts if self.counts.ndim == 1 else self.counts[experiments]
        auxiliary = self.auxiliary if self.auxiliary.ndim == 1 else self.auxiliary[experiments]
        return Data(counts, auxiliary, self.rows)


@dataclass(frozen=True)
class _Terms:
    """Terms u_e = D_e.M exp(A_e.nu + B_e.nu^2) of rows of a process at T points.

    Its own parameters are theta and the nuisance parameters that have columns.

    Attributes:
        monomials: Those of theta.
        densities: D, ``(c, n)``.
        quadratic: B, ``(k, n)``.
        response: Exponentials, ``(T, n)``.
        values: u, ``(T, n)``.
        slopes: Derivatives of u in theta, ``(T, p, n)``.
        log_slopes: Derivatives of ln u in nu, ``(T, k, n)``.
    """

    monomials: Monomials
    densities: Array
    quadratic: Array
    response: Array
    values: Array
    slopes: Array
    log_slopes: Array

    @classmethod
    def of(cls, rows: Rows, batch: slice, monomials: Monomials, nu: Array) -> Self:
        d, a, b = (columns[:, batch] for columns in rows.columns)
        response = np.exp(nu @ a + nu**2 @ b)
        k = len(b) if monomials.n_axes else 0
        log_slopes = a[:k] + 2 * nu[:, :k, None] * b[:k]
        slopes = monomials.slopes @ d * response[:, None]
        values = monomials.values @ d * response
        return cls(monomials, d, b[:k], response, values, slopes, log_slopes)

    def sum(self, weights: Array) -> Jet:
        """Return sums with weights ``(T, n)`` or ``(n,)`` as functions of its own parameters."""
        weights = np.broadcast_to(weights, self.values.shape)
        shares = weights * self.values
        p, k = self.monomials.n_axes, len(self.quadratic)
        gradient, hessian = np.empty((len(shares), p + k)), np.empty((len(shares), p + k, p + k))
        gradient[:, :p] = (self.slopes @ weights[..., None])[..., 0]
        gradient[:, p:] = (self.log_slopes @ shares[..., None])[..., 0]
        sums = (self.densities @ (weights * self.response).T).T[:, None, None]
        along = np.swapaxes(self.log_slopes, -1, -2)
        hessian[:, :p, :p] = np.sum(self.monomials.curvatures * sums, axis=-1)
        hessian[:, :p, p:] = (self.slopes * weights[:, None]) @ along
        hessian[:, p:, :p] = np.swapaxes(hessian[:, :p, p:], -1, -2)
        hessian[:, p:, p:] = (self.log_slopes * shares[:, None]) @ along
        diagonal = p + np.arange(k)
        hessian[:, diagonal, diagonal] += 2 * shares @ self.quadratic.T
        return Jet(shares.sum(axis=-1), gradient, hessian)


@dataclass(frozen=True)
class Mixture:
    """Simulated events, or bins of them, and what is known of each process.

    Attributes:
        polynomial: Monomials of theta.
        processes: Where events come from.
        multiplicity: How often each event counts in means, ``(n,)``; for bins the events in them.
    """

    polynomial: Polynomial
    processes: Sequence[Process]
    multiplicity: Array

    @cached_property
    def shares(self) -> Array:
        """Weights of the rows in means, ``(n,)``."""
        shares: Array = self.multiplicity / self.multiplicity.sum()
        return shares

    @cached_property
    def densities(self) -> Array:
        """Coefficients of sum_p D_p, ``(n, c)``."""
        parts = [self._whole(process, process.rows.densities) for process in self.processes]
        densities: Array = np.sum(parts, axis=0)
        return densities

    @cached_property
    def rate(self) -> Array:
        """Coefficients of the expected number of events s, ``(c,)``."""
        rate: Array = np.sum([self._whole(p, p.rate) for p in self.processes], axis=0)
        return rate

    @cached_property
    def norm(self) -> Array:
        """Coefficients of the mean f of the densities, ``(c,)``."""
        pairs = zip(self.processes, self._means, strict=True)
        norm: Array = np.sum([self._whole(p, mean) for p, (mean, _) in pairs], axis=0)
        return norm

    def log_scale(self, monomials: Monomials) -> Jet:
        """Return ln(s / f) as a function of theta."""
        return monomials.jet(self.rate).log() - monomials.jet(self.norm).log()

    def factors(self, monomials: Monomials, nu: Array) -> list[Jet]:
        """Return c_p of each process as functions of theta and nu, at nu ``(T, K)``."""
        pairs = zip(self.processes, self._means, strict=True)
        return [_factor(process, process.of(monomials), nu, means) for process, means in pairs]

    @cached_property
    def _means(self) -> list[tuple[Array, Array]]:
        """Means of each process, N ``(c,)`` and N+- ``(k, 2, c)``."""
        found = []
        for process in self.processes:
            d, a, b = process.rows.columns
            responses = [
                [d @ (self.shares * np.exp(b_k + sign * a_k)) for sign in (1, -1)]
                for a_k, b_k in zip(a, b, strict=True)
            ]
            found.append((d @ self.shares, np.array(responses).reshape(len(a), 2, len(d))))
        return found

    def _whole(self, process: Process, coefficients: Array) -> Array:
        """Return coefficients ``(..., c)`` of all monomials."""
        if not process.is_constant:
            return coefficients
        # Of the constant.
        [place] = np.flatnonzero(self.polynomial.exponents.sum(axis=1) == 0)
        whole = np.zeros((*coefficients.shape[:-1], len(self.polynomial.exponents)))
        whole[..., place] = coefficients[..., 0]
        return whole


@dataclass(frozen=True)
class Joint:
    """The joint log likelihood.

    Parameters are theta, then nu, ``(d,)`` with d = p + K.

    Attributes:
        mixture: Where events come from.
        region: Lowest and highest value of each theta, ``(p, 2)``.
        data: What was observed.
        with_rate: Whether the number of events is part of it.
    """

    mixture: Mixture
    region: Array
    data: Data
    with_rate: bool = True

    @property
    def p(self) -> int:
        """Number of parameters theta."""
        return len(self.region)

    @property
    def n_nuisance(self) -> int:
        """Number K of nuisance parameters."""
        return int(self.data.auxiliary.shape[-1])

    @property
    def n_rows(self) -> int:
        """Number of rows that an evaluation goes through."""
        own = self.data.rows is not None
        return len(self.mixture.multiplicity) + own * int(self.data.counts.shape[-1])

    def value(self, parameters: Array) -> Array:
        """Return ln L at points ``(T, d)``, one for each experiment if these are many, ``(T,)``."""
        return self._jet(self._at(parameters, derivatives=False)).value

    def jet(self, parameters: Array) -> Jet:
        """Return ln L with all first and second derivatives at points ``(T, d)``, likewise."""
        return self._jet(self._at(parameters, derivatives=True))

    def expected(self, parameters: Array) -> Array:
        """Return how many events are expected in the mixture's rows at a point ``(d,)``, ``(n,)``.

        With or without the rate in the likelihood.
        """
        at = self._at(parameters[None], derivatives=False)
        [density] = at.density(at.terms(at.own, slice(None)))
        [log_scale] = self.mixture.log_scale(at.monomials).value
        expected: Array = np.exp(log_scale) * self.mixture.shares * density
        return expected

    def nominal(self) -> Densities:
        """Return the log likelihood of theta at nu = 0, where all data are the mixture's rows.

        Raises:
            ValueError: Data are other rows, or several experiments.
        """
        if self.data.rows is not None or self.data.counts.ndim > 1:
            raise ValueError("data are no rows of the mixture")
        mixture = self.mixture
        return Densities(
            mixture.polynomial,
            self.region,
            self.data.counts,
            mixture.densities,
            mixture.norm,
            mixture.rate if self.with_rate else None,
        )

    def of(self, data: Data) -> "Joint":
        """Return it of other data."""
        return replace(self, data=data)

    def _at(self, parameters: Array, *, derivatives: bool) -> "_At":
        theta, nu = parameters[:, : self.p], parameters[:, self.p :]
        monomials = Monomials.of(self.mixture.polynomial, theta, derivatives=derivatives)
        factors = self.mixture.factors(monomials, nu)
        return _At(self.mixture.processes, monomials, nu, factors)

    def _jet(self, at: "_At") -> Jet:
        data, mixture = self._sums(at)
        n = self.data.counts.sum(axis=-1)
        if self.with_rate:
            scale = self.mixture.log_scale(at.monomials).placed(np.arange(at.p), at.d)
            total = data + scale.scaled(n) - scale.exp() * mixture
        else:
            total = data - mixture.log().scaled(n)
        return total + at.constraint(self.data.auxiliary)

    def _sums(self, at: "_At") -> tuple[Jet, Jet]:
        """Return sum_e n_e ln sum_p u_e exp(c_p), and the mean over the mixture of the sum."""
        shares, counts = self.mixture.shares, self.data.counts
        means, logarithms = [], []
        for batch in _batches(len(shares), len(at.nu)):
            terms = at.terms(at.own, batch)
            means.append([of.sum(shares[batch]) for of in terms])
            if self.data.rows is None:
                logarithms.append(at.logarithms(terms, counts[..., batch]))
        if self.data.rows is not None:
            for batch in _batches(counts.shape[-1], len(at.nu)):
                terms = at.terms(self.data.rows, batch)
                logarithms.append(at.logarithms(terms, counts[..., batch]))
        return at.of_logarithms(logarithms), at.of_means(means)


@dataclass(frozen=True)
class _Logarithms:
    """sum_e n_e ln lambda_e with lambda_e = sum_p u_e exp(c_p), of a batch at T points.

    Attributes:
        values: ``(T,)``.
        sums: For each process the sum of u_e with weights n_e exp(c_p) / lambda_e.
        squares: sum_e n_e y_e y_e^T of the derivatives y of ln lambda_e in the d parameters, the
            c_p held, and in each c_p, ``(T, d + P, d + P)``.
    """

    values: Array
    sums: Sequence[Jet]
    squares: Array


@dataclass(frozen=True)
class _At:
    """T points in the parameters.

    Attributes:
        processes: Where events come from.
        monomials: Those of theta.
        nu: Nuisance parameters, ``(T, K)``.
        factors: c_p of each process as a function of all d parameters; d is 0 without derivatives.
    """

    processes: Sequence[Process]
    monomials: Monomials
    nu: Array
    factors: Sequence[Jet]

    @property
    def p(self) -> int:
        return self.monomials.n_axes

    @property
    def d(self) -> int:
        return int(self.factors[0].gradient.shape[-1])

    @property
    def own(self) -> list[Rows]:
        """The mixture's rows."""
        return [process.rows for process in self.processes]

    @property
    def places(self) -> list[Array]:
        """Numbers of the parameters of each process's terms."""
        if not self.d:
            return [np.arange(0)] * len(self.processes)
        theta = np.arange(self.p)
        return [np.append(theta, self.p + process.numbers) for process in self.processes]

    def terms(self, rows: Sequence[Rows], batch: slice) -> list[_Terms]:
        """Return the terms of a batch of rows as those of each process."""
        return [
            _Terms.of(of, batch, process.of(self.monomials), self.nu[:, process.numbers])
            for process, of in zip(self.processes, rows, strict=True)
        ]

    def density(self, terms: Sequence[_Terms]) -> Array:
        """Return lambda_e of a batch, ``(T, n)``."""
        pairs = zip(self.factors, terms, strict=True)
        parts = [np.exp(factor.value)[:, None] * of.values for factor, of in pairs]
        density: Array = np.sum(parts, axis=0)
        return density

    def logarithms(self, terms: Sequence[_Terms], counts: Array) -> _Logarithms:
        """Return the logarithms of a batch with counts ``(n,)`` or ``(T, n)``."""
        density = self.density(terms)
        values = np.sum(counts * np.log(np.maximum(density, TINY)), axis=-1)
        inverse = np.where(density > TINY, 1 / np.maximum(density, TINY), 0.0)
        slopes = np.zeros((len(values), self.d + len(terms), density.shape[1]))
        sums = []
        for number, (factor, of) in enumerate(zip(self.factors, terms, strict=True)):
            weights = np.exp(factor.value)[:, None] * inverse
            sums.append(of.sum(counts * weights))
            if self.d:
                share = slopes[:, self.d + number] = weights * of.values
                slopes[:, : self.p] += weights[:, None] * of.slopes
                for place, column in zip(
                    self.places[number][self.p :], np.moveaxis(of.log_slopes, 1, 0), strict=True
                ):
                    slopes[:, place] += share * column
        squares = (slopes * np.expand_dims(counts, -2)) @ np.swapaxes(slopes, -1, -2)
        return _Logarithms(values, sums, squares)

    def of_logarithms(self, batches: Sequence[_Logarithms]) -> Jet:
        """Return the sum of logarithms as a function of all parameters, c_p among them."""
        gradients = [factor.gradient[:, None] for factor in self.factors]
        unit = np.broadcast_to(np.eye(self.d), (len(self.nu), self.d, self.d))
        chain = np.concatenate([unit, *gradients], axis=1)
        squares = np.sum([batch.squares for batch in batches], axis=0)
        total = Jet.zero(len(self.nu), self.d)
        for number, (places, factor) in enumerate(zip(self.places, self.factors, strict=True)):
            sums = Jet.sum([batch.sums[number] for batch in batches]).placed(places, self.d)
            # The weights have its value already.
            total += sums * replace(factor, value=np.zeros(len(self.nu))).exp()
        return Jet(
            np.sum([batch.values for batch in batches], axis=0),
            total.gradient,
            total.hessian - np.swapaxes(chain, -1, -2) @ squares @ chain,
        )

    def of_means(self, batches: Sequence[Sequence[Jet]]) -> Jet:
        """Return the mean of lambda_e as a function of all parameters, from sums of u_e."""
        total = Jet.zero(len(self.nu), self.d)
        for number, (places, factor) in enumerate(zip(self.places, self.factors, strict=True)):
            sums = Jet.sum([batch[number] for batch in batches])
            total += sums.placed(places, self.d) * factor.exp()
        return total

    def constraint(self, auxiliary: Array) -> Jet:
        """Return -|nu - a|^2 / 2, with a ``(K,)`` or ``(T, K)``."""
        away = self.nu - auxiliary
        found = Jet.zero(len(away), self.d)
        if self.d:
            found.gradient[:, self.p :] = -away
            nuisance = np.arange(self.p, self.d)
            found.hessian[:, nuisance, nuisance] = -1.0
        return replace(found, value=-0.5 * np.sum(away**2, axis=-1))


def _batches(n: int, n_points: int) -> list[slice]:
    size = max(1, _MOST_NUMBERS // n_points)
    return [slice(start, start + size) for start in range(0, n, size)]


def _factor(process: Process, monomials: Monomials, nu: Array, means: tuple[Array, Array]) -> Jet:
    """Return c_p as a function of theta and nu; without derivatives if the monomials have none.

    Args:
        process: The process.
        monomials: Those of its coefficients.
        nu: Nuisance parameters ``(T, K)``.
        means: Means over the mixture, N ``(c,)`` and N+- ``(k, 2, c)``.
    """
    known = _log_responses(monomials, process.varied, process.rate)
    own = _log_responses(monomials, means[1], means[0])
    up, down = ((known - own).at((slice(None), slice(None), side)) for side in (0, 1))
    linear, quadratic = (up - down).scaled(0.5), (up + down).scaled(0.5)
    places, p = process.numbers, monomials.n_axes
    at, square = nu[:, places], nu[:, places] ** 2
    of_theta = (linear.scaled(at) + quadratic.scaled(square)).total()
    value = of_theta.value + nu @ process.log_kappa
    if not p:
        return replace(of_theta, value=value)
    d = p + nu.shape[1]
    factor = of_theta.placed(np.arange(p), d)
    factor.gradient[:, p:] += process.log_kappa
    factor.gradient[:, p + places] += linear.value + 2 * quadratic.value * at
    mixed = linear.gradient + 2 * quadratic.gradient * at[..., None]
    factor.hessian[:, p + places, :p] += mixed
    factor.hessian[:, :p, p + places] += np.swapaxes(mixed, -1, -2)
    factor.hessian[:, p + places, p + places] += 2 * quadratic.value
    return replace(factor, value=value)


def _log_responses(monomials: Monomials, varied: Array, nominal: Array) -> Jet:
    """Return the logarithms of polynomials ``(k, 2, c)`` over one ``(c,)``, ``(T, k, 2)``."""
    below = monomials.jet(nominal[None, None]).log()
    return monomials.jet(varied).log() - below
