"""Runs one peer on one data set, in the peer's own environment:

    .peers/NAME/bin/python -m benchmarks.peers.run MODULE TASK.json ANSWER.json

A peer is a class `Peer` in scikit-learn's manner: `fit(texts, labels, unlabelled)`, `predict(texts)`.
"""

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any, Protocol

from benchmarks.worker import timed, versions


class Classifies(Protocol):
    """The interface of a peer."""

    def fit(self, texts: list[str], labels: list[str], unlabelled: list[str]) -> Any: ...
    def predict(self, texts: list[str]) -> list[str]: ...


def main() -> None:
    module, task, answer = sys.argv[1:]
    content = json.loads(Path(task).read_text(encoding="utf-8"))
    peer: Classifies = importlib.import_module(f"benchmarks.peers.{module}").Peer(
        **content["settings"]
    )
    fitting, _ = timed(lambda: peer.fit(content["texts"], content["labels"], content["unlabelled"]))
    predicting, found = timed(lambda: peer.predict(content["test"]))
    answers = {
        "predictions": [str(label) for label in found],
        "fit_seconds": fitting,
        "predict_seconds": predicting,
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": versions(),
    }
    Path(answer).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
