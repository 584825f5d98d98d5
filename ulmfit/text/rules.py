"""Text in, marked-up text out: the rules that run before splitting into tokens, and their undoing.

The rules and their order are fastai's (2.8.12), quirks included: the published weights were trained
on texts prepared exactly so. `rules="clean"` replaces only the first one, the repair of HTML, by a
correct one.
"""

import html
import re
from collections.abc import Callable, Iterable
from typing import Literal

Rules = Literal["fastai", "clean"]

UNKNOWN, PAD, BOS, EOS, FIELD = "xxunk", "xxpad", "xxbos", "xxeos", "xxfld"
REPEAT, REPEAT_WORD, UPPER, CAPITAL = "xxrep", "xxwrep", "xxup", "xxmaj"
# Their positions are their ids, so the order is part of every saved model.
SPECIAL_TOKENS = (UNKNOWN, PAD, BOS, EOS, FIELD, REPEAT, REPEAT_WORD, UPPER, CAPITAL)

SPACE_IN_TOKEN = "▁"  # U+2581 stands for a space inside a token, as in "\n▁"
MAX_REPEATS = 1000  # a generated "xxrep 999999999 a" must not fill the memory

_FASTAI_LITERALS = (
    ("#39;", "'"),
    ("amp;", "&"),
    ("#146;", "'"),
    ("nbsp;", " "),
    ("#36;", "$"),
    ("\\n", "\n"),
    ("quot;", "'"),
    ("<br />", "\n"),
    ('\\"', '"'),
    ("<unk>", UNKNOWN),
    (" @.@ ", "."),
    (" @-@ ", "-"),
    ("...", " …"),
)
_CLEAN_LITERALS = (
    ("\\n", "\n"),
    ('\\"', '"'),
    ("\xa0", " "),
    ("<unk>", UNKNOWN),
    (" @.@ ", "."),
    (" @,@ ", ","),
    (" @-@ ", "-"),
    ("...", " …"),
)
_LOST_AMPERSAND = re.compile(r"(?<!&)(#\d{2,4};)|(?<![&\w])((?:quot|amp|nbsp|lt|gt);)")
_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# xxfld stays, since it marks the columns of a table. "_" counts as a word border because spaCy cuts it off: "_xxbos_"
# would become the token xxbos.
_TYPED = "|".join(token for token in SPECIAL_TOKENS if token != FIELD)
_TYPED_SPECIAL = re.compile(rf"(?<![^\W_])(?:{_TYPED})(?![^\W_])", re.IGNORECASE)
_SAME_CHARACTER = re.compile(r"(\S)\1{2,}")
_SAME_WORD = re.compile(r"(?:\s|^)(\w+)\s+((?:\1\s+)+)\1(\s|\W|$)")
_SET_APART = re.compile(r"[/#\\]")
_SPACES = re.compile(r" {2,}")
_ALL_CAPS = re.compile(r"(\s|^)([A-Z][^a-z\s]*)(?=\s|$)")
_CAPITALISED = re.compile(r"(\s|^)([A-Z][^A-Z\s]*)(?=\s|$)")


def fix_html(text: str) -> str:
    """HTML and WikiText leftovers repaired as fastai does, faults included: `&amp;` becomes `&&`."""
    for old, new in _FASTAI_LITERALS:
        text = text.replace(old, new)
    return html.unescape(text)


def fix_html_clean(text: str) -> str:
    """HTML and WikiText leftovers repaired correctly; special tokens typed in the text become xxunk, except xxfld."""
    # AG News and other data sets have lost the "&" of "&#39;" and "&quot;".
    text = html.unescape(_LOST_AMPERSAND.sub(r"&\1\2", text))
    text = _LINE_BREAK.sub("\n", text)
    for old, new in _CLEAN_LITERALS:
        text = text.replace(old, new)
    return _TYPED_SPECIAL.sub(UNKNOWN, text)


def replace_rep(text: str) -> str:
    """`cccc` → ` xxrep 4 c `, from three equal characters on."""
    return _SAME_CHARACTER.sub(lambda m: f" {REPEAT} {len(m[0])} {m[1]} ", text)


def replace_wrep(text: str) -> str:
    """`no no no` → ` xxwrep 3 no `, from three equal words on."""
    return _SAME_WORD.sub(lambda m: f" {REPEAT_WORD} {len(m[2].split()) + 2} {m[1]} {m[3]}", text)


def spec_add_spaces(text: str) -> str:
    """A space on both sides of each `/`, `#` and backslash."""
    return _SET_APART.sub(lambda m: f" {m[0]} ", text)


def rm_useless_spaces(text: str) -> str:
    """Runs of plain spaces → one; tabs, newlines and other white space stay."""
    return _SPACES.sub(" ", text)


def replace_all_caps(text: str) -> str:
    """`GREAT!` → `xxup great!`; a single capital is only lower-cased."""
    return _ALL_CAPS.sub(lambda m: m[1] + _marked(UPPER, m[2]), text)


def replace_maj(text: str) -> str:
    """`Great` → `xxmaj great`; a single capital is only lower-cased."""
    return _CAPITALISED.sub(lambda m: m[1] + _marked(CAPITAL, m[2]), text)


def _marked(marker: str, word: str) -> str:
    return f"{marker} {word.lower()}" if len(word) > 1 else word.lower()


