"""One peer on one data set, in the peer's own environment:

    .peers/NAME/bin/python -m benchmarks.peers.run MODULE TASK.json ANSWER.json

A peer is a class `Peer` with scikit-learn's contract: `fit(texts, labels, unlabelled)`, `predict(texts)`.
"""

import importlib
import json
import resource
import sys
from pathlib import Path
from typing import Any, Protocol

from benchmarks.worker import timed, versions


class Classifies(Protocol):
    """What a peer can do."""

    def fit(self, texts: list[str], labels: list[str], unlabelled: list[str]) -> Any: ...
    def predict(self, texts: list[str]) -> list[str]: ...


def main() -> None:
    module, task, answer = sys.argv[1:]
    told = json.loads(Path(task).read_text(encoding="utf-8"))
    peer: Classifies = importlib.import_module(f"benchmarks.peers.{module}").Peer(
        **told["settings"]
    )
    fitting, _ = timed(lambda: peer.fit(told["texts"], told["labels"], told["unlabelled"]))
    predicting, found = timed(lambda: peer.predict(told["test"]))
    content = {
        "predictions": [str(label) for label in found],
        "fit_seconds": fitting,
        "predict_seconds": predicting,
        "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": versions(),
    }
    Path(answer).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main()
