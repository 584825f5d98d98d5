"""fastai's tokenizer behind a pipe; run by `tokenization_speed.py --fastai PYTHON` with a Python that has fastai.

Reads a JSON list of texts a line; answers with the CPU seconds they took and a hash of each text's tokens. One process
and no workers: what `parallel_tokenize` runs in each of them.
"""

import hashlib
import json
import sys
from importlib import import_module
from time import process_time


def main() -> None:
    core = import_module("fastai.text.core")
    split = core.TokenizeWithRules(tok=core.WordTokenizer())
    list(split([""]))  # patterns are compiled before the clock runs
    print(json.dumps(import_module("fastai").__version__), flush=True)
    for line in sys.stdin:
        texts = json.loads(line)
        begun = process_time()
        documents = list(split(texts))
        seconds = process_time() - begun
        hashes = [hashlib.sha256(" ".join(tokens).encode()).hexdigest() for tokens in documents]
        print(json.dumps({"seconds": seconds, "hashes": hashes}), flush=True)


if __name__ == "__main__":
    main()
