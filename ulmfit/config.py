"""Every number a user can change: default, unit, source. Flags, help texts and saved configs come from here.

Sources: `paper` = Howard & Ruder 2018 (arXiv 1801.06146); `AWD` = Merity et al. 2017 (arXiv 1708.02182);
`fastai` = fastai 2.8.12, `fastai/text` and `nbs/examples/ulmfit.ipynb`.
"""

from dataclasses import astuple, dataclass, replace
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

    # whole words as spaCy splits them, or pieces of words learnt from the texts (needs pip install sentencepiece)
    kind: Literal["words", "sentencepiece"] = "words"
    # language code: chooses spaCy's word splitter, or how many of the characters the pieces must cover
    lang: str = "en"
    # "clean" unescapes HTML properly; the pretrained weights expect "fastai"
    rules: Literal["fastai", "clean"] = "fastai"
    max_vocab: int = 60_000  # largest size, special tokens included; pieces: ≤ 30,000 (fastai)
    min_freq: int = 3  # rarer words become xxunk (fastai); not used for pieces


@dataclass(frozen=True)
class Dropout:
    """AWD-LSTM's five dropout probabilities (AWD §4)."""

    embedding: float  # whole rows of the embedding: a word is dropped everywhere in the batch
    input: float  # features of the embedding, the same at every time step
    weight: float  # elements of the hidden-to-hidden matrices
    hidden: float  # features between LSTM layers, the same at every time step
    output: float  # features before the decoder (language model) or the head (classifier)

    def scaled(self, scale: float) -> "Dropout":
        """All five multiplied by `scale` (fastai's `drop_mult`)."""
        return Dropout(*(p * scale for p in astuple(self)))


