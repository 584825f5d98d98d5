"""A report's data → HTML, by a Jinja template and `page.css` beside this file; all values are escaped."""

import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def render(contents: dict[str, Any], template: str = "page.html") -> str:
    """The whole page. A name that the template uses and `contents` lacks is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "percent": percent,
        "points": points,
        "rate": rate,
        "duration": duration,
        "size": size,
        "figure": figure,
        "code": code,
    }
    style = (HERE / "page.css").read_text(encoding="utf-8")
    return templates.get_template(template).render(contents, style=style)


def percent(share: float | None, digits: int = 1) -> str:
    """0.831 → 83.1 %, with a no-break space."""
    return "–" if share is None else f"{100 * share:.{digits}f}\u202f%"


def points(difference: float) -> str:
    """−0.0123 → −1.2, with a true minus sign."""
    return f"{100 * difference:+.1f}".replace("-", "−")


def rate(lr: float) -> str:
    """A learning rate, 0.002 → 2.0e-3; 0 → frozen."""
    return f"{lr:.1e}".replace("e-0", "e-") if lr else "frozen"


def duration(seconds: float) -> str:
    """75 → 1:15 min."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def size(count: int | None) -> str:
    """Bytes in MiB or GiB."""
    if count is None:
        return "–"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def figure(value: float | None) -> str:
    """A number with four significant digits; from 1,000 on, without decimals."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def code(text: str) -> Any:
    """HTML of a text whose `commands` in backticks become <code>; everything is escaped."""
    from markupsafe import Markup, escape

    parts = re.split(r"`([^`]+)`", text)
    marked = (f"<code>{escape(p)}</code>" if i % 2 else str(escape(p)) for i, p in enumerate(parts))
    return Markup("".join(marked))
