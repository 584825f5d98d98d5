"""The language model as a noun: files, vocabularies, generation, perplexity."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import TINY

from ulmfit.config import BOS_ID, PAD_ID, UNKNOWN_ID, ModelConfig, SamplingConfig, TokenizerConfig
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.language_model import LanguageModel, draw, stop_ids
from ulmfit.nn.one_by_one import NextWord
from ulmfit.runtime import Runtime
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

PROMPT = "the film and the plot"


def logits(lm: LanguageModel, text: str = PROMPT) -> torch.Tensor:
    with torch.no_grad():
        out = lm.net.eval()(torch.tensor([lm.tokenizer.encode(text).tolist()]))
        return lm.net.logits(out.raw)


def greedy(**values: object) -> SamplingConfig:
    return replace(SamplingConfig(tokens=12, temperature=0.0), **values)  # type: ignore[arg-type]


# ---- files ----


@pytest.mark.parametrize("kind", [str, Path])
def test_saved_and_loaded_is_the_same(kind: type, lm: LanguageModel, tmp_path: Path) -> None:
    lm.save(kind(tmp_path / "lm"), card={"data": "tiny"})
    again = LanguageModel.load(kind(tmp_path / "lm"))
    assert torch.equal(logits(again), logits(lm))
    assert again.config == lm.config and again.tokenizer == lm.tokenizer
    assert load_json(tmp_path / "lm" / "config.json")["card"] == {"data": "tiny"}


def test_stored_small_it_stays_close(lm: LanguageModel, tmp_path: Path) -> None:
    lm.save(tmp_path / "lm", storage="int8")
    again = logits(LanguageModel.load(tmp_path / "lm"))
    torch.testing.assert_close(again, logits(lm), atol=0.03 * float(logits(lm).abs().max()), rtol=0)
    assert not torch.equal(again, logits(lm))  # it was stored small


def test_what_does_not_fit_is_named(
    lm: LanguageModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "lm"
    lm.save(path)
    whole = load_json(path / "config.json")
    for changed, reason in (
        (whole | {"kind": "classifier"}, "holds a 'classifier'"),
        (whole | {"format": 99}, "format 99"),
        (whole | {"model": whole["model"] | {"heads": 8}}, "heads"),
        (whole | {"model": whole["model"] | {"hidden_size": 13}}, "do not belong together"),
    ):
        save_json(path / "config.json", changed)
        with pytest.raises(CheckpointError, match=reason):
            LanguageModel.load(path)
    save_json(path / "config.json", whole)
    Tokenizer(tokenizer.config, tokenizer.vocab[:-1]).save(path / "tokenizer.json")
    with pytest.raises(CheckpointError, match="do not belong together"):
        LanguageModel.load(path)
    (path / "tokenizer.json").unlink()
    with pytest.raises((CheckpointError, OSError), match=r"tokenizer\.json"):
        LanguageModel.load(path)


# ---- vocabularies ----


def without_checks(vocab: list[str]) -> Tokenizer:
    """The recorded vocabularies lack most special tokens, which `Tokenizer` insists on."""
    tokenizer = object.__new__(Tokenizer)
    object.__setattr__(tokenizer, "config", TokenizerConfig())
    object.__setattr__(tokenizer, "vocab", tuple(vocab))
    return tokenizer


def test_with_vocab_is_fastais_match_embeds(goldens: Path) -> None:
    tensors = load_file(goldens / "match_embeds.safetensors")
    words = json.loads((goldens / "model_meta.json").read_text())["match_embeds"]
    lm = LanguageModel.create(without_checks(words["old_vocab"]), ModelConfig(4, 5, 1))
    lm.net.encoder.embedding.weight.data = tensors["old.0.encoder.weight"]
    lm.net.decoder_bias.data = tensors["old.1.decoder.bias"]
    new = lm.with_vocab(without_checks(words["new_vocab"])).net
    torch.testing.assert_close(new.encoder.embedding.weight.data, tensors["new.0.encoder.weight"])
    torch.testing.assert_close(new.decoder_bias.data, tensors["new.1.decoder.bias"])


def test_with_vocab_keeps_old_words_and_the_original(lm: LanguageModel) -> None:
    before = {name: t.clone() for name, t in lm.net.state_dict().items()}
    vocab = (*lm.tokenizer.vocab[:9], "unheard", *lm.tokenizer.vocab[:8:-1])
    new = lm.with_vocab(Tokenizer(lm.tokenizer.config, vocab))
    old_place = [lm.tokenizer.vocab.index(w) for w in vocab if w != "unheard"]
    kept = [i for i, w in enumerate(vocab) if w != "unheard"]
    text = "the film ."
    old_ids, new_ids = lm.tokenizer.encode(text), new.tokenizer.encode(text)
    assert [lm.tokenizer.vocab[i] for i in old_ids] == [vocab[i] for i in new_ids]
    torch.testing.assert_close(logits(new, text)[..., kept], logits(lm, text)[..., old_place])
    assert all(torch.equal(before[n], t) for n, t in lm.net.state_dict().items())


def test_the_decoder_stays_tied(lm: LanguageModel, tmp_path: Path) -> None:
    lm.save(tmp_path / "lm")
    for model in (LanguageModel.load(tmp_path / "lm"), lm.with_vocab(lm.tokenizer)):
        out = model.net(torch.tensor([[BOS_ID]])).raw
        before = model.net.logits(out)
        with torch.no_grad():
            model.net.encoder.embedding.weight.zero_()
        assert not torch.equal(model.net.logits(out), before)
        assert torch.equal(model.net.logits(out)[0, 0], model.net.decoder_bias)
        names = [n for n, p in model.net.named_parameters() if len(p) == len(model.tokenizer)]
        assert names == ["decoder_bias", "encoder.embedding.weight"]


# ---- generation ----


def test_a_seed_repeats_a_text(lm: LanguageModel) -> None:
    def texts() -> list[str]:
        return [lm.generate(PROMPT, SamplingConfig(tokens=12, seed=seed)) for seed in range(6)]

    assert texts() == texts()
    assert len(set(texts())) > 1
    assert all(text.startswith(PROMPT) for text in texts())


def test_temperature_0_and_top_k_1_take_the_likeliest(lm: LanguageModel) -> None:
    ids = lm.tokenizer.encode(PROMPT).tolist()
    for _ in range(12):  # by reading everything again for every word
        with torch.no_grad():
            scores = lm.net.logits(lm.net.eval()(torch.tensor([ids])).raw)[0, -1]
        scores[[UNKNOWN_ID, PAD_ID]] = -math.inf
        ids.append(int(scores.argmax()))
    assert BOS_ID not in ids[1:]
    wanted = lm.tokenizer.decode(ids[1:])
    assert lm.generate(PROMPT, greedy()) == wanted
    assert lm.generate(PROMPT, SamplingConfig(tokens=12, top_k=1, seed=5)) == wanted
    assert lm.generate(PROMPT, SamplingConfig(tokens=12, top_p=1e-6, seed=5)) == wanted


def drawn(scores: list[float], **values: object) -> set[int]:
    generator = torch.Generator().manual_seed(0)
    sampling = replace(SamplingConfig(temperature=1.0), **values)  # type: ignore[arg-type]
    return {draw(torch.tensor(scores), sampling, generator) for _ in range(300)}


def test_what_is_drawn() -> None:
    shares = [0.9, 0.9, 0.4, 0.3, 0.2, 0.1]  # xxunk and xxpad first: never, however likely
    scores = [math.log(s) for s in shares]
    assert drawn(scores) == {2, 3, 4, 5}
    assert drawn(scores, top_k=2) == {2, 3}
    assert drawn(scores, top_k=99) == {2, 3, 4, 5}
    assert drawn(scores, top_p=0.4) == {2}
    assert drawn(scores, top_p=0.41) == {2, 3}  # the word that crosses the line stays
    assert drawn(scores, top_p=1.0) == {2, 3, 4, 5}
    assert drawn(scores, temperature=0.0) == {2}
    assert drawn(scores, temperature=0.01) == {2}


@pytest.mark.parametrize(
    "values",
    [
        {"tokens": -1},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"temperature": -1.0},
        {"temperature": math.inf},
        {"stop": "nosuchword"},
    ],
)
def test_senseless_sampling_is_an_error(lm: LanguageModel, values: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        lm.generate(PROMPT, greedy(**values))


def forced(lm: LanguageModel, word: str) -> None:
    with torch.no_grad():
        lm.net.decoder_bias[lm.tokenizer.vocab.index(word)] = 1e3


def test_generation_ends_at_the_stop_word_and_at_the_document(lm: LanguageModel) -> None:
    forced(lm, "great")
    assert lm.generate("so", greedy(tokens=3)).split() == ["so", "great", "great", "great"]
    assert lm.generate("so", greedy(stop="great")).split() == ["so", "great"]
    forced(lm, "xxbos")
    with torch.no_grad():
        lm.net.decoder_bias[BOS_ID] = 1e6
    assert lm.generate("so", greedy()) == "so"


def test_every_token_is_read_once(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    class Watched(NextWord):
        def __call__(self, tokens: torch.Tensor, state: Any = None) -> Any:
            read.append(tokens.shape[1])
            return super().__call__(tokens, state)

    monkeypatch.setattr("ulmfit.language_model.NextWord", Watched)
    lm.generate(PROMPT, greedy(tokens=12))
    assert read == [len(lm.tokenizer.encode(PROMPT)), *[1] * 11]


def test_a_backward_model_writes_what_comes_before(lm: LanguageModel) -> None:
    lm.config = replace(TINY, direction="backward")
    text = lm.generate("and the plot", greedy(tokens=5))
    assert text.endswith("and the plot") and len(text) > len("and the plot")
    # The prompt is the document's end: read after a border, from its last word to its first.
    ids = [BOS_ID, *lm.tokenizer.encode("and the plot").tolist()[:0:-1]]
    for _ in range(5):
        with torch.no_grad():
            scores = lm.net.logits(lm.net.eval()(torch.tensor([ids])).raw)[0, -1]
        scores[[UNKNOWN_ID, PAD_ID]] = -math.inf
        ids.append(int(scores.argmax()))
    assert text == lm.tokenizer.decode(ids[:0:-1])
    assert lm.generate("", greedy(tokens=2))  # without a prompt, from a document's end


def test_the_prompt_comes_back_as_it_was(lm: LanguageModel) -> None:
    """Also words that the model does not know; it reads xxunk for them."""
    for direction in ("forward", "backward"):
        lm.config = replace(TINY, direction=direction)  # type: ignore[arg-type]
        assert "xxunk" in lm.tokenizer.decode(lm.tokenizer.encode("the zebra"))
        assert lm.generate("The zebra", greedy(tokens=0)) == "The zebra"
        assert "xxunk" not in lm.generate("The zebra", greedy())


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_markers_are_applied_once(
    direction: str, reviews: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In reading order, whichever way they were drawn; fastai goes on repeating after xxrep and xxwrep."""
    text = "xxmaj great film xxup so xxrep 3 a xxwrep 3 no film xxmaj"
    known = " ".join(["Great GREAT aaa no no no 3", *(d.text for d in reviews)])
    tokenizer = Tokenizer.build([known], TokenizerConfig(min_freq=1))
    lm = LanguageModel.create(tokenizer, replace(TINY, direction=direction))  # type: ignore[arg-type]
    drawn = [tokenizer.vocab.index(word) for word in text.split()]
    to_draw = iter(drawn if direction == "forward" else drawn[::-1])
    monkeypatch.setattr("ulmfit.language_model.draw", lambda *others: next(to_draw))
    assert lm.generate("", greedy(tokens=len(drawn))) == "Great film SO aaa no no no film"


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_pieces_are_generated_and_saved_as_words_are(
    direction: str, reviews: list[Document], tmp_path: Path
) -> None:
    pytest.importorskip("sentencepiece")
    texts = [d.text.lower() for d in reviews]
    tokenizer = Tokenizer.build(texts, TokenizerConfig(kind="sentencepiece"))
    lm = LanguageModel.create(tokenizer, replace(TINY, direction=direction))  # type: ignore[arg-type]
    lm.save(tmp_path / "lm")
    again = LanguageModel.load(tmp_path / "lm")
    assert again.tokenizer == tokenizer and torch.equal(logits(again), logits(lm))
    sampling = SamplingConfig(tokens=20, seed=2)
    text = again.generate(PROMPT, sampling)
    assert text == lm.generate(PROMPT, sampling) != PROMPT
    assert text.startswith(PROMPT) if direction == "forward" else text.endswith(PROMPT)
    assert "▁" not in text
    assert again.perplexity(texts[:3]) == pytest.approx(lm.perplexity(texts[:3]))
    full_stop = [i for i, t in enumerate(tokenizer.vocab) if t in (".", "▁.")]
    assert full_stop and stop_ids(".", tokenizer) == set(full_stop)


