"""What the figure for choosing K and layer shows of known tables."""

from __future__ import annotations

import pytest

from earmark.figures.scores import beside, choice, choice_panels, flipping, proposed, recovered
from earmark.figures.style import BLACK, GREY, SKY

LAYERS = ["conv4", "conv5"]
FAIR = {
    ("conv4", "drsa", 2, "all", "fair_zero"): (0.3, 0.2, 0.4),
    ("conv5", "drsa", 4, "all", "fair_zero"): (0.5, 0.4, 0.6),
}
STABLE = {
    ("conv4", "drsa", 2, "all", "objective_training"): (1.0, float("nan"), float("nan")),
    ("conv4", "drsa", 2, "all", "objective_held_out"): (0.8, 0.7, 0.9),
    ("conv4", "drsa", 2, "all", "affinity_seed"): (0.9, 0.8, 1.0),
    ("conv4", "drsa", 2, "all", "affinity_bootstrap"): (0.6, float("nan"), float("nan")),
}
NUMBERS = {
    ("conv4", "drsa", k, "all", "effective_number"): (number, float("nan"), float("nan"))
    for k, number in ((2, 1.9), (4, 2.8))
}
CHOSEN_BY = "nmi of a kind"
UNITS = {"thesis": "logit", "si_sdr": "dB", "overlap": ""}
RANDOM = {key: (0.55, 0.0, 0.0) for key in STABLE if key[-1].startswith("affinity")}


def test_the_figure_shows_what_is_known_and_names_what_is_not() -> None:
    panels = choice_panels(FAIR, NUMBERS, {}, STABLE, RANDOM, {}, CHOSEN_BY, LAYERS, [2, 4], "drsa")
    figure = choice(panels, LAYERS, "title")
    drawn = [axis for axis in figure.axes if axis.get_title()]
    shown = {axis.get_title().split("\n")[0]: [text.get_text() for text in axis.texts] for axis in drawn}
    assert shown == {
        "objective on validation pairs": [],
        "concepts in effect": [],
        "fair score, test clips (not to choose by)": [],
        "information on objects, validation clips": ["not computed"],
        "affinity over seeds": [],
        "affinity over resampled clips": [],
        "found again in other networks": ["not computed"],
    }
    objects = {("conv4", "drsa", 2, "all", CHOSEN_BY): (0.1, 0.0, 0.2)}
    known = choice(choice_panels(FAIR, {}, objects, STABLE, RANDOM, {}, CHOSEN_BY, LAYERS, [2, 4], "drsa"), LAYERS, "")
    assert not known.axes[3].texts
    heights = [float(line.get_ydata()[0]) for line in figure.axes[2].lines if line.get_marker() == "o"]
    assert heights == [0.3, 0.5]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["K = 2", "K = 4"]
    for place, level in ((0, 1.0), (4, 0.55)):  # on the training pairs; of random subspaces
        levels = [float(line.get_ydata()[0]) for line in figure.axes[place].lines if line.get_linestyle() == ":"]
        assert levels == [level]


@pytest.mark.parametrize(
    ("numbers", "k"),
    [({2: 1.0, 4: 1.0, 8: 1.0}, 2), ({2: 1.9, 4: 2.0, 8: 2.0}, 2), ({2: 1.9, 4: 2.8, 8: 3.0}, 4), ({}, None)],
)
def test_as_many_concepts_are_proposed_as_are_there(numbers: dict[int, float], k: int | None) -> None:
    bars = {("conv4", "drsa", n, "all", "effective_number"): (number, 0.0, 0.0) for n, number in numbers.items()}
    assert proposed(bars, "conv4", [8, 4, 2], "drsa") == k


def test_noise_stands_beside_every_score_but_the_one_that_knows_k() -> None:
    bars = {
        (layer, method, k, "all", metric): (value, value - 0.1, value + 0.1)
        for metric in ("thesis", "fair_zero")
        for layer, method, k, value in (
            ("conv4", "drsa", 4, 0.3),
            ("input", "standard", 1, 0.5),
            ("input", "noise", 1, 0.9),
        )
    }
    figure = flipping(bars, ["conv4"], ["drsa"], 4, ["standard", "noise"], {"noise"}, UNITS)
    assert figure is not None
    across = [
        [float(line.get_ydata()[0]) for line in axis.lines if line.get_linestyle() == "--"] for axis in figure.axes
    ]
    assert across == [[0.5], [0.5, 0.9], [], [], []]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["drsa", "standard (K = 1)", "noise (K = 1)"]
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(0.3)
    assert flipping({}, ["conv4"], ["drsa"], 4, ["standard", "noise"], {"noise"}, UNITS) is None


