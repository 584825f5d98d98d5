"""A saved directory with anything in its files: the model, or an error that the command line shows as one line."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ulmfit.classifier import Classifier, TextClassifier
from ulmfit.config import ClassifierConfig
from ulmfit.files.checkpoint import CheckpointError, load_net, load_tensors
from ulmfit.language_model import LanguageModel
from ulmfit.saved import load

ODD = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 2**31, 2**70, 1e308, "", "a", [], {}, [[]], {"a": 1}]),
    st.sampled_from([float("nan"), float("inf"), "forward", "number", "multi", ["a", "a"], "\ud800"]),
    st.sampled_from(["(", "(a+", "a{9999999999}", "(?P<a>b)(?P=a)", "[[a]", "\\", "x" * 1000]),
)  # fmt: skip


@pytest.fixture
def model(lm: LanguageModel, tmp_path: Path) -> Path:
    classifier = TextClassifier.create(lm, ("bad", "good"), ClassifierConfig())
    classifier.save(tmp_path / "model", card={"made_by": "a test"})
    return tmp_path / "model"


def attempt(path: Path) -> Classifier | None:
    """The classifier, if it is one; whatever is wrong with it is said in a way that users see."""
    try:
        found = load(path)
        if isinstance(found, Classifier):
            assert len(found.predict(["a good film", ""])) == 2
    except (ValueError, OSError, ImportError) as error:
        assert str(error)
        return None
    return found if isinstance(found, Classifier) else None


def places(tree: Any, path: tuple = ()) -> list[tuple]:
    """Where something stands in a tree of JSON; of long lists and tables only the beginning."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()  # fmt: skip
    below = [place for key, value in list(inner)[:12] for place in places(value, (*path, key))]
    return [path, *below]


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_odd_values(model: Path, file: str) -> None:
    whole = json.loads((model / file).read_text(encoding="utf-8"))
    if "spacy_patterns" in whole:  # fewer, so that each try is quick
        exceptions = whole["spacy_patterns"]["exceptions"]
        whole["spacy_patterns"]["exceptions"] = dict(list(exceptions.items())[:20])
    assert attempt_with(model, file, whole) is not None

    @given(st.sampled_from(places(whole)), ODD | st.just("delete"), st.booleans())
    def check(place: tuple, value: Any, add: bool) -> None:
        content = copy.deepcopy(whole)
        if not place:
            content = value
        else:
            holder = content
            for key in place[:-1]:
                holder = holder[key]
            if value == "delete":
                del holder[place[-1]]
            elif add and isinstance(holder, list):
                holder.append(value)
            elif add and isinstance(holder, dict):
                holder["new"] = value
            else:
                holder[place[-1]] = value
        attempt_with(model, file, content)

    check()


def attempt_with(model: Path, file: str, content: Any) -> Classifier | None:
    (model / file).write_text(json.dumps(content))
    return attempt(model)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_damaged_bytes(model: Path, file: str) -> None:
    whole = (model / file).read_bytes()
    head = min(
        len(whole), 3000
    )  # of the weights mostly the header; other numbers are other weights

    @given(
        st.lists(st.tuples(st.integers(0, head - 1), st.integers(0, 255)), max_size=3),
        st.none() | st.integers(0, len(whole)),
    )
    def check(changes: list[tuple[int, int]], length: int | None) -> None:
        content = bytearray(whole)
        for place, value in changes:
            content[place] = value
        (model / file).write_bytes(content[:length])
        attempt(model)

    check()


def test_weights_of_wrong_shapes(model: Path) -> None:
    tensors = load_tensors(model / "model.safetensors")
    for name, tensor in tensors.items():
        for wrong in (tensor.repeat(2, *[1] * (tensor.ndim - 1)) if tensor.ndim else tensor[None], tensor[None]):  # fmt: skip
            save_file(tensors | {name: wrong.contiguous()}, model / "model.safetensors")
            with pytest.raises(CheckpointError, match=r"has shape .* do not belong together"):
                load(model)


def test_what_a_net_would_need_is_not_taken(tmp_path: Path) -> None:
    """A net of four terabytes is compared with its file by name and shape alone."""
    save_file({"weight": torch.ones(2, 2)}, tmp_path / "a")
    with pytest.raises(CheckpointError, match=r"weight has shape \(2, 2\).*\(1000000, 1000000\)"):
        load_net(tmp_path / "a", lambda: torch.nn.Linear(10**6, 10**6, bias=False))


def test_a_scale_is_one_number_a_row(tmp_path: Path) -> None:
    for scale in (torch.ones(3), torch.ones(2, 2), torch.tensor(1.0)):
        tensors = {"embedding.weight": torch.zeros(2, 5, dtype=torch.int8)}
        save_file(tensors | {"embedding.weight.scale": scale}, tmp_path / "a")
        with pytest.raises(CheckpointError, match="does not hold one scale per row"):
            load_tensors(tmp_path / "a")
