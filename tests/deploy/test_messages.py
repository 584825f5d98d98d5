"""What a request may say: texts come through as they are, all else is refused with a reason."""

import json
import random
from typing import Any

import pytest

from ulmfit.config import ServeConfig
from ulmfit.deploy.messages import OCCLUDED, Question, Refused, problem, question_of, texts_of

LIMITS = ServeConfig(max_words=200, max_queue=3)
LABELS = ("bad", "good")
SECRET = "nobody but me"


def body(**asked: Any) -> bytes:
    return json.dumps(asked).encode()


def test_texts_come_through_unchanged() -> None:
    odd = ' "Ünï\u2028codé" \0 😀\n'
    assert texts_of(body(text=odd), LIMITS) == ([odd], True)
    assert texts_of(body(texts=[odd, "b"]), LIMITS) == ([odd, "b"], False)
    assert texts_of(json.dumps({"text": odd}, ensure_ascii=False).encode(), LIMITS)[0] == [odd]
    words = "a " * LIMITS.max_words
    assert texts_of(body(text=words), LIMITS) == ([words], True)


REFUSED = {
    b"": (400, "not JSON"),
    b"{": (400, "not JSON"),
    b"[" * 100_000: (400, "not JSON"),
    b'{"text": ' + b"9" * 5000 + b"}": (400, "not JSON"),
    b'{"text": "caf\xe9"}': (400, "not UTF-8"),
    '{"text": "a"}'.encode("utf-16"): (400, "not UTF-8"),
    b'"text"': (422, "JSON object"),
    b"null": (422, "JSON object"),
    b"{}": (422, "either"),
    b'{"text": "a", "texts": ["b"]}': (422, "either"),
    b'{"text": "a", "lang": "en"}': (422, 'no keys but "text" and "texts"'),
    b'{"text": 7}': (422, '"text" must be a string'),
    b'{"text": null}': (422, '"text" must be a string'),
    b'{"text": " \\n"}': (422, '"text" is blank'),
    b'{"text": "\\ud800"}': (422, "surrogate"),
    b'{"texts": "a"}': (422, "list of 1 to 3"),
    b'{"texts": []}': (422, "list of 1 to 3"),
    b'{"texts": ["a", "b", "c", "d"]}': (422, "list of 1 to 3"),
    b'{"texts": ["a", ""]}': (422, "texts[1] is blank"),
    body(texts=["b", "a " * 201]): (422, "texts[1] has 201 words; 200 are allowed"),
    body(text="a" * 4001): (422, "4001 characters; 4000 are allowed"),
}


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_all_else_is_refused(number: int) -> None:
    sent, (status, reason) = list(REFUSED.items())[number]
    with pytest.raises(Refused) as refused:
        texts_of(sent, LIMITS)
    assert refused.value.status == status and reason in refused.value.message


def test_a_question_about_words() -> None:
    short, long = "a fine film", "fine " * (OCCLUDED + 1)
    assert question_of(body(text=short), LIMITS, LABELS) == Question(short, None, "occlusion")
    assert question_of(body(text=long), LIMITS, LABELS) == Question(long, None, "gradient")
    asked = body(text=short, label="bad", method="gradient")
    assert question_of(asked, LIMITS, LABELS) == Question(short, "bad", "gradient")
    for more, reason in (
        ({"label": "ugly"}, "one that the classifier knows: bad, good"),
        ({"label": ["bad"]}, "one that the classifier knows"),
        ({"method": "guess"}, "occlusion or gradient"),
        ({"method": {}}, "occlusion or gradient"),
        ({"text": long, "method": "occlusion"}, "up to 100 words"),
        ({"text": None}, "must be a string"),
        ({"texts": [short]}, "no keys but"),
    ):
        with pytest.raises(Refused) as refused:
            question_of(body(**{"text": short, **more}), LIMITS, LABELS)
        assert refused.value.status == 422 and reason in refused.value.message


def test_no_bytes_do_anything_else_and_no_reason_quotes_them() -> None:
    draw = random.Random(0)
    whole = json.dumps(
        {"texts": [SECRET, "a \u00e9\ud83d\ude00"], "label": None, "n": [1e9]}
    ).encode()
    found = set[int]()
    for _ in range(3000):
        sent = bytearray(whole)
        for _ in range(draw.randrange(4)):
            place = draw.randrange(len(sent))
            sent[place : place + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
        for parse in (texts_of, lambda b, limits: question_of(b, limits, LABELS)):
            try:
                parse(bytes(sent), LIMITS)
            except Refused as refused:
                found.add(refused.status)
                assert SECRET not in refused.message
    assert found == {400, 422}


def test_every_error_has_one_shape() -> None:
    assert problem(400, "no") == {"error": {"status": 400, "message": "no"}}
    assert Refused(503, "later", Retry_After="1").headers == {"Retry-After": "1"}
