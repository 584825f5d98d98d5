"""What stands on the encoder: a tied decoder (language model), pooling and an MLP (classifier).

Notable: the decoder has no matrix of its own, it *is* the embedding; a document is read from its
own first token and pooled by its own length, so a prediction does not depend on its batch.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from ulmfit.config import Dropout, ModelConfig
from ulmfit.nn.awd_lstm import AWDLSTM, State, detach
from ulmfit.nn.batch_norm import batch_norm
from ulmfit.nn.dropout import elementwise_dropout, variational_dropout
from ulmfit.shapes import Bool, Float, Int, Tensor
from ulmfit.world import ALONE, World

LEAST_WIDTH = 0.1  # × the variance before `update_bn`
# tokens per call, of all documents together, without gradients; more only takes memory
READ_AT_ONCE = 2048


class LMOutput(NamedTuple):
    raw: Float[Tensor, "B T E"]  # encoder output
    dropped: Float[Tensor, "B T E"]  # the same after output dropout: what `logits` wants
    state: State


class LMNet(nn.Module):
    """Language model: encoder, output dropout, and a decoder tied to the embedding (AWD §4.4)."""

    def __init__(self, vocab_size: int, config: ModelConfig, dropout: Dropout) -> None:
        super().__init__()
        self.encoder = AWDLSTM(vocab_size, config, dropout)
        self.decoder_bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens: Int[Tensor, "B T"], state: State | None = None) -> LMOutput:
        """Features only: losses can do without the B·T·V logits that `logits` computes from them."""
        raw, after = self.encoder(tokens, state)
        dropped = variational_dropout(raw, self.encoder.dropout.output, self.training)
        return LMOutput(raw, dropped, after)

    def logits(self, features: Float[Tensor, "*N E"]) -> Float[Tensor, "*N V"]:
        """One logit per word of the vocabulary."""
        return F.linear(features, self.encoder.embedding.weight, self.decoder_bias)

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Bottom → top. The embedding is at the top, where unfreezing starts, since it is also the decoder."""
        return {
            **_lstm_groups(self.encoder),
            "embedding": [*self.encoder.embedding.parameters(), self.decoder_bias],
        }


class ClassifierOutput(NamedTuple):
    logits: Float[Tensor, "B C"]
    output: Float[Tensor, "B K E"]  # encoder output of the K columns read for pooling, 0 elsewhere
    kept: Bool[Tensor, "B K"]  # which of them are real tokens that were pooled


class ClassifierHead(nn.Module):
    """Pooled features → logits: blocks of BatchNorm, dropout, Linear, with ReLU in between.

    In training BatchNorm needs at least two documents in a batch.
    """

    def __init__(self, sizes: list[int], dropouts: list[float]) -> None:
        super().__init__()
        if len(dropouts) != len(sizes) - 1:
            raise ValueError(
                f"{len(sizes) - 1} blocks need as many dropouts, got {len(dropouts)}: "
                "give one per hidden size and one for the output"
            )
        self.dropouts = dropouts
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[:-1])
        self.linears = nn.ModuleList(
            nn.Linear(size_in, size_out, bias=False) for size_in, size_out in pairwise(sizes)
        )
        for norm in self.norms:
            nn.init.constant_(norm.get_parameter("bias"), 1e-3)  # as fastai; weights start at 1

    def forward(self, pooled: Float[Tensor, "B P"], world: World = ALONE) -> Float[Tensor, "B C"]:
        x = pooled
        for block, (norm, linear) in enumerate(zip(self.norms, self.linears, strict=True)):
            if block > 0:
                x = F.relu(x)
            assert isinstance(norm, nn.BatchNorm1d)
            x = batch_norm(norm, x, world)
            x = linear(elementwise_dropout(x, self.dropouts[block], self.training))
        return x

    @torch.no_grad()
    def update_bn(self, pooled: Float[Tensor, "B P"]) -> None:
        """Sets BatchNorm's running averages to those of these features, block by block: averages kept in training include
        the variance that dropout adds, which is gone in evaluation ("variance shift", Li et al. 2019, CVPR). Call it in
        evaluation mode; B is 2 or more.
        """
        x = pooled
        for block, (norm, linear) in enumerate(zip(self.norms, self.linears, strict=True)):
            if block > 0:
                x = F.relu(x)
            assert isinstance(norm, nn.BatchNorm1d) and norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(x.mean(0))
            # a unit that is silent on all these texts must not be amplified without bound on others
            norm.running_var.copy_(torch.maximum(x.var(0), LEAST_WIDTH * norm.running_var))
            x = linear(norm(x))


