"""What evaluations found, as tables and numbers for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from steps.arrays import Array
from steps.inference import evidence, goodness, intervals, truncated
from steps.inference.statistics import CONFIDENCE_LEVELS, level
from steps.inference.surfaces import MOST_PARAMETERS, Surface, refined

Arrays = Mapping[str, Array]
_DIGITS = 4
# An end this near to where linear terms lose their meaning, in parts of it, is set by that.
_SET = 0.02
_UNKNOWN = "not known: fewer than two bags"
# What sets the edges of regions, in the order of the columns of coverage.
_EDGES = ("chi-squared", "pseudo-experiments")
_KINDS = {"profiled": "others profiled", "fixed": "others at truth"}


@dataclass(frozen=True)
class Curve:
    """What the evaluations of one method, or the reference, say of the parameters.

    Attributes:
        intervals: Intervals of each parameter by evaluation.
        findings: Why it is not reliable; None where nobody judged.
        surface: q over the grid, of the mean log likelihood; None for more parameters than a grid
            has.
        thresholds: q at the edge of Neyman's region at each point of the surface, by confidence
            level in per cent; empty where no pseudo-experiments were made.
        coverage: Points of pseudo-experiments, and how often the regions hold them: a row has the
            point, then value and error for 68 and 95 % by Wilks, 68 and 95 % by Neyman; None
            where there are none.
        pairs: Where there is no surface, q of each two parameters, the others at their best values
            and the mean taken afterwards; its error is not known.
        tests: The worst test of the ratio of each kind: its global p-value, the change of q, and
            the error of that.
        truth: Of observed events q of the true point, its p-values by Wilks' theorem and by
            pseudo-experiments, and the number of these; None of expected ones.
        goodness: Of observed events chi2, number of bins and p-value by quantity, of the
            evaluation that fits worst, see :func:`steps.inference.goodness.test`.
    """

    intervals: Sequence[intervals.Intervals]
    findings: Sequence[str] | None
    surface: Surface | None
    thresholds: Mapping[str, Array]
    coverage: Array | None
    pairs: Mapping[tuple[int, int], Surface] = field(default_factory=dict)
    tests: Mapping[str, Array] = field(default_factory=dict)
    truth: Array | None = None
    goodness: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def read(cls, runs: Sequence[Arrays], name: str, resolutions: Sequence[int]) -> "Curve":
        """Return a curve of evaluations that only differ in their networks.

        Args:
            runs: Arrays of each.
            name: Name of the likelihood.
            resolutions: Points of the grid along each parameter.
        """
        judged = [arrays[f"findings/{name}"] for arrays in runs if f"findings/{name}" in arrays]
        findings = [line.decode() for lines in judged for line in lines.tolist()]
        has_grid = len(resolutions) <= MOST_PARAMETERS
        return cls(
            [intervals.from_arrays(arrays, name) for arrays in runs],
            list(dict.fromkeys(findings)) if judged else None,
            _surface(runs, name, resolutions) if has_grid else None,
            _thresholds(runs, name, resolutions) if has_grid else {},
            _coverage(runs, name, len(resolutions)),
            {} if has_grid else _pairs(runs, name, len(resolutions)),
            _tests(runs, name),
            _mean(runs, f"truth/{name}") if f"truth/{name}" in runs[0] else None,
            _goodness(runs, name),
        )

    @property
    def reliable(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.findings

    @property
    def n_parameters(self) -> int:
        """How many parameters there are."""
        return len(self.intervals[0].profiled)

    def best_fit(self) -> Array:
        """Return the best fit, the mean of the evaluations', ``(p,)``."""
        return np.array([_mean_best(self, number)[0] for number in range(self.n_parameters)])

    def of_parameters(self, numbers: Sequence[int]) -> Surface:
        """Return q of one parameter or two in ascending order, where there is no surface of all."""
        if len(numbers) > 1:
            return self.pairs[numbers[0], numbers[1]]
        pair = next(pair for pair in self.pairs if numbers[0] in pair)
        return self.pairs[pair].alone(pair.index(numbers[0]))

    def projected_thresholds(self, n_shown: int) -> dict[str, Array]:
        """Return q at the edge of Neyman's regions of the first parameters.

        A point belongs to such a region if any values of the others do.
        """
        if self.surface is None:
            return {}
        q = self.surface.projected(n_shown).q
        return {
            name: q + (values - self.surface.q).reshape(*q.shape, -1).max(axis=-1)
            for name, values in self.thresholds.items()
        }


