"""Reading a document a token at a time: generation, and texts that arrive in pieces.

On a CPU `nn.LSTM` repacks its weights on each call, which for a single token takes several times as long as the
arithmetic. Here they are packed once: the four gates apart, so that threads share them, each stored column by column,
which a product of matrix and vector reads fastest (docs/log.md).
"""

import torch.nn.functional as F

from ulmfit.nn.awd_lstm import AWDLSTM, EncoderOutput, State
from ulmfit.nn.heads import LMNet
from ulmfit.shapes import Float, Int, Tensor

FEW = 4  # tokens per call; with more nn.LSTM is as fast
PARTS = 4  # that a matrix is cut into: an LSTM has four gates


class OneByOne:
    """`encoder(tokens, state)` of one document, in evaluation and without gradients; on a CPU faster for few tokens.

    The LSTMs' weights are copied: later changes have no effect.
    """

    def __init__(self, encoder: AWDLSTM) -> None:
        self.encoder = encoder
        self.layers = [
            (in_parts(w_in), in_parts(w_state), (b_in + b_state).detach().view(PARTS, -1))
            for layer in range(len(encoder.lstms))
            for w_in, w_state, b_in, b_state in [encoder.layer_parameters(layer)]
        ]

    def __call__(self, tokens: Int[Tensor, "1 T"], state: State | None = None) -> EncoderOutput:
        """As `AWDLSTM.forward`, up to rounding."""
        if tokens.shape[1] > FEW:
            return self.encoder(tokens, state)
        x, after = F.embedding(tokens[0], self.encoder.embedding.weight), State()
        for layer, (w_in, w_state, bias) in enumerate(self.layers):
            h, c = (s[0, 0] for s in state[layer]) if state else x.new_zeros(2, bias.shape[1])
            out = x.new_empty(len(x), len(h))
            for row, token in enumerate(x):
                gates = bias + token @ w_in + h @ w_state
                i, f, _, o = gates.sigmoid()
                c = f * c + i * gates[2].tanh()
                h = out[row] = o * c.tanh()
            x = out
            after.append((h[None, None], c[None, None]))
        return EncoderOutput(x[None], after)


class NextWord:
    """Logits of the word after `tokens`, and the state, for one text: `LMNet` through `OneByOne`."""

    def __init__(self, net: LMNet) -> None:
        self.read, self.bias = OneByOne(net.encoder), net.decoder_bias.detach()
        self.words = in_parts(
            F.pad(net.encoder.embedding.weight, (0, 0, 0, -len(self.bias) % PARTS))
        )

    def __call__(
        self, tokens: Int[Tensor, "1 T"], state: State | None = None
    ) -> tuple[Float[Tensor, " V"], State]:
        output, after = self.read(tokens, state)
        return (output[0, -1] @ self.words).flatten()[: len(self.bias)] + self.bias, after


def in_parts(weight: Float[Tensor, "N M"]) -> Float[Tensor, "P M N/P"]:
    """`vector @ in_parts(weight)` is `weight @ vector`, in PARTS rows."""
    rows, columns = weight.shape
    return weight.detach().view(PARTS, rows // PARTS, columns).transpose(1, 2).contiguous()
