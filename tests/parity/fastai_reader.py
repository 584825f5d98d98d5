"""How fastai reads padded documents, over our encoder: kept out of the product, for the goldens.

fastai pads whole chunks in front and the rest behind. In each chunk it reads only the first k rows,
k = how many rows hold a token in its first column: a row behind one that ended earlier is left
unread. It keeps chunks by the length of the *batch*, and looks for a row's last token by counting
padding in the last `bptt` columns: too far left if the row begins in a last chunk that is not full.
Not covered: the golden `encoder_bidir`, as two directions are two models here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ulmfit.config import PAD_ID
from ulmfit.nn.awd_lstm import AWDLSTM, State, detach
from ulmfit.nn.heads import concat_pool


def pad_input_chunk(documents: list[Tensor], seq_len: int = 72, pad: int = PAD_ID) -> Tensor:
    """One batch, padded to the longest document: whole chunks in front, the rest behind."""
    width = max(map(len, documents))
    fronts = [(width - len(d)) // seq_len * seq_len for d in documents]
    ends = [width - len(d) - front for d, front in zip(documents, fronts, strict=True)]
    return torch.stack(
        [F.pad(d, sides, value=pad) for d, *sides in zip(documents, fronts, ends, strict=True)]
    )


def resize_state(state: State, rows: int) -> State:
    """First rows kept, zero rows appended."""
    return [(_resize(h, rows), _resize(c, rows)) for h, c in state]


def _resize(x: Tensor, rows: int) -> Tensor:
    return F.pad(x[:, :rows], (0, 0, 0, max(0, rows - x.shape[1])))


def read(encoder: AWDLSTM, padded: Tensor, bptt: int, max_len: int) -> tuple[Tensor, Tensor]:
    """Encoder output, zero for unread rows, and fastai's mask: True where there is padding."""
    rows, width = padded.shape
    outputs, masks, state = [], [], None
    for start in range(0, width, bptt):
        chunk = padded[:, start : start + bptt]
        k = int((chunk[:, 0] != PAD_ID).sum())
        output, state = encoder(chunk[:k], state and resize_state(state, k))
        state = detach(state)
        if width - start <= max_len:
            outputs.append(F.pad(output, (0, 0, 0, 0, 0, rows - k)))
            masks.append(chunk == PAD_ID)
    return torch.cat(outputs, 1), torch.cat(masks, 1)


def pool(output: Tensor, padding: Tensor, bptt: int) -> Tensor:
    """Our pooling, but with fastai's idea of where the last token is."""
    real = output.masked_fill(padding[..., None], 0.0)
    last = output[torch.arange(len(output)), -padding[:, -bptt:].sum(1) - 1]
    return torch.cat([last, concat_pool(real, ~padding)[:, output.shape[2] :]], 1)
