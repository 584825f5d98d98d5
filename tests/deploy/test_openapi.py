"""The description and the server say the same."""

import re
from dataclasses import asdict
from typing import Any

import pytest
from served import Held, classifier_of, cpu, served

from ulmfit.config import ServeConfig
from ulmfit.deploy.messages import problem
from ulmfit.deploy.openapi import describe, schema
from ulmfit.insight.explain import Explanation, Word
from ulmfit.outputs import BoundedNumber, MultiLabel, Outputs, SingleLabel
from ulmfit.text.tokenizer import Tokenizer

KINDS = [SingleLabel(("bad", "good")), MultiLabel(("a", "b")), BoundedNumber(0.0, 1.0)]
TYPES = {"string": str, "boolean": bool, "null": type(None), "integer": int}


def fits(value: Any, wanted: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether a value is as a schema says, for the words that these schemas use."""
    if "$ref" in wanted:
        return fits(value, whole["components"]["schemas"][wanted["$ref"].split("/")[-1]], whole)
    for several in ("oneOf", "anyOf"):
        if several in wanted:
            found = sum(fits(value, part, whole) for part in wanted[several])
            return found == 1 if several == "oneOf" else found > 0
    if "enum" in wanted:
        return value in wanted["enum"]
    kind = wanted["type"]
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "array":
        within = wanted.get("minItems", 0) <= len(value) <= wanted.get("maxItems", 1e9)
        return within and all(fits(item, wanted["items"], whole) for item in value)
    if kind != "object":
        return isinstance(value, TYPES[kind]) and len(str(value)) <= wanted.get("maxLength", 1e9)
    if not isinstance(value, dict) or not {*wanted.get("required", ())} <= value.keys():
        return False
    known, other = wanted.get("properties", {}), wanted.get("additionalProperties", {})
    return all(
        fits(item, known[name], whole) if name in known else other and fits(item, other, whole)
        for name, item in value.items()
    )


def content(part: dict[str, Any]) -> dict[str, Any]:
    (media,) = part["content"].values()
    return media["schema"]


@pytest.mark.parametrize("outputs", KINDS, ids=str)
def test_answers_are_as_described(tokenizer: Tokenizer, outputs: Outputs) -> None:
    classifier, limits = classifier_of(tokenizer, outputs), ServeConfig(max_queue=3)
    whole = describe(outputs, limits, token=False)
    predict = whole["paths"]["/predict"]["post"]
    one, *many = ([asdict(p) for p in classifier.predict(["a", "b"], cpu())] for _ in range(2))
    assert fits(one[0], content(predict["responses"]["200"]), whole)
    assert fits({"predictions": many[0]}, content(predict["responses"]["200"]), whole)
    assert not fits({**one[0], "more": 1}, content(predict["responses"]["200"]), whole)
    assert not fits({}, content(predict["responses"]["200"]), whole)
    asked = content(predict["requestBody"])
    assert fits({"text": "a"}, asked, whole) and fits({"texts": ["a", "b"]}, asked, whole)
    for wrong in ({}, {"texts": []}, {"texts": ["a"] * 4}, {"text": "a", "texts": ["a"]}):
        assert not fits(wrong, asked, whole)
    assert fits(problem(422, "no"), content(predict["responses"]["422"]), whole)


def test_explanations_are_as_described() -> None:
    whole = describe(KINDS[0], ServeConfig(), token=False)
    explain = whole["paths"]["/explain"]["post"]
    found = asdict(Explanation("a b", "good", 0.5, "gradient", (Word("a", 0, 1, -0.5),)))
    assert fits({**found, "words": [*found["words"]]}, content(explain["responses"]["200"]), whole)
    assert fits({"text": "a", "label": None}, content(explain["requestBody"]), whole)
    assert not fits({"text": "a", "method": "guess"}, content(explain["requestBody"]), whole)
    assert not fits({"label": "good"}, content(explain["requestBody"]), whole)
    with pytest.raises(TypeError):
        schema(bytes)


def test_every_path_is_there_and_no_other() -> None:
    pytest.importorskip("uvicorn")
    with served(Held(), token="secret") as server:
        told = {"Authorization": "Bearer secret"}
        whole = server.ask("/openapi.json", **told).json
        assert whole["openapi"] == "3.1.0" and whole["info"]["description"]
        for path, methods in whole["paths"].items():
            for method in ("get", "post", "put", "delete"):
                body = {"text": "odd"} if method in ("post", "put") else None
                status = server.ask(path, body, method.upper(), **told).status
                assert (status == 405) == (method not in methods), (path, method)
            open_to_all = server.ask(path, None, "GET").status != 401
            (operation,) = methods.values()
            assert open_to_all == ("security" not in operation), path
        refused = server.ask("/nosuch", **told).json["error"]["message"]
        assert re.findall(r"(/[a-z.]*)(?:, |$)", refused) == [*whole["paths"]]
    assert "security" not in str(describe(KINDS[0], ServeConfig(), token=False))
