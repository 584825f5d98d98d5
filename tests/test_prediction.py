"""What a classifier says is a value."""

import subprocess
import sys

from ulmfit.prediction import Prediction


def test_it_is_a_value() -> None:
    one, other = (Prediction("good", 0.75, {"bad": 0.25, "good": p}) for p in (0.75, 0.5))
    assert one == Prediction("good", 0.75, {"bad": 0.25, "good": 0.75}) != other


def test_it_is_known_without_pytorch() -> None:
    code = "import sys, ulmfit; ulmfit.Prediction; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