def lowercase(text: str) -> str:
    """The text stripped and lower-cased, behind `xxbos `."""
    return f"{BOS} {text.lower().strip()}"


def replace_space(token: str) -> str:
    """Spaces inside a token → `▁`; runs after the splitting, on each token."""
    return token.replace(" ", SPACE_IN_TOKEN)


HTML_RULES: dict[Rules, Callable[[str], str]] = {"fastai": fix_html, "clean": fix_html_clean}
WORD_RULES: tuple[Callable[[str], str], ...] = (
    replace_rep,
    replace_wrep,
    spec_add_spaces,
    rm_useless_spaces,
    replace_all_caps,
    replace_maj,
    lowercase,
)


def apply_rules(text: str, rules: Rules = "fastai") -> str:
    """`text` ready to be split: markers added, lower-cased, `xxbos` in front."""
    if rules not in HTML_RULES:
        raise ValueError(f'rules must be "fastai" or "clean", not {rules!r}')
    text = HTML_RULES[rules](text)
    for rule in WORD_RULES:
        text = rule(text)
    return text


# ---- the rules as data, to follow each character through them (`alignment.py`) ----

Step = tuple[re.Pattern[str], Callable[[str], str]]


def _literal(old: str, new: str) -> Step:
    return re.compile(re.escape(old)), lambda _: new


# as in the module `html`
_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
_UNESCAPED: Step = (_REFERENCE, html.unescape)
_HTML_STEPS: dict[Rules, tuple[Step, ...]] = {
    "fastai": (*(_literal(*pair) for pair in _FASTAI_LITERALS), _UNESCAPED),
    "clean": (
        (_LOST_AMPERSAND, lambda reference: "&" + reference),
        _UNESCAPED,
        (_LINE_BREAK, lambda _: "\n"),
        *(_literal(*pair) for pair in _CLEAN_LITERALS),
        (_TYPED_SPECIAL, lambda _: UNKNOWN),
    ),
}
_WORD_STEPS: tuple[Step, ...] = (
    (_SAME_CHARACTER, replace_rep),
    (_SAME_WORD, replace_wrep),
    (_SET_APART, spec_add_spaces),
    (_SPACES, rm_useless_spaces),
    (_ALL_CAPS, replace_all_caps),
    (_CAPITALISED, replace_maj),
)
# What `apply_rules` does before lower-casing, step by step: each match of the pattern becomes function(match).
STEPS: dict[Rules, tuple[Step, ...]] = {
    rules: (*steps, *_WORD_STEPS) for rules, steps in _HTML_STEPS.items()
}


# ---- the way back, for people to read ----

_NO_SPACE_BEFORE = frozenset({*".,!?;:…%)]}’”»", "n't", "n’t"})
_CLITIC = re.compile(r"['’](?:s|d|m|re|ve|ll|t|em)$", re.IGNORECASE)
_NO_SPACE_AFTER = frozenset("([{$£€#“‘«")
_TIGHT = frozenset({"/", "-"})  # spaCy splits words at them: "well-known", "8/10"
# words that spaCy splits in two
_CUT_WORDS = {("gon", "na"), ("wan", "na"), ("got", "ta"), ("can", "not"), ("lem", "me")}


def expand(tokens: Iterable[str]) -> list[str]:
    """`xxmaj great` → `Great`, `xxrep 3 a` → `aaa` and so on, one list entry per word.

    As fastai's decoder, except that a repeat applies to one token only; in fastai it applies until
    the next marker.
    """
    words: list[str] = []
    marker = count = None
    for token in tokens:
        if token in (CAPITAL, UPPER, REPEAT, REPEAT_WORD):
            marker, count = token, None
        elif marker in (REPEAT, REPEAT_WORD) and count is None:
            count = _repeats(token)
            marker = marker if count is not None else None  # "xxrep" without a number: drop both
        else:
            words += _restored(token, marker, count)
            marker = None
    return words


def _repeats(token: str) -> int | None:
    """The number behind `xxrep`, at most `MAX_REPEATS`; None: it is no number."""
    if not token.isdecimal():
        return None
    return min(int(token), MAX_REPEATS) if len(token) < 100 else MAX_REPEATS  # `int` has a limit


def _restored(token: str, marker: str | None, count: int | None) -> list[str]:
    if marker == UPPER:
        return [token.upper()]
    if marker == CAPITAL:
        return [token[:1].upper() + token[1:]]
    if marker == REPEAT:
        return [token * (count or 0)]
    return [token] * (count or 0) if marker == REPEAT_WORD else [token]


def undo(tokens: Iterable[str]) -> str:
    """Tokens as readable text: markers undone, spaces where English has them, no xxbos or xxpad."""
    text, previous, open_quotes = "", "", set[str]()
    for word in expand(t for t in tokens if t not in (BOS, PAD)):
        word = word.replace(SPACE_IN_TOKEN, " ")
        closes = word in open_quotes
        at_white_space = not text or word.isspace() or text[-1].isspace()
        after_opening = previous in _NO_SPACE_AFTER or previous in open_quotes or previous in _TIGHT
        clings = closes or word in _NO_SPACE_BEFORE or word in _TIGHT or _CLITIC.match(word)
        was_cut = (previous.lower(), word.lower()) in _CUT_WORDS
        text += ("" if at_white_space or after_opening or clings or was_cut else " ") + word
        if word in ('"', "'"):
            open_quotes ^= {word}
        previous = "" if closes else word
    return text
