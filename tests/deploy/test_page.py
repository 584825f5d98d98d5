"""The page: whole in one document that may load nothing, and used in a real browser by keyboard, by day, night and phone."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import chromium
import pytest
from served import Served, classifier_of, served

from ulmfit.deploy.openapi import OPEN
from ulmfit.deploy.page import page
from ulmfit.outputs import BoundedNumber, MultiLabel
from ulmfit.text.tokenizer import Tokenizer

pytest.importorskip("uvicorn")

VERDICT = "document.getElementById('verdict').textContent"
PROBLEM = "document.getElementById('problem').textContent"


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_one_document_and_a_policy_that_allows_it_and_no_more() -> None:
    html, policy = page()
    assert "{{" not in html and "default-src 'none'" in policy and "unsafe" not in policy
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    elements = Elements(html).found
    assert not [a for _, a in elements if "style" in a or any(n.startswith("on") for n in a)]
    loaded = [a.get("src") or a.get("href") for t, a in elements if t not in ("a",)]
    assert [found for found in loaded if found] == ["data:,"]
    linked = [a["href"] for t, a in elements if t == "a"]  # without a token, and below any prefix
    assert linked and all(f"/{found}" in OPEN for found in linked)
    assert "http:" not in html and "https:" not in html


def test_everything_has_a_name_for_those_who_can_not_see_it() -> None:
    elements = Elements(page()[0]).found
    labelled = {a["for"] for tag, a in elements if tag == "label"}
    assert {a["id"] for tag, a in elements if tag in ("input", "textarea")} == labelled
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, ids[0]) in ids
    spoken = [a for _, a in elements if a.get("aria-live") == "polite" or a.get("role") == "alert"]
    assert len(spoken) == 2 and ("html", {"lang": "en"}) in elements


# In a browser


@pytest.fixture(scope="module")
def server(tokenizer: Tokenizer) -> Iterator[Served]:  # pyright: ignore[reportIncompatibleVariableOverride]
    with served(classifier_of(tokenizer), max_words=20) as server:
        yield server


def opened(browser: chromium.Browser, server: Served, width: int = 1000, **how: Any) -> None:
    browser.complaints.clear()
    browser.open(f"http://127.0.0.1:{server.port}/", width, **how)
    browser.until("document.title.startsWith('tiny')")


@pytest.mark.parametrize(("width", "dark"), [(1000, False), (360, True)])
def test_typed_labelled_shaded(
    browser: chromium.Browser, server: Served, width: int, dark: bool
) -> None:
    opened(browser, server, width, dark=dark)
    browser.key("Tab")
    assert browser.value("document.activeElement.id") == "text"
    text = "The 😀 film <b>was</b> superb,\nso superb"
    browser.type(text)
    browser.until("document.querySelectorAll('#words tr').length == 7")
    found = server.ask("/explain", {"text": text}).json
    assert browser.value(VERDICT) == found["label"]
    assert browser.value("document.getElementById('shaded').textContent") == text
    marks = browser.value(
        "[...document.querySelectorAll('#shaded mark')].map(m => [m.textContent, m.className])"
    )
    largest = max(abs(word["weight"]) for word in found["words"])
    shaded = [w for w in found["words"] if abs(w["weight"]) >= 0.12 * largest]
    assert marks == [[w["text"], "for" if w["weight"] > 0 else "against"] for w in shaded]
    shares = browser.value(
        "[...document.querySelectorAll('.share')].map(s => parseFloat(s.textContent))"
    )
    assert len(shares) == 2 and sum(shares) == pytest.approx(100, abs=0.2)
    assert browser.value("document.documentElement.scrollWidth") <= width
    light = browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark and browser.complaints == []


def test_another_label_is_explained_by_keyboard(browser: chromium.Browser, server: Served) -> None:
    opened(browser, server)
    browser.key("Tab")
    browser.type("a superb film")
    browser.until("document.querySelectorAll('#words tr').length == 3")
    first = browser.value("document.getElementById('explained').textContent")
    browser.key("Tab")
    browser.key("Tab")  # the less likely one
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert browser.value("document.activeElement.tagName") == "BUTTON"
    assert browser.value(outline) == "solid"
    browser.key("Enter")
    browser.until(f"document.getElementById('explained').textContent != {json.dumps(first)}")
    assert browser.value("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_only_the_last_text_counts(browser: chromium.Browser, server: Served) -> None:
    opened(browser, server)
    browser.value(
        "window.held = []; window.real = fetch;"
        " window.fetch = (...asked) => new Promise(go => held.push(() => go(real(...asked)))); 0"
    )
    browser.key("Tab")
    browser.type("a superb film")
    browser.until("held.length == 1")
    browser.type(" and so on")  # while the first is on its way
    browser.value("new Promise(done => setTimeout(done, 400))")
    assert browser.value("held.length") == 1
    browser.value("window.shown = []; new MutationObserver(() => shown.push(1))"
                  ".observe(found, {subtree: true, childList: true}); held[0](); 0")  # fmt: skip
    browser.until("held.length == 2")
    assert browser.value("shown.length") == 0  # the answer to the old text is dropped
    browser.value("window.fetch = real; held[1](); 0")
    browser.until("document.querySelectorAll('#words tr').length == 6")
    browser.value("document.getElementById('text').select()")
    browser.key("Backspace")
    browser.until(
        "document.getElementById('found').hidden && document.getElementById('why').hidden"
    )


def test_what_goes_wrong_is_said(browser: chromium.Browser, tokenizer: Tokenizer) -> None:
    with served(classifier_of(tokenizer), max_words=3) as server:
        opened(browser, server)
        browser.key("Tab")
        browser.type("one two three four")
        browser.until(f"{PROBLEM}.includes('4 words; 3 are allowed')")
        assert browser.value("document.getElementById('found').hidden")
        browser.key("Backspace", times=5)
        browser.until(f"{VERDICT} && !{PROBLEM}")
    browser.type(" x")
    browser.until(f"{PROBLEM}.includes('does not answer')")


def test_the_token_is_asked_for(browser: chromium.Browser, tokenizer: Tokenizer) -> None:
    with served(classifier_of(tokenizer), token="secret") as server:
        opened(browser, server)
        browser.key("Tab")
        browser.type("a superb film")
        browser.until("document.activeElement.id == 'token'")
        browser.type("wrong")
        browser.key("Enter")
        browser.until(f"{PROBLEM}.includes('token')")
        browser.until("document.activeElement.id == 'token'")
        browser.value("document.getElementById('token').select()")
        browser.type("secret")
        browser.key("Enter")
        browser.until("document.querySelectorAll('#words tr').length == 3")
        assert browser.value("document.getElementById('access').hidden")


@pytest.mark.parametrize("outputs", [MultiLabel(("a", "b")), BoundedNumber(0.0, 9.0)], ids=str)
def test_other_kinds_of_label(
    browser: chromium.Browser, tokenizer: Tokenizer, outputs: Any
) -> None:
    with served(classifier_of(tokenizer, outputs)) as server:
        opened(browser, server)
        browser.key("Tab")
        browser.type("a superb film")
        browser.until(VERDICT)
        found = server.ask("/predict", {"text": "a superb film"}).json
        if "value" in found:
            assert float(browser.value(VERDICT)) == pytest.approx(found["value"], rel=1e-3)
        else:
            assert browser.value(VERDICT) == (", ".join(found["labels"]) or "no label")
            assert browser.value("document.querySelectorAll('#bars li').length") == 2
        assert browser.value("document.querySelectorAll('#bars button').length") == 0
        assert browser.complaints == []
