"""fastai's parameter names ↔ ours, for one LM and one classifier of fastai 2.8.12."""

import re

PREFIXES = ("0.module.", "0.")  # classifier, language model; a saved encoder has none
RULES = [
    (r"encoder\.weight", r"encoder.embedding.weight"),
    (r"encoder_dp\.emb\.weight", ""),  # the same tensor again
    (r"rnns\.(\d+)\.weight_hh_l0_raw", r"encoder.lstms.\1.weight_hh_l0"),
    (r"rnns\.(\d+)\.module\.(\w+)", r"encoder.lstms.\1.\2"),
    (r"1\.decoder\.weight", ""),  # tied: the embedding
    (r"1\.decoder\.bias", r"decoder_bias"),
    (r"1\.layers\.(\d+)\.0\.(\w+)", r"head.norms.\1.\2"),
    (r"1\.layers\.(\d+)\.2\.weight", r"head.linears.\1.weight"),
]


def ours(name: str) -> str | None:
    """Our name of a fastai tensor; `None` for one that repeats another."""
    bare = next((name.removeprefix(p) for p in PREFIXES if name.startswith(p)), name)
    for pattern, replacement in RULES:
        if match := re.fullmatch(pattern, bare):
            return match.expand(replacement) or None
    raise KeyError(f"no rule for fastai's {name}")


def renamed(tensors: dict, prefix: str = "") -> dict:
    """Those tensors whose name starts with `prefix`, under our names."""
    found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    return {new: t for n, t in found.items() if (new := ours(n)) is not None}