def _mean(runs: Sequence[Arrays], key: str) -> Array:
    mean: Array = np.mean([arrays[key] for arrays in runs], axis=0)
    return mean


def _surface(runs: Sequence[Arrays], name: str, resolutions: Sequence[int]) -> Surface:
    # They share the simulation, so their errors do not average out.
    errors = np.sqrt(np.mean([arrays[f"uncertainty/{name}"] ** 2 for arrays in runs], axis=0))
    values = _mean(runs, f"log_likelihood/{name}")
    return Surface.of(runs[0]["expectation/region"], resolutions, values, errors)


def _pairs(runs: Sequence[Arrays], name: str, n_parameters: int) -> dict[tuple[int, int], Surface]:
    made = {}
    for pair in combinations(range(n_parameters), 2):
        key = f"pairs/{name}/{pair[0]}_{pair[1]}"
        if all(key in arrays for arrays in runs):
            region = runs[0]["expectation/region"][list(pair)]
            made[pair] = Surface.of_q(region, _mean(runs, key))
    return made


def _thresholds(runs: Sequence[Arrays], name: str, resolutions: Sequence[int]) -> dict[str, Array]:
    region, made = runs[0]["expectation/region"], {}
    for confidence in CONFIDENCE_LEVELS:
        key = f"thresholds/{name}/{confidence}"
        if all(key in arrays for arrays in runs):
            made[confidence] = refined(region, resolutions, _mean(runs, key))
    return made


def _coverage(runs: Sequence[Arrays], name: str, n_parameters: int) -> Array | None:
    key = f"coverage/{name}"
    if not all(key in arrays for arrays in runs):
        return None
    rows = _mean(runs, key)
    errors = slice(n_parameters + 1, None, 2)
    rows[:, errors] = np.sqrt(np.mean([arrays[key][:, errors] ** 2 for arrays in runs], axis=0))
    return rows


def _tests(runs: Sequence[Arrays], name: str) -> dict[str, Array]:
    """Return the tests of the ratio of the evaluation in which they are least likely."""
    return {
        kind: min((arrays[f"evidence/{name}/{kind}"] for arrays in runs), key=lambda row: row[0])
        for kind in evidence.KINDS
        if all(f"evidence/{name}/{kind}" in arrays for arrays in runs)
    }


def _goodness(runs: Sequence[Arrays], name: str) -> dict[str, Array]:
    """Return how well the fit is of the evaluation in which it is worst."""
    key = f"goodness/{name}/"
    worst = min(runs, key=lambda arrays: arrays.get(f"{key}{goodness.ALL}", np.zeros(3))[-1])
    return {k.removeprefix(key): row for k, row in worst.items() if k.startswith(key)}


def observed(curve: Curve, parameters: Sequence[str], of: str) -> dict[str, Any]:
    """Return limits given observed events, each with its error.

    Args:
        curve: The curve of observed events.
        parameters: Names of the parameters.
        of: What they are, data or pseudo-data.
    """
    return {"of": of, **table(curve, parameters)}


def _seen(truth: Array, goodness_of_fit: Mapping[str, Array]) -> dict[str, Any]:
    """Return how far the true point is from observed events, and how good the fit is."""
    q, wilks, toys, n_toys = truth.tolist()
    return {
        "true_point": {
            "q": round(q, _DIGITS),
            "p_by_chi-squared": round(wilks, _DIGITS),
            "p_by_pseudo-experiments": _p_value(toys),
        },
        **({"goodness_of_fit": _fitting(goodness_of_fit, n_toys)} if goodness_of_fit else {}),
    }


def _p_value(p: float) -> float | str:
    return round(p, _DIGITS) if np.isfinite(p) else "not known: no such pseudo-experiments"


def _fitting(found: Mapping[str, Array], n_toys: float) -> dict[str, Any]:
    rows = {
        name: {
            "chi2": round(chi2, _DIGITS),
            "bins": int(bins),
            "p": _p_value(p),
        }
        for name, (chi2, bins, p) in ((k, v.tolist()) for k, v in found.items())
        if name != goodness.ALL
    }
    return {
        "pseudo-experiments": int(n_toys),
        "p": _p_value(float(found[goodness.ALL][-1])),
        "of_each": rows,
    }