NO_DROPOUT = Dropout(0.0, 0.0, 0.0, 0.0, 0.0)
# fastai's awd_lstm_lm_config and awd_lstm_clas_config
LM_DROPOUT = Dropout(embedding=0.02, input=0.25, weight=0.2, hidden=0.15, output=0.1)
CLASSIFIER_DROPOUT = Dropout(embedding=0.05, input=0.4, weight=0.5, hidden=0.3, output=0.4)


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
    # most tokens to read in total: training gets shorter, and the schedule with it
    max_tokens: int | None = None
    batch_size: int = 64  # parallel text streams
    bptt: int = 70  # tokens per stream and step (AWD §5)
    weight_decay: float = 0.01  # decoupled (AdamW)
    max_grad_norm: float | None = 0.5  # gradients are clipped to this norm
    dropout_scale: float = 0.2  # factor on LM_DROPOUT's rates; text read only once needs little
    ar: float = 0.0  # activation regularisation (AWD §4.6), 2.0 in fastai
    tar: float = 0.0  # temporal activation regularisation (AWD §4.6), 1.0 in fastai
    softmax: Literal["full", "sampled"] = "sampled"  # in training; perplexity is always full
    negatives: int = 4096  # words drawn per step by the sampled softmax, shared by the batch
    # how the learning rate rises and falls in a phase
    schedule: Literal["one_cycle", "slanted_triangular"] = "one_cycle"
    # start the embedding from "skipgram" vectors of the texts, or from another model's (name or directory); left out: random
    init_embeddings: str | None = None
    valid_fraction: float = 0.01  # share held out to measure perplexity, if no file is given


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tuning of a language model on your own texts (paper §3.2): new words first, then everything."""

    skipgram_epochs: int = 0  # passes of skip-gram before all else; they train the embedding only
    skipgram_tokens: int = 70_000_000  # most tokens that these passes read in total
    frozen_epochs: float = 1.0  # passes that train embedding and decoder only (fastai ulmfit.ipynb)
    frozen_lr: float = 2e-2  # their peak learning rate
    epochs: float = 10.0  # passes that train all layers
    lr: float = 2e-3  # their peak learning rate, all layer groups alike
    # most tokens to read in total; epochs shrink in proportion, even below min_steps
    max_tokens: int | None = None
    batch_size: int = 64  # parallel text streams
    bptt: int = 72  # tokens per stream and step
    weight_decay: float = 0.1  # decoupled (AdamW)
    max_grad_norm: float | None = 0.1  # gradients are clipped to this norm (fastai ulmfit.ipynb)
    dropout_scale: float = 1.0  # factor on LM_DROPOUT's rates
    # with fewer passes over the texts than this, dropout shrinks in proportion, but not below 0.3 of itself
    full_dropout_passes: float = 0.0
    ar: float = 2.0  # activation regularisation
    tar: float = 1.0  # temporal activation regularisation
    softmax: Literal["full", "sampled"] = "full"  # in training; perplexity is always full
    negatives: int = 4096  # words drawn per step by the sampled softmax
    # how the learning rate rises and falls in a phase
    schedule: Literal["one_cycle", "slanted_triangular"] = "one_cycle"
    min_steps: int = 30  # least steps of a phase: the batch shrinks first, then epochs are added
    min_batch_size: int = 8  # the batch shrinks no further
    # keep the pretrained words beside those of the texts, or the pretrained pieces alone; False: only those of the texts (fastai)
    keep_words: bool = True
    valid_fraction: float = 0.1  # share held out to measure perplexity


@dataclass(frozen=True)
class ClassifierConfig:
    """Training of the classifier on the fine-tuned encoder (paper §3.3)."""

    # peak learning rate of the head at 64 documents a batch, scaled with batch_size (fastai: 0.1·bs/128)
    lr: float = 0.05
    lr_decay: float = 2.6  # learning-rate divisor per layer group, top to bottom (paper §3.2)
    # divisor of `lr` in each phase (fastai ulmfit.ipynb)
    lr_divisors: tuple[float, ...] = (1.0, 2.0, 4.0, 20.0)
    # epochs of each phase; trained are the head, the top 2 layer groups, the top 3, …, in the last phase everything
    epochs: tuple[int, ...] = (1, 1, 1, 2)
    # "quick": the head, then everything, as fastai's fine_tune: its own rates below the head, and always one_cycle
    unfreezing: Literal["gradual", "quick"] = "gradual"
    batch_size: int = 64  # documents per step
    bptt: int = 72  # tokens per chunk; gradients stop at a chunk's border
    max_len: int = 1440  # how many of a document's last tokens are pooled; the LSTM reads all of it
    head_sizes: tuple[int, ...] = (50,)  # units of the head's hidden layers
    weight_decay: float = 0.1  # decoupled (AdamW)
    max_grad_norm: float | None = 0.1  # gradients are clipped to this norm (fastai ulmfit.ipynb)
    dropout_scale: float = 0.5  # factor on CLASSIFIER_DROPOUT's rates
    ar: float = 2.0  # activation regularisation
    tar: float = 1.0  # temporal activation regularisation
    # how the learning rate rises and falls in a phase
    schedule: Literal["one_cycle", "slanted_triangular"] = "one_cycle"
    min_steps: int = 30  # least steps of a phase: the batch shrinks first, then epochs are added
    min_batch_size: int = 32  # the batch shrinks no further: BatchNorm needs several documents
    # while only the head is trained, read each document once, without dropout (fastai: in every epoch, with dropout)
    cache_features: bool = False
    # at the end, compute BatchNorm's averages anew over the training texts, without dropout (fastai keeps the running ones)
    update_bn: bool = False
    # if fewer than half this number of documents are labelled, guess labels for others to make it up; 0: off
    pseudo_labels: int = 0
    head_only_below: int = 0  # with fewer labelled documents, only the head is trained
    # with more steps an epoch than this, learning rates fall in proportion, down to a quarter; 0: off
    gentle_beyond: int = 0
    many_classes: int = 0  # with more: half the dropout, and the last phase twice as long; 0: off
    # weigh classes by how rare they are, n / (classes · their texts); of several labels, each against its absence (scikit-learn)
    class_weight: Literal["balanced"] | None = None
    label_smoothing: float = 0.0  # share of the target spread evenly over all labels, in training
    # bounds of predicted numbers, by a scaled sigmoid (fastai); left out: the lowest and highest label
    y_range: tuple[float, float] | None = None
    keep: Literal["last", "best"] = "last"  # epoch kept; "best" needs ≥ 200 validation documents
    valid_fraction: float = 0.1  # share of the labelled documents held out, if no file is given


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

    tokens: int = 50  # most tokens to draw
    temperature: float = 0.8  # below 1: likelier words; 0: always the likeliest
    top_k: int | None = None  # draw from the k likeliest words only
    top_p: float | None = None  # draw from the fewest words that together reach this probability
    stop: str | None = None  # end after this token, for instance "."
    seed: int = 0  # another seed gives another text


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how precisely to compute."""

    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"  # of activations; weights stay fp32
    threads: int | None = None  # CPU threads; left out: PyTorch's choice
    seed: int = 0  # of initialisation, dropout and the order of the documents
    # after so many minutes, save an unfinished training and stop; the same command resumes it
    max_minutes: float | None = None
    # where loss or gradients are NaN or infinite: "stop" (what was saved stays intact), or "skip" that step; "stop" also
    # ends a training whose loss grows twentyfold
    on_bad_loss: Literal["stop", "skip"] = "stop"


