"""Tests of the figures: what goes in is what is shown, and bad shapes are refused."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
import torch

from utils.plot_style import dress, plain
from utils.plots import (
    bars_with_floor,
    heatmap,
    layer_sweep,
    parse_tree,
    pca_scatter,
    score_histogram,
    token_weights,
    tradeoff,
    world_map,
)

SCORES = {
    "logistic regression": [0.5, 0.7, 0.9],
    "mass-mean": torch.tensor([0.5, 0.6, 0.8], requires_grad=True),
}


def drawn(figure: go.Figure) -> Any:
    """The traces; plotly's own annotation of `data` is too wide to be of use."""
    return figure.data


def traces(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in drawn(figure)}


def captions(figure: go.Figure) -> list[str]:
    layout: Any = figure.layout
    return [annotation.text for annotation in layout.annotations]


class TestLayerSweep:
    def test_shows_the_numbers(self):
        figure = layer_sweep(SCORES, title="Truth", floors={"majority": 0.5, "untrained": [0.5, 0.52, 0.51]})
        shown = traces(figure)
        assert list(shown["mass-mean"].y) == pytest.approx([0.5, 0.6, 0.8])
        assert list(shown["mass-mean"].x) == [0, 1, 2]
        assert list(shown["majority"].y) == [0.5] * 3
        assert list(shown["untrained"].y) == [0.5, 0.52, 0.51]
        assert shown["majority"].line.dash != shown["untrained"].line.dash

    def test_labels(self):
        figure = layer_sweep(SCORES, title="Truth", layers=[6, 12, 18], ylabel="R²", floors={"majority": 0.5})
        assert figure.layout.title.text == "Truth"
        assert figure.layout.xaxis.title.text == "layer"
        assert figure.layout.yaxis.title.text == "R²"
        assert sorted(captions(figure)) == ["logistic regression", "majority", "mass-mean"]

    def test_band_encloses_lower_and_upper(self):
        figure = layer_sweep(SCORES, title="Truth", bands={"mass-mean": ([0.4, 0.5, 0.7], [0.6, 0.7, 0.9])})
        band = traces(figure)["mass-mean, interval"]
        assert list(band.x) == [0, 1, 2, 2, 1, 0]
        assert list(band.y) == [0.6, 0.7, 0.9, 0.7, 0.5, 0.4]

    def test_embedding_is_a_layer(self):
        figure: Any = layer_sweep(SCORES, title="t", layers=["embed", 0, 1])
        assert list(drawn(figure)[0].x) == ["embed", 0, 1]
        assert figure.layout.xaxis.type == "category"

    def test_labels_of_lines_that_end_together_are_apart(self):
        figure = layer_sweep({name: [0.0, 1.0] for name in "abcd"}, title="t")
        heights = sorted(annotation.y for annotation in figure.layout.annotations)
        assert min(np.diff(heights)) > 0.05

    @pytest.mark.parametrize(
        "arguments",
        [
            {"scores": {}},
            {"scores": {"a": [1, 2], "b": [1, 2, 3]}},
            {"scores": {"a": [[1, 2], [3, 4]]}},
            {"scores": {"a": [1, 2]}, "layers": [0, 1, 2]},
            {"scores": {"a": [1, 2]}, "floors": {"f": [1, 2, 3]}},
            {"scores": {"a": [1, 2]}, "bands": {"b": ([1, 2], [1, 2])}},
            {"scores": {"a": [1, 2]}, "bands": {"a": ([1], [2])}},
        ],
    )
    def test_bad_shapes(self, arguments):
        with pytest.raises(ValueError):
            layer_sweep(**arguments, title="t")


class TestBarsWithFloor:
    def test_shows_scores_intervals_and_floors(self):
        figure = bars_with_floor(
            {"LR": 0.9, "mass-mean": 0.8},
            intervals={"LR": (0.85, 0.92)},
            floors={"shuffled": 0.5, "3-grams": [0.6, 0.7]},
            title="t",
            start=0.5,
        )
        bars, shuffled, grams = drawn(figure)
        assert list(bars.y) == ["LR", "mass-mean"]
        assert np.add(bars.x, bars.base) == pytest.approx([0.9, 0.8])
        assert list(bars.error_x.array) == pytest.approx([0.02, 0])
        assert list(bars.error_x.arrayminus) == pytest.approx([0.05, 0])
        assert (list(shuffled.x), list(grams.x)) == ([0.5, 0.5], [0.6, 0.7])
        assert figure.layout.xaxis.title.text == "AUROC"
        assert figure.layout.yaxis.autorange == "reversed"

    @pytest.mark.parametrize(
        "arguments",
        [
            {"floors": {"f": [0.5]}},
            {"intervals": {"c": (0, 1)}},
            {"intervals": {"a": (0.95, 1.0)}},
        ],
    )
    def test_bad_input(self, arguments):
        with pytest.raises(ValueError):
            bars_with_floor({"a": 0.9, "b": 0.8}, title="t", **arguments)


