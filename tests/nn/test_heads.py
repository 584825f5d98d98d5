import pytest
import torch
from torch import Tensor, nn

from ulmfit.config import (
    CLASSIFIER_DROPOUT,
    LM_DROPOUT,
    NO_DROPOUT,
    PAD_ID,
    Dropout,
    ModelConfig,
)
from ulmfit.nn import heads
from ulmfit.nn.heads import ClassifierHead, ClassifierNet, LMNet, concat_pool

CONFIG = ModelConfig(embedding_size=6, hidden_size=10, layers=2)
BPTT, MAX_LEN = 4, 8


def classifier(dropout: Dropout = CLASSIFIER_DROPOUT) -> ClassifierNet:
    net = ClassifierNet(30, CONFIG, dropout, 3, bptt=BPTT, max_len=MAX_LEN)
    with torch.no_grad():
        net.encoder.embedding.weight.mul_(10)  # so that differences show
    return net


def documents(*lengths: int) -> tuple[Tensor, Tensor]:
    tokens = torch.full((len(lengths), max(lengths)), PAD_ID)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.randint(2, 30, (length,))
    return tokens, torch.tensor(lengths)


def test_decoder_is_tied() -> None:
    net, other = LMNet(30, CONFIG, LM_DROPOUT), LMNet(30, CONFIG, LM_DROPOUT)
    assert [n for n in net.state_dict() if "lstms" not in n] == [
        "decoder_bias",
        "encoder.embedding.weight",
    ]
    net.load_state_dict(other.state_dict())
    features = torch.randn(2, 5, 6)
    want = features @ other.encoder.embedding.weight.T + other.decoder_bias
    torch.testing.assert_close(net.logits(features), want)
    net.logits(features).sum().backward()
    assert net.encoder.embedding.weight.grad is not None
    assert net.encoder.embedding.weight.grad[PAD_ID].any()  # as a decoder row, padding is trained


def test_lm_output() -> None:
    net, tokens = LMNet(30, CONFIG, LM_DROPOUT), torch.randint(2, 30, (3, 5))
    out = net.train()(tokens)
    assert out.raw.shape == out.dropped.shape == (3, 5, 6)
    dropped = out.dropped == 0
    assert (dropped == dropped[:, :1]).all()
    out = net.eval()(tokens)
    assert out.dropped is out.raw
    assert net.logits(out.raw[0, -1]).shape == (30,)


@pytest.mark.parametrize("net", [LMNet(30, CONFIG, LM_DROPOUT), classifier()])
def test_layer_groups_hold_every_parameter_once(net: LMNet | ClassifierNet) -> None:
    grouped = [id(p) for group in net.layer_groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in net.parameters())


def test_layer_groups_bottom_to_top() -> None:
    assert list(LMNet(30, CONFIG, LM_DROPOUT).layer_groups()) == ["lstm.0", "lstm.1", "embedding"]
    assert list(classifier().layer_groups()) == ["embedding", "lstm.0", "lstm.1", "head"]


@pytest.mark.parametrize(
    "lengths",
    [
        (3, 2, 1),  # below bptt
        (4, 4, 4),  # one whole chunk
        (8, 5, 4),  # at and just over a border
        (1, 7, 12, 3),  # unsorted, over max_len
        (2, 30, 9, 8, 1, 21, 30),  # far over max_len: whole chunks that nobody pools
        (1,),
        (19,),
    ],
)
def test_batch_equals_one_by_one(lengths: tuple[int, ...]) -> None:
    net = classifier().eval()
    tokens, sizes = documents(*lengths)
    out = net(tokens, sizes)
    for row, length in enumerate(lengths):
        alone = net(tokens[row : row + 1, :length], sizes[row : row + 1])
        torch.testing.assert_close(out.logits[row], alone.logits[0])
        torch.testing.assert_close(
            out.output[row][out.kept[row]], alone.output[0][alone.kept[0]], rtol=1e-4, atol=1e-6
        )
        assert not out.output[row][~out.kept[row]].any()


@pytest.mark.parametrize(
    ("length", "first"), [(1, 0), (7, 0), (8, 0), (9, 4), (12, 4), (13, 8), (30, 24)]
)
def test_the_last_whole_chunks_are_pooled(length: int, first: int) -> None:
    """A chunk is pooled if it starts at most `max_len` tokens before the document's end."""
    net = classifier().eval()
    tokens, sizes = documents(length, 2)
    out = net(tokens, sizes)
    assert out.kept.sum(1).tolist() == [length - first, 2]
    whole = net.encoder(tokens[:1]).output[0]
    torch.testing.assert_close(out.output[0][out.kept[0]], whole[first:length])
    kept = whole[first:length]
    pooled = torch.cat([kept[-1], kept.amax(0), kept.mean(0)])
    torch.testing.assert_close(out.logits[0], net.head(pooled[None])[0])


