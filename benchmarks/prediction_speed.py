"""Milliseconds a prediction: PyTorch, the export, and the export in low precision, in turns on the same ids.

    python benchmarks/prediction_speed.py --size small --threads 1

Random weights of the size's shape. One thread: CPU time of this process, which other jobs disturb least; more: wall
time. The best of `--windows` turns each. Appends a line to benchmarks/results/prediction_speed.jsonl.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from ulmfit.config import BASE, NO_DROPOUT, SMALL
from ulmfit.deploy.graph import classifier_graph
from ulmfit.nn.heads import ClassifierNet

RESULTS = Path(__file__).parent / "results" / "prediction_speed.jsonl"
SIZES = {"base": (BASE, 60_008), "small": (SMALL, 30_000)}  # shape, vocabulary
SHAPES = [(1, 8), (1, 20), (1, 230), (16, 230)]  # documents, tokens of each

Way = Callable[[np.ndarray, np.ndarray], np.ndarray]


def ways(size: str, threads: int) -> dict[str, tuple[Way, float]]:
    """Tokens, lengths → probabilities; and the megabytes its weights take on disk."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    config, vocab_size = SIZES[size]
    net = ClassifierNet(vocab_size, config, NO_DROPOUT, 2).eval()

    def pytorch(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return (
                net(torch.from_numpy(tokens), torch.from_numpy(lengths)).logits.softmax(1).numpy()
            )

    floats = sum(t.numel() for t in net.state_dict().values())
    found: dict[str, tuple[Way, float]] = {"pytorch": (pytorch, floats * 4 / 1e6)}
    for name, low in (("onnx fp32", False), ("onnx int8", True)):
        content = classifier_graph(net, low_precision=low).SerializeToString()
        found[name] = session(content, threads), len(content) / 1e6
    return found


def session(content: bytes, threads: int) -> Way:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    run = onnxruntime.InferenceSession(content, options).run
    return lambda tokens, lengths: run(None, {"tokens": tokens, "lengths": lengths})[0]


def measure(made: dict[str, tuple[Way, float]], threads: int, windows: int) -> dict[str, Any]:
    """Milliseconds per call, by way and shape; and how far probabilities are from PyTorch's."""
    clock = time.process_time if threads == 1 else time.perf_counter
    rng, figures = np.random.default_rng(0), {name: dict[str, Any]() for name in made}
    for documents, length in SHAPES:
        tokens = rng.integers(10, 30_000, (documents, length))
        lengths = np.full(documents, length)
        best = dict.fromkeys(made, float("inf"))
        for _ in range(windows):
            rows = {}
            for name, (way, _) in made.items():
                begun = clock()
                rows[name] = way(tokens, lengths)
                best[name] = min(best[name], clock() - begun)
        for name in made:
            figures[name][f"{documents}x{length}_ms"] = round(1e3 * best[name], 2)
            difference = float(np.abs(rows[name] - rows["pytorch"]).max())
            figures[name][f"{documents}x{length}_difference"] = difference
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=5)
    told = parser.parse_args()
    made = ways(told.size, told.threads)
    line = {
        **vars(told),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "megabytes": {name: round(size, 1) for name, (_, size) in made.items()},
        **measure(made, told.threads, told.windows),
    }
    print(json.dumps(line, indent=1))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