class TestHeatmap:
    def test_shows_the_matrix(self):
        values = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
        figure = heatmap(
            values, ["a", "b", "c"], ["x", "y"], title="t", unit="cosine", column_title="tested on"
        )
        cells = drawn(figure)[0]
        assert np.array_equal(np.array(cells.z), values)
        assert (list(cells.y), list(cells.x)) == (["a", "b", "c"], ["x", "y"])
        assert cells.colorbar.title.text == "cosine"
        assert figure.layout.xaxis.title.text == "tested on"
        assert "z" in cells.texttemplate

    def test_centre_is_in_the_middle_of_the_scale(self):
        figure = heatmap(np.array([[0.4, 0.9]]), ["a"], ["x", "y"], title="t", unit="AUROC", centre=0.5)
        cells = drawn(figure)[0]
        assert (cells.zmin, cells.zmax) == pytest.approx((0.1, 0.9))

    def test_names_that_look_alike_once_wrapped_stay_apart(self):
        names = ["negated cities", "negated companies"]
        cells = drawn(heatmap(np.eye(2), names, names, title="t", unit="u"))[0]
        assert len(set(cells.x)) == 2

    def test_long_names_of_many_columns_are_slanted(self):
        few, many = (["neg_animal_class", "cities"] * n for n in (1, 6))
        assert heatmap(np.eye(2), few, few, title="t", unit="u").layout.xaxis.tickangle == 0
        assert heatmap(np.eye(12), many, many, title="t", unit="u").layout.xaxis.tickangle == -45

    def test_bad_shape(self):
        with pytest.raises(ValueError, match="values"):
            heatmap(np.eye(2), ["a", "b"], ["x"], title="t", unit="u")


class TestTradeoff:
    def test_shows_the_points(self):
        series = {"mass-mean": ([0, 1], [3, 4]), "random": (0.5, 3.5)}
        figure = tradeoff(
            series, labels={"mass-mean": ["0", "<20>"]}, title="t", xlabel="gain", ylabel="loss (nats)"
        )
        shown = traces(figure)
        assert (list(shown["mass-mean"].x), list(shown["mass-mean"].y)) == ([0, 1], [3, 4])
        assert (list(shown["random"].x), list(shown["random"].y)) == ([0.5], [3.5])
        assert list(shown["mass-mean"].text) == ["0", "&lt;20&gt;"]
        assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("gain", "loss (nats)")

    def test_loose_points(self):
        series = {"joined": ([0, 1], [3, 4]), "random": ([0.5, 0.7], [3.5, 3.1])}
        shown = traces(tradeoff(series, loose=["random"], title="t", xlabel="x", ylabel="y"))
        assert ("lines" in shown["joined"].mode, "lines" in shown["random"].mode) == (True, False)
        with pytest.raises(ValueError, match="loose"):
            tradeoff(series, loose=["other"], title="t", xlabel="x", ylabel="y")

    @pytest.mark.parametrize("labels", [{"other": ["a"]}, {"a": ["too", "many", "labels"]}])
    def test_bad_labels(self, labels):
        with pytest.raises(ValueError, match="labels"):
            tradeoff({"a": ([0, 1], [0, 1])}, labels=labels, title="t", xlabel="x", ylabel="y")

    def test_bad_lengths(self):
        with pytest.raises(ValueError, match="series"):
            tradeoff({"a": ([0, 1], [0])}, title="t", xlabel="x", ylabel="y")


