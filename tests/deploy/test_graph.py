"""The graph says what `ClassifierNet` says, whatever the lengths."""

from typing import Any

import numpy as np
import pytest
import torch

from ulmfit.config import NO_DROPOUT, ModelConfig
from ulmfit.deploy import graph
from ulmfit.deploy.graph import classifier_graph, quantised
from ulmfit.nn.heads import ClassifierNet

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

V = 60


@pytest.fixture
def net() -> ClassifierNet:
    """Three layers, two hidden head layers, BatchNorm with statistics, and opinions that differ."""
    made = ClassifierNet(
        V,
        ModelConfig(embedding_size=16, hidden_size=24, layers=3),
        NO_DROPOUT,
        3,
        bptt=7,
        max_len=20,
        head_sizes=(10, 6),
        head_dropouts=(0.0, 0.0, 0.0),
    )
    with torch.no_grad():
        for parameter in made.encoder.parameters():
            parameter.mul_(3)
    for norm in made.head.norms:
        norm.momentum = 1.0  # type: ignore[assignment]
    made.train()(torch.randint(V, (32, 20)), torch.arange(32) % 20 + 1)
    return made.eval()


def session(net: ClassifierNet, *, low_precision: bool = False) -> Any:
    model = classifier_graph(net, low_precision=low_precision)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def both(net: ClassifierNet, run: Any, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of random documents: PyTorch's and the graph's."""
    tokens = torch.randint(V, (len(lengths), max(lengths)))
    with torch.inference_mode():
        wanted = net(tokens, torch.tensor(lengths)).logits.softmax(1).numpy()
    inputs = {"tokens": tokens.numpy(), "lengths": np.array(lengths)}
    return wanted, run.run(None, inputs)[0]


# around bptt = 7, max_len = 20, their sum, and the graph's own chunk of 5
LENGTHS = [[1], [7], [20], [21], [26, 27, 28], [40, 3, 1], [1, 64, 33, 5, 10, 20, 35]]


def test_any_number_and_length_as_in_pytorch(
    net: ClassifierNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "CHUNK", 5)
    run, seen = session(net), []
    for lengths in LENGTHS:
        wanted, found = both(net, run, lengths)
        assert np.abs(wanted - found).max() < 1e-5, lengths
        seen.append(wanted)
    assert np.ptp(np.concatenate(seen), axis=0).max() > 0.1  # they are not all the same


def test_the_chunk_changes_no_number(net: ClassifierNet, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {"tokens": np.random.default_rng(0).integers(0, V, (2, 300))}
    inputs["lengths"] = np.array([300, 150])
    found = []
    for chunk in (1, 128, 1000):
        monkeypatch.setattr(graph, "CHUNK", chunk)
        found.append(session(net).run(None, inputs)[0])
    assert np.allclose(found[0], found[1], atol=1e-6)
    assert np.allclose(found[0], found[2], atol=1e-6)


def test_low_precision_is_near_and_small(net: ClassifierNet) -> None:
    run = session(net, low_precision=True)
    wanted, found = both(net, run, [30, 20, 10, 5])
    assert 0 < np.abs(wanted - found).max() < 0.15
    sizes = [len(classifier_graph(net, low_precision=p).SerializeToString()) for p in (True, False)]
    weights = sum(p.numel() for p in net.encoder.parameters())
    assert sizes[1] - sizes[0] > 2 * weights  # four bytes became one; the rest are scales


@pytest.mark.parametrize("axis", [0, 1])
def test_integers_times_scale_is_the_matrix(axis: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    matrix[3] = matrix[:, 4] = 0.0  # nothing to scale by
    integers, scale = quantised(matrix, 63, axis)
    assert integers.dtype == np.int8 and scale.dtype == np.float32 and scale.shape[axis] == 1
    assert np.abs(integers).max() == 63
    assert (np.abs(integers * scale - matrix) <= scale / 2 * 1.0001).all()
