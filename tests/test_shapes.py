"""Without jaxtyping the annotations are plain tensors."""

import runpy
import sys

import pytest
from torch import Tensor

from ulmfit import shapes


@pytest.mark.parametrize("name", ["Bool", "Float", "Int"])
def test_it_falls_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(shapes, name)[Tensor, "B T"] is not Tensor
    monkeypatch.setitem(sys.modules, "jaxtyping", None)
    assert runpy.run_path(str(shapes.__file__))[name][Tensor, "B T"] is Tensor