class TestPcaScatter:
    POINTS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    LABELS = (True, False, True)
    HOVER = ("Paris", "<|im_start|>", "Lima")

    def test_points_labels_and_hover_belong_together(self):
        shown = traces(pca_scatter(self.POINTS, self.LABELS, self.HOVER, title="t"))
        assert (list(shown["True"].x), list(shown["True"].y)) == ([0, 4], [1, 5])
        assert list(shown["True"].hovertext) == ["Paris", "Lima"]
        assert (list(shown["False"].x), list(shown["False"].y)) == ([2], [3])
        assert list(shown["False"].hovertext) == ["&lt;|im_start|&gt;"]

    def test_slider_holds_every_frame(self):
        frames = np.stack([self.POINTS, 10 * self.POINTS])
        figure = pca_scatter(frames, self.LABELS, self.HOVER, title="t", frame_names=["layer 0", "layer 9"])
        steps = figure.layout.sliders[0].steps
        assert [step.label for step in steps] == ["layer 0", "layer 9"]
        names = [trace.name for trace in drawn(figure)]
        restyle, relayout = steps[1].args
        assert dict(zip(names, restyle["x"], strict=True)) == {"True": [0, 40], "False": [20]}
        assert dict(zip(names, restyle["y"], strict=True)) == {"True": [10, 50], "False": [30]}
        assert relayout["xaxis.range"][1] > 40
        assert relayout["yaxis.range"][1] > 50
        assert list(drawn(figure)[0].x) == steps[0].args[0]["x"][0]

    def test_classes_give_the_order_of_the_colours(self):
        figure = pca_scatter(self.POINTS, self.LABELS, self.HOVER, title="t", classes=["True", "False"])
        assert [trace.name for trace in drawn(figure)] == ["True", "False"]
        with pytest.raises(ValueError, match="classes"):
            pca_scatter(self.POINTS, self.LABELS, self.HOVER, title="t", classes=["True"])

    def test_single_picture_has_no_slider(self):
        assert not pca_scatter(self.POINTS, self.LABELS, self.HOVER, title="t").layout.sliders

    @pytest.mark.parametrize(
        ("points", "labels", "hover", "names"),
        [
            (np.zeros((3, 3)), LABELS, HOVER, None),
            (np.zeros(3), LABELS, HOVER, None),
            (POINTS, LABELS[:2], HOVER, None),
            (POINTS, LABELS, HOVER[:2], None),
            (np.zeros((2, 3, 2)), LABELS, HOVER, ["only one"]),
        ],
    )
    def test_bad_shapes(self, points, labels, hover, names):
        with pytest.raises(ValueError):
            pca_scatter(points, labels, hover, title="t", frame_names=names)


class TestWorldMap:
    TRUE = np.array([[48.86, 2.35], [-12.05, -77.04]])
    PREDICTED = np.array([[40.0, 10.0], [0.0, -60.0]])

    def figure(self, **arguments):
        return world_map(
            self.TRUE, self.PREDICTED, ["Paris", "Lima"], ["Europe", "South America"], title="t", **arguments
        )

    def test_latitude_goes_up_and_longitude_across(self):
        shown = traces(self.figure(background=self.TRUE))
        assert (list(shown["Europe"].x), list(shown["Europe"].y)) == ([10], [40])
        assert list(shown["South America"].hovertext) == ["Lima"]
        assert (list(shown["true place"].x), list(shown["true place"].y)) == ([2.35, -77.04], [48.86, -12.05])

    def test_lines_join_true_and_predicted(self):
        lines = next(trace for trace in drawn(self.figure()) if trace.mode == "lines")
        assert list(lines.x) == [2.35, 10, None, -77.04, -60, None]
        assert list(lines.y) == [48.86, 40, None, -12.05, 0, None]

    def test_units(self):
        layout = self.figure().layout
        assert "degrees" in layout.xaxis.title.text
        assert "degrees" in layout.yaxis.title.text

    def test_needs_no_map_from_the_network(self):
        assert {trace.type for trace in drawn(self.figure())} == {"scatter"}

    def test_bad_shapes(self):
        with pytest.raises(ValueError, match="predicted"):
            world_map(self.TRUE, self.PREDICTED[:1], ["a", "b"], ["x", "y"], title="t")
        with pytest.raises(ValueError, match="groups"):
            world_map(self.TRUE, self.PREDICTED, ["a", "b"], ["x"], title="t")
        with pytest.raises(ValueError, match="background"):
            self.figure(background=np.zeros(3))


class TestParseTree:
    WORDS = ("the", "<s>", "slept")

    def test_colour_and_side_say_which_edges_agree(self):
        figure = parse_tree(self.WORDS, gold=[(1, 0), (2, 1)], predicted=[(0, 1), (0, 2)], title="t")
        arcs = [(trace.name, np.sign(trace.y[12]), trace.line.dash) for trace in drawn(figure)]
        assert arcs == [
            ("the – &lt;s&gt;", 1, None),
            ("&lt;s&gt; – slept", 1, "dot"),
            ("the – &lt;s&gt;", -1, None),
            ("the – slept", -1, "dot"),
        ]
        assert (drawn(figure)[3].x[0], drawn(figure)[3].x[-1]) == (0, 2)

    def test_words_in_order(self):
        figure = parse_tree(self.WORDS, [(0, 1)], [(0, 1)], title="t")
        words = [(note.x, note.text) for note in figure.layout.annotations if note.xref != "paper"]
        assert words == [(0, "the"), (1, "&lt;s&gt;"), (2, "slept")]
        assert {"gold", "predicted"} <= set(captions(figure))

    @pytest.mark.parametrize("edge", [(0, 3), (-1, 0), (1, 1)])
    def test_bad_edge(self, edge):
        with pytest.raises(ValueError, match="predicted"):
            parse_tree(self.WORDS, [(0, 1)], [edge], title="t")