def table(curve: Curve, parameters: Sequence[str]) -> dict[str, Any]:
    """Return a curve's limits, each with its error."""
    judged = curve.findings is not None
    return {
        **({} if curve.truth is None else _seen(curve.truth, curve.goodness)),
        "reliable": curve.reliable if judged else "not judged",
        **({"why": list(curve.findings or ())} if not curve.reliable else {}),
        **({"tests_of_the_ratio": _told(curve.tests)} if curve.tests else {}),
        "best_fit": {
            name: _with_error(*_mean_best(curve, number)) for number, name in enumerate(parameters)
        },
        "intervals": {
            name: {
                title: {
                    f"{each} % CL": _pieces(curve, kind, number, each) for each in intervals.LEVELS
                }
                for kind, title in _KINDS.items()
            }
            for number, name in enumerate(parameters)
        },
        **(_joint(curve, curve.surface, parameters) if curve.surface else {}),
        **(_of_pairs(curve, parameters) if curve.pairs else {}),
        **({} if curve.coverage is None else {"coverage": _covered(curve.coverage, parameters)}),
    }


def profiled(curve: Curve, parameters: Sequence[str]) -> dict[str, Any]:
    """Return the intervals of each parameter, the others profiled, by confidence level."""
    return {
        name: {
            f"{each} % CL": _pieces(curve, "profiled", number, each) for each in intervals.LEVELS
        }
        for number, name in enumerate(parameters)
    }


def _told(tests: Mapping[str, Array]) -> dict[str, Any]:
    rows = {kind: np.round(row, _DIGITS).tolist() for kind, row in tests.items()}
    return {
        kind: {"global_p": p, "change_of_q": change, "error": error}
        for kind, (p, change, error) in rows.items()
    }


def _covered(rows: Array, parameters: Sequence[str]) -> list[dict[str, Any]]:
    """Return how often regions hold each point of pseudo-experiments."""
    points, parts = np.split(rows, [len(parameters)], axis=1)
    shares = parts.reshape(len(rows), len(_EDGES), len(CONFIDENCE_LEVELS), 2).tolist()
    return [
        {
            "at": {name: round(at, _DIGITS) for name, at in zip(parameters, point, strict=True)},
            **{
                edge: {
                    f"{each} % CL": _with_error(*pair)
                    for each, pair in zip(CONFIDENCE_LEVELS, pairs, strict=True)
                }
                for edge, pairs in zip(_EDGES, of_point, strict=True)
                # Where pseudo-experiments made no thresholds there is no coverage of these.
                if np.isfinite(pairs).all()
            },
        }
        for point, of_point in zip(points.tolist(), shares, strict=True)
    ]


def _with_error(value: float, error: float) -> dict[str, Any]:
    return {"value": round(value, _DIGITS), "error": _known(error)}


def _known(error: float) -> float | str:
    """Return an error, or why there is none."""
    return round(error, _DIGITS) if np.isfinite(error) else _UNKNOWN


def _mean_best(curve: Curve, number: int) -> tuple[float, float]:
    found = [each.profiled[number] for each in curve.intervals]
    errors = np.array([estimate.error for estimate in found])
    return float(np.mean([e.best_fit for e in found])), float(np.sqrt(np.mean(errors**2)))


def pieces(curve: Curve, kind: str, number: int, confidence: str) -> list[intervals.Piece]:
    """Return the pieces of an interval, ends averaged where evaluations agree on their number.

    Args:
        curve: The curve.
        kind: ``profiled`` or ``fixed``.
        number: Number of the parameter.
        confidence: Confidence level in per cent.
    """
    found = [getattr(each, kind)[number].pieces[confidence] for each in curve.intervals]
    if len({len(these) for these in found}) > 1:
        return list(found[0])
    return [_averaged(same) for same in zip(*found, strict=True)]


def _averaged(same: Sequence[intervals.Piece]) -> intervals.Piece:
    def error(name: str) -> float:
        return float(np.sqrt(np.mean([getattr(piece, name) ** 2 for piece in same])))

    return intervals.Piece(
        low=float(np.mean([piece.low for piece in same])),
        high=float(np.mean([piece.high for piece in same])),
        low_error=error("low_error"),
        high_error=error("high_error"),
        low_is_edge=any(piece.low_is_edge for piece in same),
        high_is_edge=any(piece.high_is_edge for piece in same),
    )


