"""The features that a frozen encoder gives each document: computed once, used in every epoch of the head."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol, runtime_checkable

import torch

from ulmfit.nn.heads import ClassifierNet, concat_pool
from ulmfit.progress import bar
from ulmfit.shapes import Float, Int, Tensor
from ulmfit.world import ALONE, World


@runtime_checkable
class IndexedDocuments(Protocol):
    @property
    def tokens(self) -> Int[Tensor, "B T"]: ...
    @property
    def lengths(self) -> Int[Tensor, " B"]: ...
    @property
    def index(self) -> Int[Tensor, " B"]: ...


class FrozenFeatures:
    """Pooled features of all documents, computed as in evaluation, but in the precision of the training.

    Not what fastai does: its frozen encoder keeps its dropout on, so each epoch sees other features.
    All are computed at first use, always in the same batches, so that a resumed training has the same bits.
    """

    def __init__(
        self,
        documents: Callable[[], Iterable[IndexedDocuments]],
        count: int,
        world: World = ALONE,
    ) -> None:
        """`documents()` gives batches with each of `count` documents once, numbered by `index` from 0. The processes of
        `world` share the work."""
        self.documents, self.count, self.world = documents, count, world
        self._rows: Tensor | None = None

    def __call__(self, net: ClassifierNet, batch: IndexedDocuments) -> Float[Tensor, "B P"] | None:
        """The features of a batch; `None` where the encoder is trained, and those kept are dropped."""
        if any(parameter.requires_grad for parameter in net.encoder.parameters()):
            self._rows = None
            return None
        if self._rows is None:
            training = net.training
            self._rows = pooled_features(net, self.documents(), self.count, "reading", self.world)
            net.train(training)
        return self._rows[batch.index]


def pooled_features(
    net: ClassifierNet,
    documents: Iterable[IndexedDocuments],
    count: int,
    description: str = "",
    world: World = ALONE,
) -> Float[Tensor, "D P"]:
    """The head's input for each of `count` documents, with `net` set to evaluation; without a description there is no bar.
    The processes of `world` share the work, and each gets all rows."""
    parameter = net.encoder.embedding.weight
    rows = parameter.new_zeros(count, 3 * parameter.shape[1])
    net.eval()
    with torch.no_grad(), bar(description, total=count, unit="texts") as advance:
        for batch in islice(documents, world.rank, None, world.size):
            tokens = batch.tokens.to(parameter.device)
            pooled = concat_pool(*net.read(tokens, batch.lengths))
            rows[batch.index.to(parameter.device)] = pooled.float()
            advance(len(tokens) * world.size, "")
    return world.total(rows)
