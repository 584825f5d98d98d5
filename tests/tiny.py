"""Configs so small that a stage takes a second."""

from ulmfit.config import ClassifierConfig, FinetuneConfig, FitConfig, ModelConfig

TINY = ModelConfig(embedding_size=8, hidden_size=12, layers=2)
TINY_FIT = FitConfig(
    lm=FinetuneConfig(epochs=1, batch_size=8, bptt=10, min_steps=4),
    classifier=ClassifierConfig(batch_size=16, bptt=10, min_steps=4),
)