class ClassifierNet(nn.Module):
    """Text classifier: reads a document chunk by chunk, pools it, classifies (paper §3.3)."""

    def __init__(
        self,
        vocab_size: int,
        config: ModelConfig,
        dropout: Dropout,
        n_classes: int,
        *,
        bptt: int = 72,
        max_len: int = 1440,
        head_sizes: tuple[int, ...] = (50,),
        head_dropouts: tuple[float, ...] | None = None,
    ) -> None:
        """`bptt`: tokens per chunk; `max_len`: how many last tokens of a document are pooled at most, in whole chunks."""
        super().__init__()
        self.bptt = bptt
        self.max_len = max_len
        self.head_sizes = head_sizes
        self.encoder = AWDLSTM(vocab_size, config, dropout)
        if head_dropouts is None:
            head_dropouts = (dropout.output, *[0.1] * len(head_sizes))  # fastai
        self.head = ClassifierHead(
            [3 * config.embedding_size, *head_sizes, n_classes], list(head_dropouts)
        )

    def forward(
        self, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, " B"], world: World = ALONE
    ) -> ClassifierOutput:
        """`tokens` are padded on the right; `lengths` counts the real ones, and is best on the CPU. Where `world` has
        several processes, the rows are those of this process, and may be none."""
        output, kept = self.read(tokens, lengths)
        return ClassifierOutput(self.head(concat_pool(output, kept), world), output, kept)

    def read(
        self, tokens: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B K E"], Bool[Tensor, "B K"]]:
        """Encoder output and the mask of what is pooled, for the chunks that at least one row pools.

        The state is carried from chunk to chunk but detached: no gradient crosses a border, which
        bounds memory for long documents (BPT3C, paper §3.3). Dropout masks are new in each chunk.
        A chunk that starts `max_len` or fewer tokens before the end of its document is pooled.
        """
        if len(tokens) == 0:
            kept = tokens.new_ones(0, 1, dtype=torch.bool)
            weight = self.encoder.embedding.weight
            # As if there were documents: in backward all processes must take part in the same sums.
            learns = torch.is_grad_enabled() and any(
                p.requires_grad for p in self.encoder.parameters()
            )
            return weight.new_zeros(0, 1, weight.shape[1], requires_grad=learns), kept
        _check_lengths(lengths, tokens.shape[1])
        lengths, order = lengths.cpu().sort(descending=True, stable=True)
        longest_first, original = _reordering(order, tokens.device)
        tokens = tokens[longest_first] if longest_first is not None else tokens
        longest, step = int(lengths[0]), self._step(len(tokens))
        chunks = [slice(a, min(a + step, longest)) for a in range(0, longest, step)]
        masks = [self._pooled(lengths, chunk) for chunk in chunks]
        # now, since this copy would wait for a GPU that has begun to read
        kept = torch.cat([mask for mask in masks if mask is not None], 1).to(tokens.device)
        outputs: list[Tensor] = []
        embedded = self._embedded(tokens, chunks, masks)
        state: State | None = None
        for chunk, mask in zip(chunks, masks, strict=True):
            rows = int((lengths > chunk.start).sum())
            state = state and [(h[:, :rows], c[:, :rows]) for h, c in state]
            x = next(embedded)[:rows] if embedded and mask is not None else None
            with torch.set_grad_enabled(mask is not None and torch.is_grad_enabled()):
                output, after = self.encoder(tokens[:rows, chunk], state, x)
            state = detach(after)
            if mask is not None:
                outputs.append(F.pad(output, (0, 0, 0, 0, 0, len(tokens) - rows)))
        output = torch.cat(outputs, 1).masked_fill(~kept[..., None], 0.0)
        if original is None:
            return output, kept
        return output[original], kept[original]

    def _embedded(
        self, tokens: Int[Tensor, "B T"], chunks: list[slice], masks: list[Tensor | None]
    ) -> Iterator[Tensor] | None:
        """The embedded tokens of each pooled chunk, where the embedding is trained: from one lookup, so that its gradient,
        which is as large as the table, is computed once and not for each chunk."""
        if not (torch.is_grad_enabled() and self.encoder.embedding.weight.requires_grad):
            return None
        pooled = [tokens[:, c] for c, mask in zip(chunks, masks, strict=True) if mask is not None]
        looked_up = self.encoder.embed(torch.cat(pooled, 1))
        return iter(looked_up.split([part.shape[1] for part in pooled], 1))

    def _pooled(self, lengths: Int[Tensor, " B"], chunk: slice) -> Tensor | None:
        """Which tokens of a chunk are pooled (B, width of the chunk); None: no token of any row."""
        first = (lengths - self.max_len).clamp_min(0).add(self.bptt - 1) // self.bptt * self.bptt
        position = torch.arange(chunk.start, chunk.stop)
        mask = (position >= first[:, None]) & (position < lengths[:, None])
        return mask if bool(mask.any()) else None

    def _step(self, rows: int) -> int:
        """Tokens of each document to read per call. Without gradients several chunks are read together where documents are
        few: PyTorch's LSTM repacks its weights on every call, which takes as long as reading many tokens."""
        if self.training or torch.is_grad_enabled():
            return self.bptt
        return self.bptt * max(1, READ_AT_ONCE // (self.bptt * rows))

    def layer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Bottom → top; unfreezing starts at the head."""
        return {
            "embedding": list(self.encoder.embedding.parameters()),
            **_lstm_groups(self.encoder),
            "head": list(self.head.parameters()),
        }


def concat_pool(output: Float[Tensor, "B K E"], kept: Bool[Tensor, "B K"]) -> Float[Tensor, "B P"]:
    """[last, maximum, mean] over the kept tokens of each row, P = 3E (paper §3.3).

    `output` must be zero where nothing is kept, as `ClassifierNet.read` gives it.
    """
    columns = torch.arange(kept.shape[1], device=kept.device)
    last = columns.where(kept, -1).amax(1)
    return torch.cat(
        [
            output[torch.arange(len(output), device=kept.device), last],
            output.masked_fill(~kept[..., None], float("-inf")).amax(1),
            output.sum(1) / kept.sum(1, keepdim=True),
        ],
        1,
    )


def _lstm_groups(encoder: AWDLSTM) -> dict[str, list[nn.Parameter]]:
    return {f"lstm.{i}": encoder.layer_parameters(i) for i in range(len(encoder.lstms))}


def _check_lengths(lengths: Tensor, width: int) -> None:
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > width:
        raise ValueError(
            f"lengths must lie in 1–{width} (the batch's width), got {shortest}–{longest}: "
            "a document has at least its xxbos token"
        )


def _reordering(order: Tensor, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
    """`order` and its inverse; twice `None` when there is nothing to move."""
    if torch.equal(order, torch.arange(len(order))):
        return None, None
    return order.to(device), order.argsort().to(device)
