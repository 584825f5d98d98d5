"""fastai's tokenizer behind a pipe; started by `tokenization_speed.py --fastai PYTHON` with a Python that has fastai.

Reads lines, each a JSON list of texts; answers each with the CPU seconds and a hash of each text's tokens. It runs in one process,
as each worker of fastai's `parallel_tokenize` does.
"""

import hashlib
import json
import sys
from importlib import import_module
from time import process_time


def main() -> None:
    core = import_module("fastai.text.core")
    split = core.TokenizeWithRules(tok=core.WordTokenizer())
    list(split([""]))  # compiles the patterns before the clock starts
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
