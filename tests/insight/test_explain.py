"""Word weights: laws that hold for any net."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import TINY
from torch.nn.modules.module import register_module_forward_pre_hook

from ulmfit.classifier import TextClassifier
from ulmfit.config import UNKNOWN_ID, ClassifierConfig
from ulmfit.ensemble import Ensemble
from ulmfit.insight.explain import STEPS, Method, explain, gradient, log_odds, occlusion
from ulmfit.language_model import LanguageModel
from ulmfit.nn.heads import ClassifierHead
from ulmfit.runtime import Runtime
from ulmfit.text.alignment import align
from ulmfit.training.calibration import Calibration

TEXT = "Review 3: the film, the PLOT and the cast weren't boring!!! <br />I say it again."
METHODS: list[Method] = ["occlusion", "gradient"]


@pytest.fixture
def classifier(lm: LanguageModel) -> TextClassifier:
    made = TextClassifier.create(lm, ("bad", "good", "so-so"), ClassifierConfig(bptt=6))
    for parameter in made.net.head.parameters():  # as if trained: the head listens
        torch.nn.init.normal_(parameter)
    return made


@pytest.fixture
def backward(classifier: TextClassifier) -> TextClassifier:
    config = replace(TINY, direction="backward")
    return TextClassifier(classifier.net, classifier.tokenizer, config, classifier.labels)


@pytest.mark.parametrize("method", METHODS)
def test_words_are_the_users(classifier: TextClassifier, method: Method, runtime: Runtime) -> None:
    found = explain(classifier, TEXT, method=method, runtime=runtime)
    prediction = classifier.predict(TEXT, runtime)
    assert (found.label, found.probability) == (prediction.label, prediction.probability)
    assert [word.text for word in found.words] == TEXT.split()
    assert all(TEXT[word.start : word.end] == word.text for word in found.words)
    assert max(abs(word.weight) for word in found.words) > 0.01
    weights = [abs(word.weight) for word in found.top(4)]
    assert len(weights) == 4 and weights == sorted(weights, reverse=True)
    assert found == explain(classifier, TEXT, method=method, runtime=runtime)


@pytest.mark.parametrize("weigh", [occlusion, gradient])
def test_words_weigh_what_their_tokens_do(
    classifier: TextClassifier, weigh, runtime: Runtime
) -> None:
    where = align(TEXT, classifier.tokenizer)
    method: Method = "occlusion" if weigh is occlusion else "gradient"
    found = explain(classifier, TEXT, label="good", method=method, runtime=runtime)
    tokens = weigh(classifier, where, classifier.labels.index("good"), runtime)
    assert sum(w.weight for w in found.words) == pytest.approx(sum(tokens[1:]), abs=1e-4)
    for number, word in enumerate(found.words):
        of_word = [t for t, o in zip(tokens[1:], where.owners[1:], strict=True) if o == number]
        assert word.weight == pytest.approx(sum(of_word), abs=1e-5)


def test_occlusion_is_the_prediction_without_the_word(
    classifier: TextClassifier, backward: TextClassifier, runtime: Runtime
) -> None:
    text = "the film and the plot were great"
    for member in (classifier, backward):
        found = explain(member, text, label="bad", runtime=runtime)
        whole = log_odds(member.probabilities([text], runtime), 0)[0]
        for word in found.words:
            without = " ".join(f"{text[: word.start]} {text[word.end :]}".split())
            left = log_odds(member.probabilities([without], runtime), 0)[0]
            assert word.weight == pytest.approx(whole - left, abs=1e-4)


def test_gradients_add_up_to_what_the_text_does(
    classifier: TextClassifier, backward: TextClassifier, runtime: Runtime
) -> None:
    """Completeness: from xxunk everywhere to the text the log-odds change by the sum of all weights."""
    for member in (classifier, backward):
        where = align(TEXT, member.tokenizer)
        weights = gradient(member, where, 1, runtime, steps=60)
        of_text = log_odds(member.probabilities([TEXT], runtime), 1)[0]
        ids = torch.full((1, len(where.ids)), UNKNOWN_ID)
        with torch.no_grad():
            logits = member.net(ids, torch.tensor([len(where.ids)])).logits
        of_unknown = log_odds(logits.softmax(1).numpy(), 1)[0]
        assert abs(of_text - of_unknown) > 0.1
        assert weights.sum() == pytest.approx(of_text - of_unknown, rel=0.05, abs=0.02)


def test_backward_is_the_mirror(
    classifier: TextClassifier, backward: TextClassifier, runtime: Runtime
) -> None:
    where = align(TEXT, classifier.tokenizer)
    turned = where._replace(ids=where.ids[::-1])
    one = gradient(classifier, where, 0, runtime)
    np.testing.assert_allclose(gradient(backward, turned, 0, runtime)[::-1], one, atol=1e-5)


def test_unknown_words_have_no_gradient_weight(
    classifier: TextClassifier, runtime: Runtime
) -> None:
    found = explain(classifier, "the qwzx film", method="gradient", runtime=runtime)
    assert [word.weight == 0 for word in found.words] == [False, True, False]


def test_explaining_leaves_the_classifier_as_it_was(
    classifier: TextClassifier, runtime: Runtime
) -> None:
    bptt, before = classifier.net.bptt, classifier.predict(TEXT, runtime)
    explain(classifier, TEXT, method="gradient", runtime=runtime)
    assert classifier.net.bptt == bptt
    assert all(p.grad is None for p in classifier.net.parameters())
    assert classifier.predict(TEXT, runtime) == before


def test_predictions_in_the_midst_of_it_are_the_same(
    classifier: TextClassifier, runtime: Runtime
) -> None:
    wanted, found = classifier.predict(TEXT, runtime), list[object]()

    def meanwhile(module: torch.nn.Module, _: object) -> None:
        if isinstance(module, ClassifierHead) and torch.is_grad_enabled():  # the explanation's
            assert not classifier.net.encoder.lstms.training
            found.append(classifier.predict(TEXT, runtime))

    with register_module_forward_pre_hook(meanwhile):
        explain(classifier, TEXT, method="gradient", runtime=runtime)
    assert found == [wanted] * STEPS


def test_a_text_longer_than_what_is_pooled(classifier: TextClassifier, runtime: Runtime) -> None:
    classifier.net.max_len = 8
    found = explain(classifier, TEXT, method="gradient", runtime=runtime)
    assert found.words[0].weight == 0 and found.words[-1].weight != 0


@pytest.mark.parametrize("method", METHODS)
def test_an_ensemble_is_the_mean(
    classifier: TextClassifier, backward: TextClassifier, method: Method, runtime: Runtime
) -> None:
    both = Ensemble([classifier, backward])
    parts = [explain(m, TEXT, label="good", method=method, runtime=runtime) for m in both.members]
    found = explain(both, TEXT, label="good", method=method, runtime=runtime)
    for word, one, other in zip(found.words, *(p.words for p in parts), strict=True):
        assert word.weight == pytest.approx((one.weight + other.weight) / 2)
    assert found.probability == both.predict(TEXT, runtime).probabilities["good"]


def test_the_temperature_scales_the_weights(classifier: TextClassifier, runtime: Runtime) -> None:
    two = TextClassifier(classifier.net, classifier.tokenizer, TINY, classifier.labels)
    two.calibration = Calibration(2.0)
    where = align(TEXT, classifier.tokenizer)
    for weigh in (occlusion, gradient):
        one = weigh(classifier, where, 0, runtime)
        assert np.abs(weigh(two, where, 0, runtime)).sum() < np.abs(one).sum()


def test_what_cannot_be_explained(classifier: TextClassifier, runtime: Runtime) -> None:
    with pytest.raises(ValueError, match="blank"):
        explain(classifier, " \n", runtime=runtime)
    with pytest.raises(ValueError, match=r"'meh'; it knows \['bad', 'good', 'so-so'\]"):
        explain(classifier, TEXT, label="meh", runtime=runtime)


def test_log_odds_by_hand() -> None:
    rows = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], np.float32)
    assert log_odds(rows, 1)[0] == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(log_odds(rows, 0)).all()