@pytest.mark.parametrize("at_once", [1, 16, 64, 10_000])  # tokens: 1, 1, 5 and all chunks a call
def test_without_gradients_chunks_read_together_change_nothing(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, (tokens, lengths) = classifier().eval(), documents(9, 31, 16)
    want, calls = net(tokens, lengths).logits, list[int]()
    monkeypatch.setattr(heads, "READ_AT_ONCE", at_once)
    net.encoder.register_forward_hook(lambda encoder, given, out: calls.append(given[0].shape[1]))
    with torch.inference_mode():
        torch.testing.assert_close(net(tokens, lengths).logits, want)
    assert calls[0] == {1: 4, 16: 4, 64: 20, 10_000: 31}[at_once] and sum(calls) == 31
    calls.clear()
    net(tokens, lengths)  # with gradients: chunk by chunk
    assert max(calls) == BPTT


def test_more_padding_changes_nothing() -> None:
    net = classifier().eval()
    tokens, sizes = documents(5, 9)
    wide = torch.cat([tokens, torch.full((2, 13), PAD_ID)], 1)
    assert torch.equal(net(wide, sizes).logits, net(tokens, sizes).logits)


@pytest.mark.parametrize("lengths", [(0, 3), (3, 4)])
def test_impossible_lengths(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="lengths must lie in 1–3"):
        classifier()(torch.ones(2, 3, dtype=torch.long), torch.tensor(lengths))


def test_no_gradient_crosses_a_chunk_border() -> None:
    """The last token's feature depends on all tokens, its gradient on those of its chunk only."""
    net = classifier(NO_DROPOUT).eval()
    tokens = torch.arange(2, 2 + 7)[None]
    out = net(tokens, torch.tensor([7]))
    out.output[0, -1].sum().backward()
    assert net.encoder.embedding.weight.grad is not None
    touched = net.encoder.embedding.weight.grad.any(1).nonzero().flatten()
    assert touched.tolist() == [6, 7, 8]  # tokens 4–6, the second chunk

    changed = tokens.clone()
    changed[0, 0] = 20
    assert not torch.equal(net(changed, torch.tensor([7])).output[0, -1], out.output[0, -1])


def test_chunks_that_nobody_pools_get_no_gradient() -> None:
    net = classifier(NO_DROPOUT).eval()
    net(torch.arange(2, 2 + 20)[None], torch.tensor([20])).logits.sum().backward()
    assert net.encoder.embedding.weight.grad is not None
    touched = net.encoder.embedding.weight.grad.any(1).nonzero().flatten()
    assert touched.tolist() == list(range(2 + 12, 2 + 20))


def test_one_lookup_for_all_chunks_changes_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest document is pooled in its first chunk, the longest in its last ones; those between nobody pools."""
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        net = classifier().train()
        out = net(*documents(3, 20, 21))
        (out.logits.square().sum() + out.output.square().sum()).backward()
        found.append((out, [p.grad for p in net.parameters()]))
        monkeypatch.setattr(ClassifierNet, "_embedded", lambda *_: None)
    (once, gradients), (each, wanted) = found
    assert torch.equal(once.output, each.output)
    torch.testing.assert_close(gradients, wanted, atol=1e-7, rtol=1e-5)


def test_masks_are_new_in_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def record(shape: tuple[int, ...], p: float, like: Tensor) -> Tensor:
        shapes.append(shape)
        return torch.ones(shape)

    monkeypatch.setattr("ulmfit.nn.dropout.dropout_mask", record)
    net = classifier().train()
    net(*documents(3, 7))
    chunks = [s for s in shapes if s[1:] == (1, 6)]
    assert chunks == [(2, 1, 6), (1, 1, 6)]  # the row that has ended is not read on
    assert shapes[-2:] == [(2, 18), (2, 50)]  # the head's


def test_frozen_encoder_builds_no_graph() -> None:
    net = classifier().train()
    net.encoder.requires_grad_(False)
    out = net(*documents(3, 9))
    assert not out.output.requires_grad
    out.logits.sum().backward()
    assert all(p.grad is not None for p in net.head.parameters())


def test_pooling() -> None:
    output = torch.tensor([[[1.0], [5.0], [3.0]], [[-4.0], [-2.0], [0.0]]])
    kept = torch.tensor([[True, True, True], [True, True, False]])
    assert concat_pool(output, kept).tolist() == [[3.0, 5.0, 3.0], [-2.0, -2.0, -3.0]]


def test_head() -> None:
    head = ClassifierHead([18, 50, 20, 3], [0.2, 0.1, 0.1])
    assert [tuple(linear.weight.shape) for linear in head.linears] == [(50, 18), (20, 50), (3, 20)]
    for norm in head.norms:
        assert isinstance(norm, nn.BatchNorm1d)
        assert (norm.eps, norm.momentum) == (1e-5, 0.1)
        assert (norm.weight == 1).all()
        assert (norm.bias == 1e-3).all()
    assert head.eval()(torch.randn(4, 18)).min() < 0  # no ReLU behind the last block
    with pytest.raises(ValueError, match="3 blocks need as many dropouts, got 2"):
        ClassifierHead([18, 50, 20, 3], [0.2, 0.1])


def test_default_dropouts_of_the_head() -> None:
    assert classifier(CLASSIFIER_DROPOUT.scaled(0.5)).head.dropouts == [0.2, 0.1]


def test_averages_anew_are_those_of_the_features() -> None:
    """Afterwards each block's input has mean 0 and variance 1, which it has not while dropout is on."""
    head = ClassifierHead([6, 5, 3], [0.4, 0.4])
    pooled = torch.randn(200, 6) * torch.arange(1.0, 7.0) + 3
    for _ in range(30):
        head.train()(pooled)
    head.eval().update_bn(pooled)
    inputs: list[torch.Tensor] = []
    for linear in head.linears:
        linear.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    head(pooled)
    for norm, x in zip(head.norms, inputs, strict=True):
        assert isinstance(norm, torch.nn.BatchNorm1d)
        x = (x - norm.bias) / norm.weight
        torch.testing.assert_close(x.mean(0), torch.zeros(x.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(x.var(0), torch.ones(x.shape[1]), atol=2e-3, rtol=0)  # eps


def test_a_unit_that_no_text_wakes_keeps_some_width() -> None:
    head = ClassifierHead([2, 1], [0.0])
    head.eval().update_bn(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    (norm,) = head.norms
    assert isinstance(norm, torch.nn.BatchNorm1d)
    torch.testing.assert_close(norm.running_mean, torch.tensor([2.0, 5.0]))
    torch.testing.assert_close(norm.running_var, torch.tensor([2.0, 0.1]))  # 1 before