class Text(HTMLParser):
    """What a browser shows, and the tags that it meets."""

    def __init__(self, source):
        super().__init__()
        self.shown, self.tags = "", []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.shown += data


def source_of(tokens, weights, **arguments) -> str:
    return str(token_weights(tokens, weights, **arguments).data)


class TestTokenWeights:
    def test_every_token_is_shown_as_it_is(self):
        tokens = ["<script>alert(1)</script>", ' "Paris"', " & <b>", "\n", "end"]
        page = Text(source_of(tokens, [0.1, 0.2, 0.3, 0.0, 1.0], title="<i>attention</i>"))
        assert set(page.tags) == {"div", "span"}
        assert "".join(tokens).replace("\n", "↵\n") in page.shown
        assert "<i>attention</i>" in page.shown

    def test_shade_is_proportional_and_sign_is_colour(self):
        source = source_of(["a", "b", "c", "d"], [1.0, 0.5, -0.5, 0.0])
        shades = re.findall(r"rgba\((\d+),\d+,\d+,([\d.]+)\)", source)
        alphas = [float(alpha) for _, alpha in shades]
        assert alphas[1] == pytest.approx(alphas[0] / 2, abs=1e-3)
        assert alphas[2] == alphas[1]
        assert alphas[3] == 0
        assert shades[0][0] == shades[1][0] != shades[2][0]

    def test_all_zero_and_empty(self):
        assert "rgba" in source_of(["a"], [0.0])
        assert "rgba" not in source_of([], [])

    @pytest.mark.parametrize("weights", [[1.0], [1.0, np.nan], [1.0, np.inf], [[1.0, 2.0]]])
    def test_bad_weights(self, weights):
        with pytest.raises(ValueError, match="weights"):
            token_weights(["a", "b"], np.array(weights))


FIGURES = {
    "layer_sweep": lambda: layer_sweep({"a": np.linspace(0, 1, 30)}, floors={"f": 0.5}, title="t"),
    "bars": lambda: bars_with_floor({"a": 0.9}, floors={"f": 0.5}, title="t"),
    "heatmap": lambda: heatmap(np.eye(3), "abc", "xyz", title="t", unit="u"),
    "tradeoff": lambda: tradeoff({"a": ([0, 1], [0, 1])}, title="t", xlabel="x", ylabel="y"),
    "pca": lambda: pca_scatter(np.eye(2), "ab", "ab", title="t"),
    "map": lambda: world_map(np.eye(2), np.eye(2), "ab", "xy", title="t"),
    "tree": lambda: parse_tree("abc", [(0, 1)], [(0, 1)], title="t"),
}


@pytest.mark.parametrize("name", FIGURES)
class TestTheLook:
    def test_ground_is_transparent_and_title_shown(self, name):
        figure = FIGURES[name]()
        for ground in (
            figure.layout.template.layout.paper_bgcolor,
            figure.layout.template.layout.plot_bgcolor,
        ):
            assert ground == "rgba(0,0,0,0)"
        assert figure.layout.title.text == "t"

    def test_notebook_output_is_small_and_without_base64(self, name):
        written = str(FIGURES[name]().to_json())
        assert len(written) < 8000
        assert "bdata" not in written

    def test_default_template_is_untouched(self, name):
        before = pio.templates.default
        FIGURES[name]()
        assert pio.templates.default == before == "plotly"


def test_long_titles_wrap_and_get_room():
    figure = FIGURES["pca"]()
    one_line = figure.layout.margin.t
    dress(figure, "a long title " * 12, "x", "y")
    assert figure.layout.title.text.count("<br>") == 1
    assert figure.layout.margin.t > one_line


def test_plain_leaves_quotes_alone():
    assert plain('<s> Xi\'an & "co"') == '&lt;s&gt; Xi\'an &amp; "co"'


def test_score_histogram_counts_each_class_on_common_bins():
    scores = [0.0, 0.1, 0.9, 1.0, 0.95]
    figure = score_histogram(
        scores, [False, False, True, True, False], title="t", names=("other", "Europe"), threshold=0.5, bins=2
    )
    other, europe = drawn(figure)
    assert (other.name, list(other.y)) == ("other", [2, 1])
    assert (europe.name, list(europe.y)) == ("Europe", [0, 2])
    assert list(other.x) == list(europe.x) == [0.25, 0.75]
    assert figure.layout.shapes[0].x0 == 0.5
    with pytest.raises(ValueError, match="labels"):
        score_histogram(scores, [True], title="t")
