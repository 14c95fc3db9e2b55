"""Figures show what they are given, in names of any script, and equal ones are equal bytes."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from earmark.figures.curves import flipping_curves, learning_curves
from earmark.figures.heatmaps import explanation_grid, objects
from earmark.figures.matrices import confusion, cross_class
from earmark.figures.style import save, unwritable
from earmark.sound.logmel import LogMel
from earmark.sound.stft import Stft
from earmark.sound.waveform import Waveform
from earmark.stages import draw

FRONTEND = {"sample_rate": 16000, "n_fft": 256, "hop": 64, "n_mels": 16, "n_frames": 16, "offset": 1e-7, "floor": -4.0}
METHODS = ("drsa", "random~0")
UNKNOWN = (0.3, float("nan"), float("nan"))


@pytest.fixture
def front():
    return LogMel(**FRONTEND)


@pytest.mark.parametrize("count", [50, 360])
def test_a_matrix_of_many_classes_is_no_larger_than_one_whose_numbers_can_be_read(count) -> None:
    figure = confusion(np.eye(count), [f"class {number}" for number in range(count)], "title")
    axis = figure.axes[0]
    assert max(figure.get_size_inches()) < 30
    assert len(axis.texts) == (count**2 if count <= 50 else 0)
    assert 25 <= len(axis.get_xticks()) <= 50


def test_explanation_grid_shows_what_it_says(front):
    rng = np.random.default_rng(0)
    concepts = rng.normal(size=(2, 3, 16, 16))
    standard = concepts.sum(axis=1)
    figure = explanation_grid(front, rng.normal(size=(2, 16, 16)), standard, concepts, "title", ["x", "y"])
    panels = [axis for axis in figure.axes if axis.images]
    assert len(panels) == 2 * 2
    for line in range(2):
        mosaic = panels[2 * line + 1]
        low, high = mosaic.images[0].get_clim()  # one scale per row
        assert low == -high
        tiles = mosaic.images[0].get_array().filled(np.nan)
        columns = np.flatnonzero(~np.isnan(tiles).any(axis=0))
        drawn = np.split(tiles[:, columns], 4, axis=1)
        np.testing.assert_array_equal(drawn, [standard[line], *concepts[line]])
        assert all(axis.images[0].origin == "lower" for axis in (panels[2 * line], mosaic))
        titles = [text.get_text() for text in mosaic.texts]
        assert titles[2].endswith(f"{concepts[line, 1].sum():.2f}")
        assert [title.startswith(("standard", "concept")) for title in titles] == [line == 0] * 4
    axis = panels[0]
    labels = {label.get_text(): tick for label, tick in zip(axis.get_yticklabels(), axis.get_yticks(), strict=True)}
    centres = front.frequencies.numpy()
    assert np.interp(labels["1000"], np.arange(16), centres) == pytest.approx(1000, rel=1e-6)
    left, right, bottom, top = axis.images[0].get_extent()
    assert (bottom, top) == (-0.5, 15.5)
    assert right - left == pytest.approx(16 * 64 / 16000)


@pytest.mark.parametrize("kind", [Stft(16000, 256, 64, 16, n_bins=100), Waveform(16000, 960)])
def test_axes_are_the_front_ends(kind, tmp_path):
    rng = np.random.default_rng(0)
    concepts = rng.normal(size=(1, 2, *kind.grid[1:]))
    inputs = kind.picture(kind(torch.randn(1, 960, generator=torch.Generator().manual_seed(0))))
    figure = explanation_grid(kind, inputs, concepts.sum(axis=1), concepts, "title")
    axis = next(axis for axis in figure.axes if axis.images)
    assert axis.get_title() == f"{kind.title} input"
    labels = {label.get_text(): tick for label, tick in zip(axis.get_yticklabels(), axis.get_yticks(), strict=True)}
    assert labels["1000"] == pytest.approx(1000 / (16000 / kind.n_fft))
    left, right, *_ = axis.images[0].get_extent()
    assert right - left == pytest.approx(kind.grid[2] * kind.hop / 16000)
    drawn = objects(kind, inputs[0], inputs, ["a sound"], "title")
    assert kind.unit in [axis.get_ylabel() for axis in drawn.axes]
    save(figure, tmp_path / "figure.png")


def test_explanation_grid_without_clips_or_relevance(front, tmp_path):
    empty = explanation_grid(front, torch.zeros(0, 16, 16), torch.zeros(0, 16, 16), torch.zeros(0, 2, 16, 16), "none")
    blank = explanation_grid(front, torch.zeros(1, 16, 16), torch.zeros(1, 16, 16), torch.zeros(1, 2, 16, 16), "blank")
    for name, figure in (("empty", empty), ("blank", blank)):
        save(figure, tmp_path / f"{name}.png")
    assert len(list(tmp_path.iterdir())) == 2


def test_any_class_name_can_be_drawn(tmp_path):
    names = ["$x$ \\frac", "a_b^c", "naïve & wild"]
    matrix = np.array([[1.0, np.nan, 0.2], [0.3, 0.5, 0.1], [np.nan, np.nan, np.nan]])
    drawn = [
        cross_class({"conv1": {"drsa": matrix}}, {("conv1", "drsa"): [UNKNOWN] * 4}, names, names[0]),
        flipping_curves({"zero": {name: np.tile([0.0, 1.0, 0.9, 1.1], (3, 1)) for name in names}}, names[0]),
        confusion(np.array([[5, 1, 0], [0, 0, 0], [2, 2, 2]]), names, names[0]),
        learning_curves({(name, "conv1"): [("data", [0.0, 1.0])] for name in names}, names[0]),
    ]
    for number, figure in enumerate(drawn):
        save(figure, tmp_path / f"{number}.png")
    assert len(list(tmp_path.iterdir())) == len(drawn)


def test_what_the_usual_font_lacks_is_written_with_another_or_told(tmp_path, caplog, recwarn):
    """DejaVu Sans has Cyrillic but no Chinese; of the fonts that come with Matplotlib, STIX has 0x1D81."""
    assert unwritable("рок, Übung\n") == ""
    assert unwritable("\u1d81 音乐音") == "音乐"
    figure = confusion(np.eye(2), ["音乐", "\u1d81"], "音乐 and \u1d81")
    save(figure, tmp_path / "names")
    assert [text.get_fontfamily() for text in figure.texts] == [["sans-serif", "STIXGeneral"]]
    assert b"STIX" in (tmp_path / "names.pdf").read_bytes()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    draw.warn_of_boxes(["音乐", "\u1d81", "рок", "音"])
    (sentence,) = caplog.messages
    assert sentence.startswith("figures show boxes in the names of classes (音乐, 音): ")
    draw.warn_of_boxes(["рок", "Übung"])
    assert len(caplog.messages) == 1


def test_matrices_of_a_layer_share_colours_and_name_their_gain():
    matrices = {
        "conv1": {"drsa": np.array([[3.0, 0.0], [1.0, 2.0]]), "random~0": np.array([[0.5, 0.4], [0.4, 0.5]])},
        "conv2": {"drsa": np.eye(2)},
    }
    gains = {(layer, method): [(1.0, 0.5, 1.5), (2.0, 1.5, 2.5), UNKNOWN] for layer in matrices for method in METHODS}
    figure = cross_class(matrices, gains, ["a", "b"], "title")
    first, second, third, missing = figure.axes
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0.0, 3.0)
    assert third.images[0].get_clim() == (0.0, 1.0)
    np.testing.assert_array_equal(second.images[0].get_array(), matrices["conv1"]["random~0"])
    assert second.get_title() == "conv1, random~0\nown − others: +0.30"
    written = [text.get_text() for text in first.texts]
    assert "+1.00 [0.50, 1.50]" in written and "+2.00 [1.50, 2.50]" in written
    assert missing.get_title() == "conv2, random~0: not computed" and not missing.images


def test_curves_of_rules_are_sorted_by_area():
    fractions = np.linspace(0, 1, 5)
    curves = {
        name: np.stack([fractions, height * (1 - fractions), 0 * fractions, 1 + 0 * fractions], axis=1)
        for name, height in (("configured", 0.8), ("epsilon", 0.4), ("random", 1.0))
    }
    figure = flipping_curves({"zero": curves, "floor": curves}, "title")
    assert [axis.get_title() for axis in figure.axes] == ["zero", "floor"]
    for axis in figure.axes:
        labels = [text.get_text() for text in axis.get_legend().get_texts()]
        assert labels == ["0.200  epsilon", "0.400  configured", "0.500  random"]
        for line, (_, values) in zip(axis.lines, curves.items(), strict=True):
            np.testing.assert_array_equal(line.get_xydata(), values[:, :2])


def test_a_figure_is_drawn_once_per_file_and_once_for_a_layout(front, tmp_path, monkeypatch):
    drawn, draw_one = [], Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda figure, renderer: drawn.append(figure) or draw_one(figure, renderer))
    solved = confusion(np.eye(2), ["a", "b"], "title")
    maps = np.ones((1, 2, 16, 16))
    fixed = explanation_grid(front, maps[:, 0], maps.sum(axis=1), maps, "title")
    for figure, times in ((solved, 3), (fixed, 2)):
        save(figure, tmp_path / "figure")
        assert drawn.count(figure) == times


def test_equal_figures_are_equal_bytes(front, tmp_path):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, 2, 16, 16))
    for folder in ("first", "second"):
        figure = explanation_grid(front, maps[:, 0], maps.sum(axis=1), maps, "title")
        save(figure, tmp_path / folder / "grid")
    for suffix in (".png", ".pdf"):
        first, second = ((tmp_path / folder / f"grid{suffix}").read_bytes() for folder in ("first", "second"))
        assert first == second
        assert b"CreationDate" not in first and b"Software" not in first
