"""Every number a user can change: default, unit, source. Flags, help texts and saved configs come from here.

Sources: `paper` = Howard & Ruder 2018 (arXiv 1801.06146); `AWD` = Merity et al. 2017 (arXiv 1708.02182);
`fastai` = fastai 2.8.12, `fastai/text` and `nbs/examples/ulmfit.ipynb`.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

Direction = Literal["forward", "backward"]
# what a text is labelled with: one class; any number of labels, also none; a number
LabelKind = Literal["single", "multi", "number"]

# Ids of the special tokens that code outside `text/` needs; the full list is `text.rules.SPECIAL_TOKENS`.
UNKNOWN_ID, PAD_ID, BOS_ID = 0, 1, 2


@dataclass(frozen=True)
class TokenizerConfig:
    """How text becomes tokens; stored with every model."""

    # spaCy's words, or pieces of words learnt from the texts (needs pip install sentencepiece)
    kind: Literal["words", "sentencepiece"] = "words"
    # code of the language: chooses spaCy's splitter, or the share of characters that pieces cover
    lang: str = "en"
    # "clean" unescapes HTML properly; the pretrained weights expect "fastai"
    rules: Literal["fastai", "clean"] = "fastai"
    max_vocab: int = 60_000  # words kept, special tokens included; pieces: 30,000 at most (fastai)
    min_freq: int = 3  # rarer words become xxunk (fastai); pieces have no such bound


@dataclass(frozen=True)
class Dropout:
    """AWD-LSTM's five dropout probabilities (AWD §4)."""

    embedding: float  # whole words, for the length of a batch
    input: float  # features of the embedding, the same at every time step
    weight: float  # elements of the hidden-to-hidden matrices
    hidden: float  # features between LSTM layers, the same at every time step
    output: float  # features before the decoder (language model) or the head (classifier)

    def scaled(self, scale: float) -> "Dropout":
        """All five multiplied by `scale` (fastai's `drop_mult`)."""
        return Dropout(
            *(
                p * scale
                for p in (self.embedding, self.input, self.weight, self.hidden, self.output)
            )
        )


NO_DROPOUT = Dropout(0.0, 0.0, 0.0, 0.0, 0.0)
LM_DROPOUT = Dropout(
    embedding=0.02, input=0.25, weight=0.2, hidden=0.15, output=0.1
)  # fastai awd_lstm_lm_config
CLASSIFIER_DROPOUT = Dropout(
    embedding=0.05, input=0.4, weight=0.5, hidden=0.3, output=0.4
)  # fastai awd_lstm_clas_config


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the AWD-LSTM encoder. The vocabulary's size comes from the tokenizer."""

    embedding_size: int = 400  # E; the last LSTM returns to it so that the decoder can be tied
    hidden_size: int = 1152  # H of all LSTM layers but the last
    layers: int = 3  # LSTM layers
    direction: Direction = "forward"  # order in which documents are read


BASE = ModelConfig()  # fastai's AWD-LSTM, 44 M parameters at 60,000 words
# made for CPUs: 10 M parameters at 30,000 words
SMALL = ModelConfig(embedding_size=256, hidden_size=512, layers=2)


@dataclass(frozen=True)
class PretrainConfig:
    """Language model from scratch, on general text (paper §3.1)."""

    lr: float = 6e-3  # peak learning rate at 64 streams
    epochs: float = 1.0  # passes over the corpus; a fraction is allowed
    # bound on the tokens read in all; the schedule is stretched over what is left
    max_tokens: int | None = None
    batch_size: int = 64  # parallel text streams
    bptt: int = 70  # tokens per stream and step (AWD §5)
    weight_decay: float = 0.01  # decoupled
    max_grad_norm: float | None = 0.5  # gradient clipping
    dropout_scale: float = 0.2  # factor on LM_DROPOUT; what is read once wants little
    ar: float = 0.0  # activation regularisation (AWD §4.6), 2.0 in fastai
    tar: float = 0.0  # temporal activation regularisation (AWD §4.6), 1.0 in fastai
    softmax: Literal["full", "sampled"] = "sampled"  # in training only
    negatives: int = 4096  # words drawn per step by the sampled softmax, shared by the batch
    # shape of the learning rate over a phase
    schedule: Literal["one_cycle", "slanted_triangular"] = "one_cycle"
    # "skipgram", or a model's name or directory to copy words from
    init_embeddings: str | None = None
    valid_fraction: float = 0.01  # documents held out for the perplexity, where no file is given


