"""Figures written by several processes."""

import matplotlib.image as pictures
import pytest
from matplotlib.figure import Figure

from steps.plots import saving


def _figure(color: str) -> Figure:
    figure = Figure(figsize=(1, 1), facecolor=color)
    figure.add_artist(figure.text(0.5, 0.5, color))
    return figure


@pytest.mark.parametrize("cores", [1, 3])
def test_each_figure_is_in_the_file_of_its_name(tmp_path, monkeypatch, cores):
    monkeypatch.setattr(saving.os, "sched_getaffinity", lambda pid: set(range(cores)))
    colors = {"red": (1, 0, 0), "lime": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1)}
    saving.save({name: _figure(name) for name in colors}, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(colors)
    for name, color in colors.items():
        assert tuple(pictures.imread(tmp_path / f"{name}.png")[0, 0, :3]) == color


def test_a_figure_that_cannot_be_drawn_ends_the_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(saving.os, "sched_getaffinity", lambda pid: {0, 1})
    broken = Figure()
    broken.text(0.5, 0.5, r"$\nothing$")
    with pytest.raises(ValueError, match="nothing"):
        saving.save({"good": _figure("red"), "broken": broken}, tmp_path)


def test_no_figures_are_no_files(tmp_path):
    saving.save({}, tmp_path)
    assert not list(tmp_path.iterdir())
