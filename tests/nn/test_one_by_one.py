"""Reading one by one says what the net says."""

import pytest
import torch

from ulmfit.config import NO_DROPOUT, ModelConfig
from ulmfit.nn.heads import LMNet
from ulmfit.nn.one_by_one import FEW, NextWord, OneByOne

V = 11  # not a multiple of the parts that the decoder is cut into


@pytest.fixture
def net() -> LMNet:
    torch.manual_seed(3)
    made = LMNet(V, ModelConfig(embedding_size=6, hidden_size=10, layers=3), NO_DROPOUT)
    torch.nn.init.normal_(made.decoder_bias)
    return made.eval()


@pytest.mark.parametrize("pieces", [[1] * 7, [FEW, 1, 2], [FEW + 1, 1], [2, FEW + 2, 1]])
def test_any_cutting_is_the_encoder(net: LMNet, pieces: list[int]) -> None:
    tokens, state, found = torch.randint(0, V, (1, sum(pieces))), None, []
    with torch.inference_mode():
        read, wanted = OneByOne(net.encoder), net.encoder(tokens)
        for piece in tokens.split(pieces, dim=1):
            output, state = read(piece, state)
            found.append(output)
    assert state is not None
    torch.testing.assert_close(torch.cat(found, 1), wanted.output)
    for mine, theirs in zip(state, wanted.state, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_next_word_has_the_scores_of_the_net(net: LMNet) -> None:
    tokens = torch.randint(0, V, (1, 3))
    with torch.inference_mode():
        scores, state = NextWord(net)(tokens)
        wanted = net(tokens)
        torch.testing.assert_close(scores, net.logits(wanted.raw[0, -1]))
        again, _ = NextWord(net)(tokens, state)
        torch.testing.assert_close(again, net.logits(net(tokens, wanted.state).raw[0, -1]))


def test_weights_are_those_of_the_moment_it_was_made(net: LMNet) -> None:
    tokens = torch.randint(0, V, (1, 1))
    with torch.inference_mode():
        before = NextWord(net)
        wanted, _ = before(tokens)
        net.encoder.layer_parameters(0)[0].zero_()
        torch.testing.assert_close(before(tokens)[0], wanted)
        assert not torch.equal(NextWord(net)(tokens)[0], wanted)