@dataclass(frozen=True)
class FinetuneConfig:
    """Language model to the user's own texts (paper §3.2): new words first, then everything."""

    skipgram_epochs: int = 0  # passes of skip-gram before all else; they move the embedding only
    skipgram_tokens: int = 70_000_000  # bound on the tokens that all these passes read
    frozen_epochs: float = 1.0  # passes that train embedding and decoder only (fastai ulmfit.ipynb)
    frozen_lr: float = 2e-2  # their peak learning rate
    epochs: float = 10.0  # passes that train all layers
    lr: float = 2e-3  # their peak learning rate, all layer groups alike
    # bound on the tokens read in all; epochs shrink in proportion, also below min_steps
    max_tokens: int | None = None
    batch_size: int = 64  # parallel text streams
    bptt: int = 72  # tokens per stream and step
    weight_decay: float = 0.1  # decoupled
    max_grad_norm: float | None = 0.1  # gradient clipping (fastai ulmfit.ipynb)
    dropout_scale: float = 1.0  # factor on LM_DROPOUT
    full_dropout_passes: float = 0.0  # with fewer, dropout falls in proportion, down to 0.3
    ar: float = 2.0  # activation regularisation
    tar: float = 1.0  # temporal activation regularisation
    softmax: Literal["full", "sampled"] = "full"  # in training only
    negatives: int = 4096  # words drawn per step by the sampled softmax
    # shape of the learning rate over a phase
    schedule: Literal["one_cycle", "slanted_triangular"] = "one_cycle"
    min_steps: int = 30  # a phase is given at least so many: the batch shrinks, then epochs grow
    min_batch_size: int = 8  # the batch shrinks no further
    # words of the pretrained model stay in the vocabulary, its pieces are the only ones; False: only those of the texts (fastai)
    keep_words: bool = True
    valid_fraction: float = 0.1  # documents held out for the perplexity


@dataclass(frozen=True)
class ClassifierConfig:
    """Classifier on the fine-tuned encoder (paper §3.3)."""

    lr: float = 0.05  # peak LR of the head at 64 documents a batch, scaled with batch_size (fastai: 0.1·bs/128)
    lr_decay: float = 2.6  # LR divisor per layer group, top to bottom (paper §3.2)
    # of `lr`, phase by phase (fastai ulmfit.ipynb)
    lr_divisors: tuple[float, ...] = (1.0, 2.0, 4.0, 20.0)
    # per phase: head, top 2 groups, top 3 groups, …, the last one everything
    epochs: tuple[int, ...] = (1, 1, 1, 2)
    # "quick": head, then everything (fastai's fine_tune), with its own rates below the head, and one_cycle
    unfreezing: Literal["gradual", "quick"] = "gradual"
    batch_size: int = 64  # documents per step
    bptt: int = 72  # tokens per chunk; gradients stop at a chunk's border
    max_len: int = 1440  # tokens of a document's end that are pooled; the state reads all of it
    head_sizes: tuple[int, ...] = (50,)  # hidden layers of the head
    weight_decay: float = 0.1  # decoupled
    max_grad_norm: float | None = 0.1  # gradient clipping (fastai ulmfit.ipynb)
    dropout_scale: float = 0.5  # factor on CLASSIFIER_DROPOUT
    ar: float = 2.0  # activation regularisation
    tar: float = 1.0  # temporal activation regularisation
    # shape of the learning rate over a phase
    schedule: Literal["one_cycle", "slanted_triangular"] = "one_cycle"
    min_steps: int = 30  # a phase is given at least so many: the batch shrinks, then epochs grow
    min_batch_size: int = 32  # the batch shrinks no further: BatchNorm needs company
    # read each document once, without dropout, while only the head is trained (fastai: in every epoch, with it)
    cache_features: bool = False
    # at the end BatchNorm's averages anew, over the training texts without dropout (fastai: as they ran along, with it)
    update_bn: bool = False
    pseudo_labels: int = 0  # documents to begin with: if under half are labelled, others by guesses
    head_only_below: int = 0  # labelled documents; with fewer, no more than the head is trained
    gentle_beyond: int = 0  # steps an epoch; with more, rates fall in proportion, down to a quarter
    many_classes: int = 0  # with more, half the dropout, and the last phase is twice as long
    # weights by how rare a class is, n / (classes · its texts); of several labels, each against its absence (scikit-learn)
    class_weight: Literal["balanced"] | None = None
    label_smoothing: float = 0.0  # share of a label that is spread over all of them, in training
    # bounds of predicted numbers, a scaled sigmoid (fastai); the lowest and highest label where left out
    y_range: tuple[float, float] | None = None
    keep: Literal["last", "best"] = "last"  # epoch kept; "best" needs ≥ 200 validation documents
    valid_fraction: float = 0.1  # labelled documents held out, where no file is given