@dataclass(frozen=True)
class ServeConfig:
    """Where `serve` listens, and its limits: what is beyond them is refused."""

    host: str = "127.0.0.1"  # address to listen on; 0.0.0.0: all addresses of this machine
    port: int = 8000  # 0: any that is free
    max_batch: int = 32  # most texts read together
    max_wait_ms: float = 2.0  # how long an idle server waits for more texts to read together
    max_queue: int = 500  # texts that may wait; beyond: 503
    max_body_kb: int = 1024  # largest body of a request, in KiB; beyond: 413
    max_words: int = 5000  # words in a text, and 20 characters for each; beyond: 422
    timeout_s: float = 30.0  # seconds for a request to arrive (else 408), and for its answer (504)

    def __post_init__(self) -> None:
        """ValueError: a limit that lets nothing through."""
        least = {name: 1 for name in ("max_batch", "max_queue", "max_body_kb", "max_words")}
        for name, lowest in {**least, "max_wait_ms": 0.0, "timeout_s": 0.001, "port": 0}.items():
            if not getattr(self, name) >= lowest:
                raise ValueError(f"{name} must be {lowest} or more, not {getattr(self, name)}")
        if self.port > 65_535:
            raise ValueError(f"port must be 65535 or less, not {self.port}")
        if inf in (self.max_wait_ms, self.timeout_s):
            raise ValueError("max_wait_ms and timeout_s must be finite; give a large number")


class OutOfTime(Exception):
    """`RuntimeConfig.max_minutes` are over, or SIGTERM came: the training is saved, and the same call resumes it."""


BEST_NEEDS_DOCUMENTS = 200  # choosing an epoch on fewer validation documents is choosing noise


def few_documents(n: int, config: FinetuneConfig | ClassifierConfig) -> int:
    """The batch size for `n` rows: halved until an epoch has `min_steps` steps or `min_batch_size` is reached.

    If that is not enough, `training.phases` adds epochs.
    """
    size = config.batch_size
    while size // 2 >= config.min_batch_size and n / size < config.min_steps:
        size //= 2
    return size


NONE = "none"  # in place of a pretrained model: random weights


@dataclass(frozen=True)
class FitConfig:
    """All settings of `ulmfit fit`, apart from its files."""

    # language model to start from: a shipped one, a directory or run, "none" (SMALL, random weights), or "wt103": fastai's larger
    # one, downloaded once; the defaults below suit the small one, docs/from-fastai.md has those for fastai's
    pretrained: str = "wikipedia-small"
    # "both": a forward and a backward classifier, averaged
    directions: Literal["forward", "backward", "both"] = "forward"
    finetune: bool = True  # fine-tune the language model first; False: the classifier starts from the pretrained one
    transductive: bool = False  # the language model may read validation and test texts, too
    tokenizer: TokenizerConfig = TokenizerConfig()  # how text becomes tokens
    lm: FinetuneConfig = SMALL_FINETUNE  # fine-tuning of the language model
    classifier: ClassifierConfig = SMALL_CLASSIFIER  # training of the classifier
    # "precision=0.95": call a prediction unsure below its label's threshold, above which 95 % were right on the validation set
    threshold_for: str | None = None


# A label curve holds out more than a training: all its points are scored on these documents.
CURVE_FIT = FitConfig(classifier=replace(SMALL_CLASSIFIER, valid_fraction=0.2))
