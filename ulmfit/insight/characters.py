"""Damaged characters: text decoded in a wrong encoding, and HTML that fastai's rules misread."""

from collections.abc import Callable

from ulmfit.text.rules import fix_html, fix_html_clean
from ulmfit.text.splits import same

BEGINNING = 60  # characters of a text that are shown
AROUND = 20  # characters shown on each side of the damage
LOST = "\ufffd"  # replacement character, for one that could not be decoded

# text → a function that shows the damaged passage (called only if it is shown), or None
Passage = Callable[[str], Callable[[], str] | None]


def mojibake(text: str) -> Callable[[], str] | None:
    """UTF-8 that was decoded as another encoding, such as "cafÃ©": what `ftfy.fix_encoding` would repair."""
    if text.isascii():
        return None
    from ftfy import fix_encoding

    repaired = fix_encoding(text)
    return None if repaired == text else lambda: "{} for {}".format(*_apart(text, repaired))


def lost(text: str) -> Callable[[], str] | None:
    """U+FFFD: a character that was lost before the file was written."""
    return None if LOST not in text else lambda: _apart(text, text.replace(LOST, ""))[0]


def html(text: str) -> Callable[[], str] | None:
    """HTML, no-break spaces or typed special tokens that the rules "fastai" and "clean" read differently."""
    fastai, clean = fix_html(text), fix_html_clean(text)
    if fastai == clean:
        return None
    return lambda: "fastai reads {}, clean {}".format(*_apart(fastai, clean))


PASSAGES: dict[str, Passage] = {"mojibake": mojibake, "lost": lost, "html": html}


def beginning(text: str) -> str:
    """The first characters of a text, on one line, in quotes."""
    line = same(text)
    return f'"{line[:BEGINNING]}{"…" if len(line) > BEGINNING else ""}"'


def _apart(one: str, other: str) -> tuple[str, str]:
    """The two texts around the place where they first differ."""
    pairs = enumerate(zip(one, other, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
    start, end = max(0, place - AROUND), place + AROUND
    left = "…" if start else ""
    cut = (f"{t[start:end]}{'…' if end < len(t) else ''}" for t in (one, other))
    first, second = (repr(left + passage) for passage in cut)  # a no-break space must be seen
    return first, second