def _pieces(curve: Curve, kind: str, number: int, confidence: str) -> list[dict[str, Any]]:
    return [_piece(piece) for piece in pieces(curve, kind, number, confidence)]


def _piece(piece: intervals.Piece) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for end in ("low", "high"):
        edge = getattr(piece, f"{end}_is_edge")
        error = getattr(piece, f"{end}_error")
        row[end] = round(getattr(piece, end), _DIGITS)
        row[f"{end}_error"] = "none: the edge of the region" if edge else _known(error)
    return row


def _joint(curve: Curve, surface: Surface, parameters: Sequence[str]) -> dict[str, Any]:
    n = len(parameters)
    kind = {1: "length", 2: "area", 3: "volume"}[n]
    return {
        f"joint_contours_of_{n}_parameters": {
            f"{name} % CL": {
                "extent": _extents(curve, name, dict(enumerate(parameters))),
                kind: _with_error(*surface.size(level(p_value, n))),
            }
            for name, p_value in CONFIDENCE_LEVELS.items()
        },
        "uncertainty_of_q": _known(surface.error_at_contour()),
    }


def _of_pairs(curve: Curve, parameters: Sequence[str]) -> dict[str, Any]:
    """Return the extents of the joint contours of two parameters, the others profiled."""
    return {
        "joint_contours_of_pairs": {
            f"{parameters[i]}, {parameters[j]}": {
                f"{name} % CL": {
                    "extent": _extents(curve, name, {k: parameters[k] for k in (i, j)})
                }
                for name in CONFIDENCE_LEVELS
            }
            for i, j in curve.pairs
        }
    }


def _extents(curve: Curve, confidence: str, names: Mapping[int, str]) -> dict[str, Any]:
    """Return how far the joint contour reaches along parameters, by their numbers."""
    return {name: _piece(extent(curve, number, confidence)) for number, name in names.items()}


def extent(curve: Curve, number: int, confidence: str) -> intervals.Piece:
    """Return how far the joint contour reaches along a parameter, over all its pieces.

    Args:
        curve: The curve.
        number: Number of the parameter.
        confidence: Confidence level in per cent.
    """
    found = pieces(curve, "profiled", number, f"{intervals.JOINT}{confidence}")
    first, last = found[0], found[-1]
    return replace(
        first, high=last.high, high_error=last.high_error, high_is_edge=last.high_is_edge
    )


def terms(runs: Sequence[Arrays], parameters: Sequence[str]) -> dict[str, Any]:
    """Return limits of single parameters, with linear terms alone and with all.

    Args:
        runs: Arrays of evaluations that only differ in their networks.
        parameters: Names of the parameters.

    Returns:
        A table for each parameter; none where no evaluation told them.
    """
    keys = [f"truncation/{name}" for name in truncated.TERMS]
    if not all(key in arrays for arrays in runs for key in keys):
        return {}
    tables = {name: _mean(runs, f"truncation/{name}") for name in truncated.TERMS}
    errors = {
        name: np.sqrt(np.mean([arrays[f"truncation_error/{name}"] ** 2 for arrays in runs], axis=0))
        for name in truncated.TERMS
    }
    return {
        parameter: {
            name: _terms(tables[name][number], errors[name][number]) for name in truncated.TERMS
        }
        for number, parameter in enumerate(parameters)
    }


def _terms(row: Array, errors: Array) -> dict[str, Any]:
    """Return the limits of a row, which has the number first and what is meaningful last."""
    ends, sizes = (these[1:-2].reshape(-1, 2).tolist() for these in (row, errors))
    edges = {name: float(end) for name, end in zip(("low", "high"), row[-2:], strict=True)}
    made: dict[str, Any] = {}
    for each, *found in zip(intervals.LEVELS, ends, sizes, strict=True):
        made[f"{each} % CL"] = {}
        for (side, edge), end, size in zip(edges.items(), *found, strict=True):
            is_set = np.isfinite(edge) and abs(end) > (1 - _SET) * abs(edge)
            error = "none: beyond this linear terms have no meaning" if is_set else _known(size)
            made[f"{each} % CL"] |= {side: round(end, _DIGITS), f"{side}_error": error}
    beyond: dict[str, Any] = {}
    for (side, edge), size in zip(edges.items(), errors[-2:].tolist(), strict=True):
        if np.isfinite(edge):
            beyond |= {side: round(edge, _DIGITS), f"{side}_error": _known(size)}
    return made | ({"no_meaning_beyond": beyond} if beyond else {})


