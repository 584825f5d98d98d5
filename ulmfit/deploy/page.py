"""The server's page: `page.html`, `page.css` and `page.js` beside this file, with the report's style sheet, as one document."""

import base64
import hashlib
from pathlib import Path

from ulmfit.insight import page as report

HERE = Path(__file__).parent


def page() -> tuple[str, str]:
    """The document, and the Content-Security-Policy to send with it, which allows only these styles and this script, by their
    hashes, and requests to this server."""
    style = _read(report.HERE / "page.css") + _read(HERE / "page.css")
    script = _read(HERE / "page.js")
    html = _read(HERE / "page.html").replace("{{ style }}", style).replace("{{ script }}", script)
    policy = {
        "default-src": "'none'",
        "script-src": _hashed(script),
        "style-src": _hashed(style),
        "connect-src": "'self'",
        "img-src": "data:",  # the empty icon, so that browsers do not request one
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return html, "; ".join(f"{what} {source}" for what, source in policy.items())


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _hashed(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
