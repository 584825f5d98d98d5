"""The encoder: an embedding and a stack of LSTMs, regularised by dropout (Merity et al. 2017).

Notable: the LSTM state is a value that comes in and goes out, never a field of the module; the
dropout probabilities are a plain attribute that may be replaced between calls; weight dropout works
on a copy handed to the LSTM, so parameters keep PyTorch's names (`lstms.0.weight_hh_l0`).
"""

from itertools import pairwise
from typing import NamedTuple

import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from ulmfit.config import PAD_ID, Dropout, ModelConfig
from ulmfit.nn.dropout import embedding_dropout, variational_dropout, weight_dropout
from ulmfit.shapes import Float, Int, Tensor

State = list[tuple[Tensor, Tensor]]  # per layer (h, c), each (1, B, H of the layer)


class EncoderOutput(NamedTuple):
    output: Float[Tensor, "B T E"]  # of the last LSTM, before output dropout
    state: State  # after the last token, still attached to the graph


class AWDLSTM(nn.Module):
    """Tokens → features. Every layer but the last has `hidden_size` units, the last E."""

    def __init__(self, vocab_size: int, config: ModelConfig, dropout: Dropout) -> None:
        super().__init__()
        self.config = config
        self.dropout = dropout
        sizes = [
            config.embedding_size,
            *[config.hidden_size] * (config.layers - 1),
            config.embedding_size,
        ]
        self.embedding = nn.Embedding(vocab_size, config.embedding_size, padding_idx=PAD_ID)
        self.lstms = nn.ModuleList(
            nn.LSTM(size_in, size_out, batch_first=True) for size_in, size_out in pairwise(sizes)
        )
        self.init_weights()

    def init_weights(self) -> None:
        """Fresh weights, as fastai draws them.

        embedding.weight    U(−0.1, 0.1), the padding row too: as a decoder row it is trained
        lstms.*.weight_*    U(−1/√H, 1/√H), H the units of that layer (PyTorch's own)
        lstms.*.bias_*      the same; there are two bias vectors per layer
        """
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        for lstm in self.lstms:
            assert isinstance(lstm, nn.LSTM)
            lstm.reset_parameters()

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T E"]:
        """The tokens' rows of the embedding. The padding's row gets no gradient."""
        return F.embedding(tokens, self.embedding.weight, padding_idx=PAD_ID)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        state: State | None = None,
        embedded: Float[Tensor, "B T E"] | None = None,
    ) -> EncoderOutput:
        """Features of every token, and the state to carry on with; `None` starts from zeros.

        In training all dropout masks are drawn anew on each call. The state is not detached: see `detach`. `embedded`:
        `embed(tokens)`, for callers that look up once for many calls, since the gradient of each lookup is as large as
        the table.
        """
        _check_batch_size(state, tokens.shape[0])
        p, training = self.dropout, self.training
        x = self.embed(tokens) if embedded is None else embedded
        x = embedding_dropout(x, tokens, len(self.embedding.weight), p.embedding, training)
        x = variational_dropout(x, p.input, training)
        after: State = []
        for layer, lstm in enumerate(self.lstms):
            x, layer_state = self._run_layer(lstm, x, state[layer] if state else None)
            after.append(layer_state)
            if layer < len(self.lstms) - 1:
                x = variational_dropout(x, p.hidden, training)
        return EncoderOutput(x, after)

    def _run_layer(
        self, lstm: nn.Module, x: Tensor, state: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not self.training or self.dropout.weight == 0.0:
            return lstm(x, state)
        weight = lstm.get_parameter("weight_hh_l0")
        dropped = weight_dropout(weight, self.dropout.weight, self.training)
        return functional_call(lstm, {"weight_hh_l0": dropped}, (x, state))

    def layer_parameters(self, layer: int) -> list[nn.Parameter]:
        """The four tensors of one LSTM, counted from the embedding upwards."""
        return list(self.lstms[layer].parameters())


def detach(state: State) -> State:
    """The same numbers, detached from the graph: back-propagation through time stops here."""
    return [(h.detach(), c.detach()) for h, c in state]


def _check_batch_size(state: State | None, rows: int) -> None:
    if state and state[0][0].shape[1] != rows:
        raise ValueError(
            f"the LSTM state holds {state[0][0].shape[1]} rows but the batch has {rows}: carry a "
            "state only between batches of one size, or start with state=None"
        )
