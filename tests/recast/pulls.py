"""Pulls of the strength in pseudo-experiments; prints them as JSON. Runs where pyhf is."""

import json
import sys

import numpy as np
import pyhf

from steps.recasting.limits import Model

# The error is that of a parabola this far from the best strength, a standard deviation or so.
_STEP = 0.2


def main() -> None:
    """Read a workspace, a strength and a number; draw with all constraint terms, and fit."""
    given = json.load(sys.stdin)
    model = Model(given["workspace"])
    inner, truth = model._model, np.array(model._model.config.suggested_init())
    poi = inner.config.poi_index
    truth[poi] = given["strength"]
    np.random.seed(1)
    pulls = []
    for data in inner.make_pdf(truth).sample((given["number"],)):
        fit, least = pyhf.infer.mle.fit(data, inner, return_fitted_val=True)
        best = float(fit[poi])
        rises = [
            float(pyhf.infer.mle.fixed_poi_fit(x, data, inner, return_fitted_val=True)[1] - least)
            for x in (best - _STEP, best + _STEP)
        ]
        pulls.append((best - truth[poi]) * np.sqrt(np.mean(rises)) / _STEP)
    print(json.dumps(pulls))


if __name__ == "__main__":
    main()
