"""What a classifier says is a value."""

import subprocess
import sys

from ulmfit.prediction import MultiLabelPrediction, NumberPrediction, Prediction


def test_it_is_a_value() -> None:
    one, other = (Prediction("good", 0.75, {"bad": 0.25, "good": p}) for p in (0.75, 0.5))
    assert one == Prediction("good", 0.75, {"bad": 0.25, "good": 0.75}) != other


def test_it_is_known_without_pytorch() -> None:
    code = "import sys, ulmfit; ulmfit.Prediction; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_lines_and_rows() -> None:
    one = Prediction("good", 0.75, {"bad": 0.25, "good": 0.75})
    assert one.line() == "good  0.750"
    assert one.row() == {"prediction": "good", "probability": 0.75}
    both = {"a": 0.5, "b": 0.1, "c": 1.0}
    several = MultiLabelPrediction(("a", "c"), both)
    assert several.line() == "a  0.500\nc  1.000"
    assert several.row() == {
        "prediction": ["a", "c"],
        "probability_a": 0.5,
        "probability_b": 0.1,
        "probability_c": 1.0,
    }
    assert MultiLabelPrediction((), both).line() == "no label; the likeliest: c  1.000"
    assert NumberPrediction(7.256789).line() == "7.257"
    assert NumberPrediction(7.25).row() == {"prediction": 7.25}