# ---- perplexity ----


def test_a_perplexity_beyond_numbers_is_infinite(lm: LanguageModel, runtime: Runtime) -> None:
    with torch.no_grad():
        lm.net.encoder.embedding.weight.mul_(1e7)
    assert lm.perplexity(["the film was good", "the film was bad"], runtime) == math.inf


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_perplexity_by_hand(
    direction: str, lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    lm.config = replace(TINY, direction=direction)  # type: ignore[arg-type]
    texts = [d.text for d in reviews[:5]]
    encoded = [lm.tokenizer.encode(t).tolist() for t in texts]
    stream = [i for ids in encoded for i in (ids[::-1] if direction == "backward" else ids)]
    with torch.no_grad():
        out = lm.net.eval()(torch.tensor([stream[:-1]]))
        shares = lm.net.logits(out.raw[0]).log_softmax(1)
    log_likelihood = shares[range(len(stream) - 1), stream[1:]].sum()
    wanted = math.exp(-float(log_likelihood) / (len(stream) - 1))
    assert lm.perplexity(texts, runtime) == pytest.approx(wanted, rel=1e-4)


def test_without_a_runtime_one_is_chosen_and_nothing_seeded(
    lm: LanguageModel, reviews: list[Document], runtime: Runtime
) -> None:
    texts, before = [d.text for d in reviews[:5]], torch.get_rng_state()
    assert lm.perplexity(texts) == pytest.approx(lm.perplexity(texts, runtime))
    assert lm.generate("the film") == lm.generate("the film", runtime=runtime)
    assert torch.equal(torch.get_rng_state(), before)
