"""Strings that are hard to split: pieces of all kinds, glued together and apart."""

import random
from collections.abc import Sequence

CHARACTERS = (
    *("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"),
    *("áàâäãåæçéèêëíîïñóôöøßúüýÿœžđłŒÅÉÜß", "αβγδεσςΣΩλ", "абвгджзийклмнопрстЖЁ", "İıſKÅﬁ"),
    *(".,;:!?…", "'\"`´’‘“”«»‚„", "()[]{}<>⟦⟧〈〉", "-–—~_", "+*/^=%&@#|\\"),
    *("$£€¥฿₽﷼", "°²³½™©®§¿¡", "ⅣⅫ①²₂٣९", "𝒜𝓑𠀀"),
    *("你好世界日本語中文。，？！；：", "かなカナ한국어", "ابجد؟،؛", "नमस्ते।", "ไทย", "אבג"),
    *("🙂😀❤️👍🏽👨‍👩‍👧🇩🇪✓★♥", "\u0301\u0308\u0327\u200d\ufe0f\u0345", "\u200b\u00ad\ufeff\u2060"),
    *("\x00\x01\x07\x08\x1b\x7f\x80\x9f", "\x1c\x1d\x1e\x1f\x85"),
)
GAPS = [" "] * 12 + [""] * 8
GAPS += ["  ", "   ", "\n", "\n\n", " \n", "\n ", "\n \n", "\t", "\r\n", "\xa0", " \t ", "\n\n\n"]
GAPS += ["\u2003", "\u3000", "\u2028", "\x0b", "\x1f", "\x85"]
_HTML = r"""
<br/> <BR> <br /> <p> </p> <!-- --> <unk> &amp; &lt; &gt; &quot; &nbsp; &#39; &#10;
&#x41; &eacute; & ; #39; amp; quot; nbsp; #146; #36; \n \"
"""
_WORDS = r"""
good Good GOOD the no No very ha a I km m s C aaa McDonald iPhone U.S. U.S a.m. Ph.D.
e.g. z.B. dell'arte l'amour 10km 5°C 3.14 1,000 10:30am 50% $5 5$ 100m² x-ray and/or c++
http://a.b.com/c?d=e#f www.example.org me@example.com 127.0.0.1 a.co Foo.Bar ... .... ..
!!! ?!?! ---- *** $$$ 10000 xxbos XXMAJ xxrep n't 's ’s 'S 've can't CAN'T cannot Gonna
y'all 'cause C'mon
"""
HTML = [*_HTML.split(), "<br />", "<a href='x'>", " @-@ ", " @.@ ", " @,@ "]
WORDS = _WORDS.split()
# Few kinds of characters and many spaces: exceptions across spaces, words that repeat in part.
NARROW = (
    "  :;)(-",
    "   b:)(8-o",
    " \n.oO0^_",
    "  ab3",
    "   aA\n.",
    "  >:<3(",
    " '’sncat",
    "  xX:pPdD(",
)


def texts(number: int, seed: int, exceptions: Sequence[str]) -> list[str]:
    """`number` strings; with `exceptions`, those of a language, whole, in pieces and changed."""
    draw = random.Random(seed)
    return [_text(draw, exceptions) for _ in range(number)]


def _text(draw: random.Random, exceptions: Sequence[str]) -> str:
    if draw.random() < 0.15:
        return "".join(draw.choices(draw.choice(NARROW), k=draw.randint(2, 24)))
    few = [_piece(draw, exceptions) for _ in range(draw.randint(1, 6))]  # so that words repeat
    pieces = [draw.choice(few) + draw.choice(GAPS) for _ in range(draw.randint(1, 14))]
    return draw.choice(GAPS) + "".join(pieces)


def _piece(draw: random.Random, exceptions: Sequence[str]) -> str:
    match draw.randrange(8):
        case 0 | 1:
            return draw.choice(WORDS)
        case 2 | 3 if exceptions:
            return _changed(draw, draw.choice(exceptions))
        case 4:
            return draw.choice(HTML)
        case 5:
            return "".join(draw.choice(draw.choice(CHARACTERS)) for _ in range(draw.randint(1, 6)))
        case 6:  # of one or two kinds, as real words are
            kinds = draw.choices(CHARACTERS, k=2)
            return "".join(draw.choice(draw.choice(kinds)) for _ in range(draw.randint(1, 8)))
        case _:
            return draw.choice(draw.choice(CHARACTERS)) * draw.randint(1, 4)


def _changed(draw: random.Random, text: str) -> str:
    cut = draw.randint(0, len(text))
    around = draw.choice(draw.choice(CHARACTERS))
    ways = (text, text, text, text.upper(), text.title(), text[:cut], text[cut:])
    return draw.choice((*ways, around + text, text + around, text[:cut] + " " + text[cut:]))
