"""`ClassifierStream`: a classifier that reads a text as it arrives, each token once.

Notable: memory does not grow with the text. The LSTM's state stands for all that was read; pooling needs the last output, and
the sum and the maximum of each chunk among the last `max_len` tokens (`ClassifierNet.read` pools whole chunks).
"""

from copy import copy
from typing import Any, NamedTuple

import torch

from ulmfit.nn.awd_lstm import State
from ulmfit.nn.heads import READ_AT_ONCE, ClassifierNet
from ulmfit.nn.one_by_one import OneByOne
from ulmfit.outputs import Outputs
from ulmfit.runtime import Runtime
from ulmfit.shapes import Float, Tensor
from ulmfit.text.token_stream import TokenStream
from ulmfit.text.tokenizer import Tokenizer
from ulmfit.text.words import Ids


class Chunk(NamedTuple):
    """What pooling needs of the outputs of up to `bptt` tokens."""

    start: int  # position of its first token
    total: Float[Tensor, " E"]
    maximum: Float[Tensor, " E"]


class SoFar(NamedTuple):
    """All that is kept of the tokens read."""

    tokens: int = 0
    state: State | None = None
    last: Float[Tensor, " E"] | None = None  # output of the last token
    chunks: tuple[Chunk, ...] = ()  # those that may still be pooled, in order


class ClassifierStream:
    """Reads one text piece by piece; `TextClassifier.stream` makes it. Memory: at most `max_len` / `bptt` chunks, the text that
    `TokenStream` holds back, and on a CPU a second, reordered copy of the weights, which streams made by `another` share. The
    classifier must not be trained while a stream is in use."""

    def __init__(
        self, net: ClassifierNet, tokenizer: Tokenizer, outputs: Outputs, runtime: Runtime
    ) -> None:
        """ValueError: the tokenizer's language can't be read in pieces."""
        self._net, self._outputs, self._runtime = net, outputs, runtime
        runtime.ready(self._net)
        self._encoder = OneByOne(net.encoder) if runtime.one_by_one else net.encoder
        self._text = TokenStream(tokenizer)
        self._so_far = SoFar()

    def another(self) -> "ClassifierStream":
        """A new stream for another text, with the same weights."""
        stream = copy(self)
        stream._text, stream._so_far = TokenStream(self._text.tokenizer), SoFar()
        return stream

    @property
    def tokens(self) -> int:
        """Tokens read so far, without the last words fed, whose tokens may still change."""
        return self._so_far.tokens

    def feed(self, piece: str) -> None:
        """Read `piece`, which may begin and end anywhere. ValueError: as `TokenStream.feed`."""
        self._so_far = self._read(self._text.feed(piece))

    def prediction(self) -> Any:
        """What `predict` gives for the text so far, as if it ended here. May be called at any time; reads the words held back
        each time."""
        so_far, runtime = self._read(self._text.rest()), self._runtime
        with torch.inference_mode(), runtime.autocast():
            logits = self._net.head(_pool(so_far)[None])
        rows = self._outputs.activate(logits.float()).cpu().numpy()
        return self._outputs.predictions(rows)[0]

    def _read(self, ids: Ids) -> SoFar:
        """`SoFar` after these tokens."""
        so_far, runtime = self._so_far, self._runtime
        self._net.eval()
        for start in range(0, len(ids), READ_AT_ONCE):
            read = ids[start : start + READ_AT_ONCE].tolist()
            tokens = torch.tensor([read], device=runtime.device)
            with torch.inference_mode(), runtime.autocast():
                output, state = self._encoder(tokens, so_far.state)
                so_far = _advanced(so_far, output[0].float(), state, self._net)
        return so_far


def _advanced(
    so_far: SoFar, output: Float[Tensor, "T E"], state: State, net: ClassifierNet
) -> SoFar:
    """`so_far` after the next T tokens, without the chunks that now lie too far back to be pooled."""
    chunks, tokens, done = list(so_far.chunks), so_far.tokens, 0
    while done < len(output):
        offset = (tokens + done) % net.bptt
        part = output[done : done + net.bptt - offset]
        total, maximum = part.sum(0), part.amax(0)
        if offset:  # continues the last chunk
            begun = chunks.pop()
            total, maximum = begun.total + total, torch.maximum(begun.maximum, maximum)
        chunks.append(Chunk(tokens + done - offset, total, maximum))
        done += len(part)
    tokens += done
    kept = tuple(chunk for chunk in chunks if chunk.start >= tokens - net.max_len)
    return SoFar(tokens, state, output[-1].clone(), kept)


def _pool(so_far: SoFar) -> Float[Tensor, " P"]:
    """As `concat_pool`: [last, maximum, mean]."""
    chunks = so_far.chunks
    assert so_far.last is not None  # every text begins with xxbos
    count = so_far.tokens - chunks[0].start
    total, maximum = (torch.stack(parts) for parts in zip(*(c[1:] for c in chunks), strict=True))
    return torch.cat([so_far.last, maximum.amax(0), total.sum(0) / count])
