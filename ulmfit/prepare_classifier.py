"""What training a classifier starts from: encoder and head, and the `Stage`s that will train them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ulmfit.checks import check_classifier
from ulmfit.classifier import TextClassifier
from ulmfit.config import ClassifierConfig, few_documents
from ulmfit.language_model import LanguageModel
from ulmfit.nn.features import FrozenFeatures
from ulmfit.nn.losses import classifier_loss
from ulmfit.outputs import outputs_for
from ulmfit.runtime import Runtime, seed_everything
from ulmfit.text.batches import DocumentBatches
from ulmfit.text.corpus import Corpus, Texts
from ulmfit.text.document import Document
from ulmfit.training.loop import Optim
from ulmfit.training.phases import classifier_phases, documents_note
from ulmfit.training.stage import Stage

GUESSED_EPOCHS = 2  # most epochs of a phase on guessed labels; `min_steps` may add more
PATIENCE = 2  # factor on the epochs of the last phase if there are more than `many_classes`


def classifier_stage(
    lm: LanguageModel,
    documents: Texts,
    valid: Texts,
    config: ClassifierConfig,
    runtime: Runtime,
) -> tuple[Stage, TextClassifier]:
    """The training on labelled documents alone, and the classifier it will train: the encoder of `lm` and a new head."""
    (stage,), classifier = classifier_stages(lm, documents, valid, config, runtime)
    return stage, classifier


def classifier_stages(
    lm: LanguageModel,
    documents: Texts,
    valid: Texts,
    config: ClassifierConfig,
    runtime: Runtime,
    guessed: Sequence[Document] = (),
) -> tuple[list[Stage], TextClassifier]:
    """The trainings of `train_classifier`, in order, and the classifier they will train.

    With `guessed` labels (`pseudo_labels`) there are two: first on all texts, at most `GUESSED_EPOCHS` epochs a phase, then on the
    labelled ones, in the last phase only, since the head is no longer new.
    """
    for name, part in (("", documents), ("validation ", valid)):
        if missing := sum(d.label is None for d in _labels(part)):
            raise ValueError(
                f"{missing} of {len(part)} {name}documents have no label; a classifier is trained on labelled ones only"
            )
    check_classifier(config)
    seed_everything(runtime.seed)
    outputs = outputs_for(_labels(documents), config)
    config, many = for_classes(config, len(outputs.labels))
    classifier = TextClassifier.create(lm, outputs, config)
    if not guessed or isinstance(documents, Corpus):
        return [_stage(classifier, documents, valid, config, runtime, many)], classifier
    short = replace(config, epochs=tuple(min(GUESSED_EPOCHS, epochs) for epochs in config.epochs))
    note = f"{many}, {len(guessed):,} of the labels guessed"
    first = _stage(classifier, [*documents, *guessed], (), short, runtime, note)
    first.name = f"pseudo-labels, {lm.config.direction}"
    note = f"{many}, after {len(guessed):,} with guessed labels"
    last = _stage(classifier, documents, valid, config, runtime, note)
    last.phases = last.phases[-1:]
    return [first, last], classifier


def for_classes(config: ClassifierConfig, classes: int) -> tuple[ClassifierConfig, str]:
    """The config, changed if there are `many_classes`, and a note on it: many classes with few documents each need less dropout
    and longer training than two."""
    if not 0 < config.many_classes < classes:
        return config, ""
    *before, last = config.epochs
    scale, epochs = config.dropout_scale / 2, (*before, PATIENCE * last)
    note = " (many: half the dropout, and twice the epochs in the last phase)"
    return replace(config, dropout_scale=scale, epochs=epochs), note


def _labels(part: Texts) -> Sequence[Document]:
    return part.without_texts() if isinstance(part, Corpus) else part


def _encoded(part: Texts, classifier: TextClassifier, description: str = "") -> Corpus:
    """The part as ids, with labels as the classifier's class indices. ValueError: a corpus of another tokenizer."""
    tokenizer, names = classifier.tokenizer, classifier.labels
    if not isinstance(part, Corpus):
        return Corpus.build(part, tokenizer, label_names=names, description=description)
    classifier.check_words(part)
    truth = classifier.outputs.truth(part.without_texts())
    return replace(part, labels=truth, label_names=names)


def _stage(
    classifier: TextClassifier,
    documents: Texts,
    valid: Texts,
    config: ClassifierConfig,
    runtime: Runtime,
    note: str = "",
) -> Stage:
    """A training of `classifier`, all phases, on labelled `documents`; `note` goes into the plan after their kind of label."""
    outputs, direction = classifier.outputs, classifier.config.direction
    corpus = _encoded(documents, classifier, "encoding")
    batch_size = few_documents(len(corpus), config)
    batches = DocumentBatches(
        corpus,
        batch_size,
        shuffle=True,
        seed=runtime.seed,
        backward=direction == "backward",
        note=f", {outputs}{note}" + documents_note(config, batch_size, len(corpus)),
    )
    assert corpus.labels is not None
    frozen = None
    if config.cache_features:
        reading = DocumentBatches(corpus, batch_size, shuffle=False, backward=batches.backward)
        frozen = FrozenFeatures(partial(reading.epoch, 0), len(corpus), runtime.world)
    held, truth = None, outputs.truth(_labels(valid))
    if len(valid):  # encoded once, scored after every epoch
        held = _encoded(valid, classifier)

    def evaluate() -> dict[str, float]:
        assert held is not None
        judged = outputs.judge(truth, classifier.probabilities_of(held, runtime))
        return {f"valid_{name}": value for name, value in judged.items()}

    return Stage(
        name=f"classifier, {direction}",
        net=classifier.net,
        loss_fn=partial(
            classifier_loss,
            criterion=outputs.criterion(corpus.labels, config),
            ar=config.ar,
            tar=config.tar,
            frozen=frozen,
            world=runtime.world,
        ),
        batches=batches,
        phases=classifier_phases(
            config,
            len(classifier.net.layer_groups()),
            batch_size,
            batches.steps_per_epoch,
            len(corpus),
        ),
        optim=Optim(config.weight_decay, config.max_grad_norm),
        evaluate=evaluate if held else None,
    )
