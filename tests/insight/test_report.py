"""The page of a real (tiny) run whose texts and labels try to break out of it; also in a real browser."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import chromium
import pytest
from tiny import TINY, TINY_FIT

import ulmfit
from ulmfit.config import RuntimeConfig
from ulmfit.files.checkpoint import CheckpointError, load_json, save_json
from ulmfit.insight import pictures
from ulmfit.insight.doctor import examine
from ulmfit.insight.report import Explain, keep_examined, report
from ulmfit.language_model import LanguageModel
from ulmfit.text.document import Document
from ulmfit.text.tokenizer import Tokenizer

SCRIPT = "<script>alert('x')</script>"
BROKEN = f'</blockquote></section>{SCRIPT}<img src="http://127.0.0.1:9/x.png" onerror="alert(1)">'
SECTIONS = [
    "accuracy",
    "plan",
    "curves",
    "confusions",
    "reliability",
    "mistakes",
    "texts",
    "lengths",
    "time",
    "origin",
]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer, reviews: list[Document]
) -> Path:
    """A run directory as `ulmfit fit` leaves it, before its report."""
    path = tmp_path_factory.mktemp("report")
    LanguageModel.create(tokenizer, TINY).save(path / "lm" / "forward" / "language_model")
    labels = {"good": f"good {SCRIPT}", "bad": 'bad" & <b>'}
    documents = [Document(f"{d.text} {BROKEN}", labels[str(d.label)]) for d in reviews]
    documents[0] = Document("w" * 300 + " so long a word", documents[0].label)
    config = replace(TINY_FIT, pretrained=str(path / "lm"))
    cpu = RuntimeConfig(device="cpu")
    ulmfit.fit(documents[:48], test=documents[48:], config=config, runtime=cpu, out=path / "run")
    told = {"pretrained": config.pretrained, "classifier": config.classifier}
    keep_examined(path / "run", examine(documents[:48], test=documents[48:], **told))
    return path / "run"


@pytest.fixture(scope="module")
def drawn(finished: Path) -> Path:
    """The page with its charts."""
    return report(finished)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to write into, of which pages come without charts: drawing takes a second."""
    monkeypatch.setattr(pictures, "matplotlib", missing)
    without = shutil.ignore_patterns("*.safetensors", "report.html")
    return shutil.copytree(finished, tmp_path / "a run", ignore=without)


def missing() -> None:
    raise ImportError("no matplotlib")


def page(run: Path, explain: Explain | None = None) -> str:
    return report(run, explain=explain).read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Tags in order, attributes, and whether each is closed by its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def test_every_section_is_there_and_was_recorded(drawn: Path) -> None:
    text = drawn.read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)">', text) == SECTIONS
    assert re.findall(r'href="#(\w+)"', text.split("</nav>")[0]) == SECTIONS
    assert 'class="missing"' not in text
    record = load_json(drawn.parent / "config.json")
    accuracy = record["results"]["test"]["accuracy"]
    assert f"<strong>{100 * accuracy:.1f}\u202f%</strong>" in text
    assert "TF-IDF + logistic regression" in text and "Validation set" in text
    for told in (record["command"].split()[0], record["versions"]["torch"], record["identity"]):
        assert told in text
    for heading in ("language model, forward", "classifier, forward", "Perplexity", "frozen"):
        assert heading.lower() in text.lower()