# What the shipped SMALL models are best trained with in minutes on two cores (docs/log.md); above is fastai's recipe.
SMALL_FINETUNE = FinetuneConfig(
    skipgram_epochs=3,
    frozen_epochs=0.0,
    epochs=4.0,
    lr=6e-3,
    max_tokens=1_100_000,
    batch_size=16,
    weight_decay=0.01,
    max_grad_norm=0.25,
    full_dropout_passes=3.0,
    ar=0.0,
    tar=0.0,
    softmax="sampled",
    negatives=1024,
    valid_fraction=0.02,
)
SMALL_CLASSIFIER = ClassifierConfig(
    batch_size=32,
    lr_decay=1.3,
    lr_divisors=(1.0, 1.0, 1.0, 2.0),
    epochs=(1, 0, 0, 5),
    max_grad_norm=0.25,
    pseudo_labels=2_000,
    head_only_below=50,
    gentle_beyond=200,
    many_classes=20,
    update_bn=True,
    dropout_scale=1.0,
    ar=0.0,
    tar=0.0,
)


@dataclass(frozen=True)
class SamplingConfig:
    """How `generate` draws words."""

    tokens: int = 50  # at most so many are drawn
    temperature: float = 0.8  # below 1: likelier words; 0: always the likeliest
    top_k: int | None = None  # only the k likeliest
    top_p: float | None = None  # only the likeliest that together reach this probability
    stop: str | None = None  # end after this token, for instance "."
    seed: int = 0  # another seed gives another text


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how precisely to compute."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"  # of activations; weights stay fp32
    threads: int | None = None  # CPU threads; PyTorch's choice where left out
    seed: int = 0  # of initialisation, dropout and order
    # save and stop when a training is still running then; the same command goes on
    max_minutes: float | None = None
    # a loss or gradients that are no numbers: stop, with what was saved intact, or leave such steps out; "stop" also
    # where the loss grows twentyfold
    on_bad_loss: Literal["stop", "skip"] = "stop"


@dataclass(frozen=True)
class ServeConfig:
    """Where `serve` listens, and how much it takes on; beyond that it says no. ValueError: a limit that lets nothing through."""

    host: str = "127.0.0.1"  # address to listen on; 0.0.0.0: all addresses of this machine
    port: int = 8000  # 0: any that is free
    max_batch: int = 32  # texts read together
    max_wait_ms: float = 2.0  # how long a text waits for company, while nothing is read
    max_queue: int = 500  # texts that may wait; beyond: 503
    max_body_kb: int = 1024  # of a request, in KiB; beyond: 413
    max_words: int = 5000  # of a text, and 20 characters for each; beyond: 422
    timeout_s: float = 30.0  # for a request to arrive (408), and for its answer (504)

    def __post_init__(self) -> None:
        least = {name: 1 for name in ("max_batch", "max_queue", "max_body_kb", "max_words")}
        for name, lowest in {**least, "max_wait_ms": 0.0, "timeout_s": 0.001, "port": 0}.items():
            if not getattr(self, name) >= lowest:
                raise ValueError(f"{name} must be {lowest} or more, not {getattr(self, name)}")
        if self.port > 65_535:
            raise ValueError(f"port must be 65535 or less, not {self.port}")
        if inf in (self.max_wait_ms, self.timeout_s):
            raise ValueError("max_wait_ms and timeout_s must be finite; give a large number")


class OutOfTime(Exception):
    """`RuntimeConfig.max_minutes` are over, or SIGTERM came: the training is saved, and the same call goes on there."""


BEST_NEEDS_DOCUMENTS = 200  # choosing an epoch on fewer validation documents is choosing noise


def few_documents(n: int, config: FinetuneConfig | ClassifierConfig) -> int:
    """The batch size for `n` rows: halved until an epoch has `min_steps` steps or `min_batch_size` is reached.

    What an epoch still lacks, `training.phases` makes up with more of them.
    """
    size = config.batch_size
    while size // 2 >= config.min_batch_size and n / size < config.min_steps:
        size //= 2
    return size


NONE = "none"  # in place of a pretrained model: random weights


@dataclass(frozen=True)
class FitConfig:
    """Everything `ulmfit fit` can be told, apart from files."""

    # shipped model; "wt103": fastai's, downloaded once, larger: the other numbers here are made for the small one, see
    # docs/from-fastai.md for fastai's; directory of a language model or run; "none" (SMALL, random)
    pretrained: str = "wikipedia-small"
    # "both": two classifiers, averaged
    directions: Literal["forward", "backward", "both"] = "forward"
    finetune: bool = True  # fine-tune the language model first; False: the classifier starts from the pretrained one
    transductive: bool = False  # the language model may read validation and test texts, too
    tokenizer: TokenizerConfig = TokenizerConfig()  # how text becomes tokens
    lm: FinetuneConfig = SMALL_FINETUNE  # fine-tuning of the language model
    classifier: ClassifierConfig = SMALL_CLASSIFIER  # training of the classifier
    # "precision=0.95": a prediction is unsure below the probability from which on 95 % of its label's predictions were
    # right on the validation set
    threshold_for: str | None = None


# A label curve holds more out than a training does: all its points are scored on that.
CURVE_FIT = FitConfig(classifier=replace(SMALL_CLASSIFIER, valid_fraction=0.2))