def test_any_number_of_methods_can_be_told_apart_from_each_other_from_controls_and_from_references() -> None:
    methods, across = [f"method {number}" for number in range(20)], [f"level {number}" for number in range(20)]
    bars = {("conv4", method, 4, "all", "thesis"): (0.3, 0.2, 0.4) for method in (*methods, "random")}
    bars |= {("conv4", methods[0], 4, "all", "matched_budget"): (0.5, 0.4, 0.6)}
    bars |= {("input", level, 1, "all", "thesis"): (0.7, 0.6, 0.8) for level in (*across, "standard")}
    figure = flipping(bars, ["conv4"], [*methods, "random"], 4, [*across, "standard"], {"random"}, UNITS)
    assert figure is not None
    lines = [line for line in figure.axes[0].lines if line.get_marker() not in ("", "None", "_")]
    looks = [(line.get_color(), line.get_marker()) for line in lines]
    assert len(set(looks)) == 22 and looks[20:] == [(GREY, "D"), (BLACK, "X")]
    strokes = [(line.get_color(), str(line._unscaled_dash_pattern)) for line in figure.axes[0].lines][-21:]
    assert len(set(strokes)) == 21 and strokes[20][0] == BLACK
    for color, _ in (*looks[:20], *strokes[:20]):
        assert color not in (GREY, BLACK, SKY)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:22] == [*methods, "random", "standard, budget of method 0"]


def test_controls_that_know_no_layer_are_told_apart() -> None:
    controls = ["noise", "energy", "allpass"]
    bars = {("input", name, 1, "all", "fair_zero"): (0.7, 0.6, 0.8) for name in controls}
    bars |= {("conv4", "drsa", 4, "all", "fair_zero"): (0.3, 0.2, 0.4)}
    figure = flipping(bars, ["conv4"], ["drsa"], 4, controls, set(controls), UNITS)
    assert figure is not None
    across = [line for line in figure.axes[1].lines if line.get_color() == SKY]
    assert len({str(line._unscaled_dash_pattern) for line in across}) == len(across) == 3
    assert across[0].get_linestyle() == "--"


def test_a_method_looks_the_same_where_another_is_missing() -> None:
    bars = {("conv4", "dsa", 4, "all", "thesis"): (0.3, 0.2, 0.4)}
    bars |= {("conv4", method, 4, "all", "fair_zero"): (0.3, 0.2, 0.4) for method in ("drsa", "dsa")}
    figure = flipping(bars, ["conv4"], ["drsa", "dsa"], 4, [], set(), UNITS)
    assert figure is not None
    looks = [
        [(line.get_color(), line.get_marker()) for line in axis.lines if line.get_linestyle() == "-"]
        for axis in figure.axes
    ]
    assert looks[0][0] in looks[1] and len(set(looks[1])) == 2


def test_titles_bear_the_units_of_what_they_show() -> None:
    bars = {("conv4", "drsa", 4, "all", metric): (0.3, 0.2, 0.4) for metric in ("thesis", "si_sdr")}
    for draw, titles in (
        (lambda *given: flipping(*given[:4], [], *given[4:]), ["thesis score [logit]", "structural similarity"]),
        (recovered, ["mutual information / log O", "SI-SDR [dB]"]),
    ):
        figure = draw(bars, ["conv4"], ["drsa"], 4, set(), UNITS)
        shown = [axis.get_title().split("\n")[0] for axis in figure.axes]
        assert [shown[0], shown[-1]] == titles


def test_other_networks_have_a_panel_for_each_layer_and_quantity_that_is_known() -> None:
    def bars(layer: str, metric: str, estimate: float) -> dict:
        return {(layer, "drsa", 4, "all", metric): (estimate, estimate - 0.1, estimate + 0.1)}

    compared = {"low": bars("conv4", "correlation", 0.5), "high": bars("conv5", "correlation", 0.7)}
    compared["high"] |= bars("conv5", "nmi - nmi_other", -0.2)
    random = {"high": bars("conv5", "correlation", 0.4)}
    figure = beside(compared, random, "there", LAYERS, ["drsa", "info"], 4, ["random"])
    assert figure is not None
    assert [axis.get_title().split("\n") for axis in figure.axes] == [
        ["correlation of relevance", "with concepts there, at low"],
        ["correlation of relevance", "with concepts there, at high"],
        ["information on sound objects", "less that of concepts there, at high"],
    ]
    heights = [[float(line.get_ydata()[0]) for line in axis.lines if line.get_marker() == "X"] for axis in figure.axes]
    assert heights == [[], [0.4], []]  # of random subspaces
    assert beside(compared, random, "there", LAYERS, ["drsa"], 8, []) is None