def test_what_users_wrote_stays_text(drawn: Path) -> None:
    text = drawn.read_text(encoding="utf-8")
    elements = Elements(text)  # also: every tag is closed where it should be
    assert not {"script", "img", "link", "iframe", "object"} & set(elements.tags)
    names = [name for name, _ in elements.attributes]
    assert not [name for name in names if name.startswith("on")]
    ids = [value for name, value in elements.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    leads = [v or "" for name, v in elements.attributes if name in ("href", "xlink:href", "src")]
    assert leads and all(v.startswith("#") for v in leads)  # nothing is fetched
    assert "good &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text


def test_tables_have_captions_and_headings_rise_by_one(drawn: Path) -> None:
    text = drawn.read_text(encoding="utf-8")
    tags = Elements(text).tags
    assert tags.count("table") == tags.count("caption") > 5
    assert tags.count("h1") == 1
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert text.count('role="img" aria-label="') == tags.count("svg") > 5


def test_words_are_shaded_by_what_the_explainer_says(run: Path) -> None:
    asked = list[str]()

    def explain(text: str) -> list[tuple[str, float]]:
        asked.append(text)
        return [("<b>for</b>", 2.0), ("against", -1.0), ("neither", 0.0)]

    if not (wrong := [line for line in _test_lines(run) if "text" in line]):
        pytest.fail("the tiny classifier makes no mistakes; train it less")
    text = page(run, explain)
    assert asked and set(asked) <= {line["text"] for line in wrong}
    assert '<mark style="--w:1.00">&lt;b&gt;for&lt;/b&gt;</mark>' in text
    assert '<mark class="against" style="--w:0.50">against</mark> neither' in text
    assert "<mark" not in page(run)  # its classifier is gone


def test_the_runs_own_classifier_shades_the_words(drawn: Path) -> None:
    text = drawn.read_text(encoding="utf-8")
    assert "Orange words spoke for the predicted label" in text
    assert re.search(r'<mark( class="against")? style="--w:1.00">[^<]+</mark>', text)


def _test_lines(run: Path) -> list[dict]:
    return [
        json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()
    ]


def test_texts_are_kept_only_where_somebody_was_wrong(run: Path) -> None:
    labels = load_json(run / "config.json")["labels"]
    for line in _test_lines(run):
        said = labels[max(range(2), key=lambda k, line=line: line["probabilities"][k])]
        assert ("text" in line) == ({said, line["baseline"]} != {line["label"]})
        assert sum(line["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_long_mistakes_unfold_and_lose_no_word(run: Path) -> None:
    lines = _test_lines(run)
    words = [f"w{i}" for i in range(200)]
    labels = load_json(run / "config.json")["labels"]
    for line in lines:  # the last label is nearly certain, and false
        line |= {"label": labels[0], "probabilities": [0.01, 0.99], "text": " ".join(words)}
    (run / "predictions" / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = page(run)
    assert "the other 110 words" in text and set(words) <= set(re.findall(r"\bw\d+\b", text))


def test_half_a_surrogate_pair_and_a_zero_byte_do_no_harm(run: Path) -> None:
    lines = _test_lines(run)
    lines[0] |= {"label": load_json(run / "config.json")["labels"][0], "probabilities": [0, 1]}
    lines[0]["text"] = "\ud83d alone, \x00 and \x1b"
    (run / "predictions" / "test.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert "? alone, " in page(run)


def test_a_run_of_a_language_model_alone_has_a_page(run: Path) -> None:
    shutil.rmtree(run / "predictions")
    (run / "doctor.json").unlink()
    record = load_json(run / "config.json")
    record["stages"].pop("classifier, forward")
    save_json(run / "config.json", record | {"results": {}})
    text = page(run)
    assert "No scores: the run has no validation or test set" in text and "ulmfit doctor" in text
    assert re.findall(r'<section id="(\w+)">', text) == SECTIONS


def test_an_unfinished_run_has_no_scores_yet_and_the_speed_of_what_was_done(run: Path) -> None:
    def speeds() -> list[float]:
        cells = re.findall(r'<td class="clock">([^<]*)</td>', page(run))
        return [
            float(cell.replace(",", "")) for cell in cells[1:3]
        ]  # of the language model: steps, tokens

    whole = speeds()
    shutil.rmtree(run / "predictions")
    record = load_json(run / "config.json")
    save_json(run / "config.json", record | {"finished": False, "results": {}})
    name, stage = next(iter(record["stages"].items()))
    lines = [{"stage": name, "kind": "step", "phase": 1, "step": 1, "loss": 1.0}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text, steps = page(run), sum(phase["steps"] for phase in stage["phases"])
    assert "not finished yet" in text and "repeat its command to go on" in text
    assert "no validation or test set" not in text
    assert speeds() == pytest.approx([figure / steps for figure in whole], rel=0.02)


def test_a_run_of_an_earlier_version_has_a_page(tmp_path: Path) -> None:
    save_json(
        tmp_path / "config.json",
        {
            "kind": "run",
            "finished": True,
            "command": "ulmfit fit",
            "identity": "x",
            "config": {},
            "versions": {"ulmfit": "0.0"},
        },
    )
    assert page(tmp_path).count('class="missing"') >= 8


def test_many_classes_get_their_commonest_confusions(run: Path) -> None:
    record = load_json(run / "config.json")
    labels = [f"label {i}" for i in range(30)]
    save_json(run / "config.json", record | {"labels": labels})
    lines = []
    for i in range(60):
        probabilities = [0.0] * 30
        probabilities[(i + (i < 10)) % 30] = 1.0
        lines.append({"label": labels[i % 30], "probabilities": probabilities, "text": "x"})
    for name in ("test", "validation"):
        (run / "predictions" / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = page(run)
    assert "commonest confusions" in text and "5 more are left out" in text
    assert "No linear baseline" in text


def test_without_matplotlib_the_page_comes_without_charts(run: Path) -> None:
    text = page(run)
    assert "matplotlib is missing" in text and "<svg" not in text
    assert re.findall(r'<section id="(\w+)">', text) == SECTIONS


@pytest.mark.parametrize("content", [None, '{"kind": "classifier"}', "{"])
def test_what_is_no_run_is_named(content: str | None, tmp_path: Path) -> None:
    if content:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))):
        report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (360, False), (1200, True)])
def test_a_browser_shows_each_section(
    browser: chromium.Browser, drawn: Path, width: int, dark: bool
) -> None:
    browser.open(drawn, width, dark=dark)
    assert browser.complaints == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    seen = browser.value(
        "Object.fromEntries([...document.querySelectorAll('section')].map(s =>"
        " [s.id, s.getBoundingClientRect().height > 60 && s.checkVisibility() && s.innerText.length > 20]))"
    )
    assert seen == dict.fromkeys(SECTIONS, True)
    drawn = browser.value(
        "[...document.querySelectorAll('svg.chart')].map(s => s.getBoundingClientRect().toJSON())"
    )
    assert len(drawn) > 5 and all(
        150 < box["width"] <= width and box["height"] > 80 for box in drawn
    )
    light = browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark
    assert 1 <= browser.pages_printed() <= 15


def test_the_browser_would_complain(browser: chromium.Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("<script>console.log(1); nosuch()</script><img src='x.png'>")
    browser.complaints.clear()
    browser.open(tmp_path / "bad.html", 360)
    said = " ".join(browser.complaints)
    browser.complaints.clear()
    assert "nosuch" in said and "ERR_FILE_NOT_FOUND" in said
