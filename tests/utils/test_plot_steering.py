"""The figures of steering show the numbers and texts that they were given."""

from typing import Any

import numpy as np
import pytest

from utils.plots import continuations, dose_response_curves

COEFFICIENTS = [-2.0, 0.0, 2.0]
RESPONSES = {
    "contrastive": [[-1.0, 0.0, 1.0], [-3.0, 0.5, 3.0]],
    "logistic": [[0.0, 0.1, 0.2], [0.0, 0.2, 0.4]],
}
BAND = {"random": ([[-0.5, 0.0, -0.5], [-1.0, 0.0, -1.0]], [[0.5, 0.0, 0.5], [1.0, 0.0, 4.0]])}
TEXTS = {"-1": ["bad.", "worse."], "0": ["so-so.", "a <b>thing</b>."], "+1": ["good.", "best."]}


class TestDoseResponseCurves:
    def figure(self, **changes) -> Any:
        given = {
            "coefficients": COEFFICIENTS,
            "responses": RESPONSES,
            "layers": [3, 7],
            "title": "t",
            **changes,
        }
        return dose_response_curves(**given)

    def test_shows_the_layer_asked_for(self):
        for start in (0, 1, -1):
            figure = self.figure(start=start)
            assert [trace.name for trace in figure.data] == ["contrastive", "logistic"]
            for trace, values in zip(figure.data, RESPONSES.values(), strict=True):
                assert list(trace.x) == COEFFICIENTS
                assert list(trace.y) == values[start]

    def test_slider_holds_every_layer(self):
        figure = self.figure(bands=BAND)
        (slider,) = figure.layout.sliders
        assert [step.label for step in slider.steps] == ["3", "7"]
        for row, step in enumerate(slider.steps):
            lower, upper = BAND["random"]
            expected = [lower[row], upper[row], *(values[row] for values in RESPONSES.values())]
            assert step.args[0]["y"] == expected
            assert len(expected) == len(figure.data)

    def test_axis_holds_every_layer(self):
        low, high = self.figure(bands=BAND).layout.yaxis.range
        assert low < -3
        assert high > 4

    @pytest.mark.parametrize(
        "changes",
        [
            {"responses": {}},
            {"responses": {"one": [[0.0, 1.0, 2.0]]}},
            {"coefficients": [0.0, 1.0]},
            {"bands": {"random": (np.zeros((2, 2)), np.zeros((2, 2)))}},
        ],
    )
    def test_bad_shapes(self, changes):
        with pytest.raises(ValueError, match="shape|empty"):
            self.figure(**changes)


class TestContinuations:
    def test_slider_holds_every_condition(self):
        figure: Any = continuations(TEXTS, prompts=["A", "B"], title="t", start=1)
        (slider,) = figure.layout.sliders
        assert [step.label for step in slider.steps] == list(TEXTS)
        assert slider.active == 1
        (shown,) = slider.steps[2].args[0]["cells.values"]
        assert shown == [["A", "B"], TEXTS["+1"]]
        assert [list(side) for side in figure.data[0].cells["values"]] == [
            ["A", "B"],
            ["so-so.", "a &lt;b&gt;thing&lt;/b&gt;."],
        ]

    def test_long_texts_get_room(self):
        short, long = (
            continuations({"0": [text] * 4}, prompts=["A"] * 4, title="t").layout.height
            for text in ("word", "word " * 60)
        )
        assert long > short + 4 * 60

    def test_bad_lengths(self):
        with pytest.raises(ValueError, match="1 continuations for 2 prompts"):
            continuations({"0": ["a"]}, prompts=["A", "B"], title="t")
        with pytest.raises(ValueError, match="at least one"):
            continuations({}, prompts=["A"], title="t")