def supported_luminosity(surface: Surface | None, luminosity: float) -> dict[str, Any] | str:
    """Return up to which luminosity the error of q at the contour stays below 1, or why not.

    Args:
        surface: q and its error; None for more parameters than a grid has.
        luminosity: That of q, in the unit that is wanted.
    """
    if surface is None:
        return "not known: more than three parameters"
    if not np.isfinite(surface.error).all():
        return _UNKNOWN
    found = surface.supported() * luminosity
    if not np.isfinite(found):
        return "none: the error of q is too large"
    return {"value": float(f"{found:.3g}"), "error": "none: it is where an error reaches 1"}


def expectation_numbers(arrays: Arrays) -> dict[str, float]:
    """Return the number of events expected."""
    return {"n_expected": float(arrays["expectation/n_expected"])}


def closure_numbers(arrays: Arrays) -> dict[str, float]:
    """Return how well a network knows the truth.

    Args:
        arrays: What an evaluation wrote.

    Returns:
        ``correlation`` and ``slope`` of each comparison with histograms, their least and mean; the
        ``joint_correlation`` with the joint log likelihood ratio or (mean of components) score of
        events that the training has not seen; ``held_out_loss``.
    """
    numbers = {"held_out_loss": float(arrays["held_out_loss"])}
    for name in ("correlation", "slope"):
        values = arrays.get(f"closure/{name}", np.array([]))
        if values.size:
            numbers |= {f"{name}_{k}": float(value) for k, value in enumerate(values)}
            numbers |= {f"{name}_least": float(values.min()), f"{name}_mean": float(values.mean())}
    if "joint/truth" in arrays:
        truth, estimate = (
            arrays[f"joint/{name}"].reshape(len(arrays["joint/truth"]), -1)
            for name in ("truth", "estimate")
        )
        valid = np.isfinite(truth).all(axis=1)
        pairs = zip(truth[valid].T, estimate[valid].T, strict=True)
        numbers["joint_correlation"] = float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))
    return numbers


def limit_numbers(name: str, curve: Curve, parameters: Sequence[str]) -> dict[str, float]:
    """Return best fit and limits of a curve.

    Args:
        name: What the numbers' names begin with, for instance ``kinematics``.
        curve: The curve.
        parameters: Names of the parameters.

    Returns:
        ``<name>_best_fit/<parameter>``; the hull of the profiled interval as
        ``<name>_<level>/<parameter>_low`` and ``_high``, with ``..._error`` where these are known;
        the extent of the joint contour as ``<name>_joint_<level>/...``; ``<name>_uncertainty_of_q``
        and ``<name>_reliable``, 1 or 0, where these are known.
    """
    numbers: dict[str, float] = {}
    for number, parameter in enumerate(parameters):
        numbers[f"{name}_best_fit/{parameter}"], _ = _mean_best(curve, number)
        for each in intervals.LEVELS:
            found = pieces(curve, "profiled", number, each)
            key = f"{name}_{each}/{parameter}"
            numbers |= {f"{key}_low": found[0].low, f"{key}_high": found[-1].high}
            numbers |= {
                f"{key}_low_error": found[0].low_error,
                f"{key}_high_error": found[-1].high_error,
            }
            if curve.surface:
                key, joint = f"{name}_joint_{each}/{parameter}", extent(curve, number, each)
                numbers |= {f"{key}_low": joint.low, f"{key}_high": joint.high}
    if curve.surface:
        numbers[f"{name}_uncertainty_of_q"] = curve.surface.error_at_contour()
    if curve.findings is not None:
        numbers[f"{name}_reliable"] = float(curve.reliable)
    return {key: value for key, value in numbers.items() if np.isfinite(value)}


def fisher_numbers(matrix: Array, parameters: Sequence[str]) -> dict[str, float]:
    """Return the elements of a Fisher information matrix as ``fisher_information/<i>_<j>``."""
    return {
        f"fisher_information/{parameters[i]}_{parameters[j]}": float(matrix[i, j])
        for i in range(len(parameters))
        for j in range(i, len(parameters))
    }
