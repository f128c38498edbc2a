"""Texts of strangers to HTML that cannot act, with nothing of the text lost.

Markdown gives structure (paragraphs, lists, emphasis, code, quotes) and nothing that leads anywhere: no
raw HTML, links, images, references or entities; what looks like one is shown as it was written. Letters
that change how others are read (overrides of direction, zero widths, terminal escapes) become visible
signs. Where Markdown would swallow text, as it does of nests that are too deep, plain text is shown.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache, lru_cache

from markdown_it import MarkdownIt

# A longer text is shown plain: parsing may take quadratic time, and nobody reads it for its emphasis.
LONGEST_MARKDOWN = 50_000
_TAG = re.compile(r"<[^>]*>")
# Zero-width joiners stay: scripts and emoji are spelt with them.
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def safe_html(text: str, *, breaks: bool = True) -> str:
    """Return HTML that shows a text and does nothing else.

    Args:
        text: Anything: of a prompt, a response, a rationale, a name.
        breaks: Whether an end of a line is shown as one; files whose lines were filled to a width want it not.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if len(text) <= LONGEST_MARKDOWN:
        rendered = _signs(str(_markdown(breaks).render(text)))
        if _letters(_unescaped(rendered)) == _letters(_unescaped(_signs(html.escape(text)))):
            return f'<div class="text" dir="auto">{rendered}</div>'
    return f'<div class="text plain" dir="auto">{_signs(html.escape(text))}</div>'


@lru_cache(maxsize=128)
def visible_text(text: str) -> str:
    """Return the text of `safe_html`, as a browser counts its characters."""
    return _unescaped(safe_html(text))


def safe_line(text: str) -> str:
    """Return HTML of a short text on one line, such as a name."""
    return f"<bdi>{_signs(html.escape(' '.join(text.split())))}</bdi>"


@cache
def _markdown(breaks: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": breaks, "maxNesting": 20})
    parser.disable(["link", "image", "autolink", "reference", "entity", "html_block", "html_inline"])
    # The language of a code block would go into a class; nothing of the text stands in an attribute.
    parser.add_render_rule("fence", _fence)
    return parser


def _fence(renderer: object, tokens: list[object], index: int, options: object, env: object) -> str:
    token = tokens[index]
    info = html.escape(getattr(token, "info", "").strip())
    heading = f'<p class="language">{info}</p>' if info else ""
    return f"{heading}<pre><code>{html.escape(getattr(token, 'content', ''))}</code></pre>\n"


def _signs(escaped: str) -> str:
    """Show letters that nobody would see."""
    return _HIDDEN.sub(lambda found: f'<span class="sign">{_name(found.group())}</span>', escaped)


def _name(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def _unescaped(rendered: str) -> str:
    return html.unescape(_TAG.sub("", rendered))


def _letters(text: str) -> str:
    """Return the letters of a text, in order: what no rendering may lose (marks of structure may go)."""
    return "".join(letter for letter in text if unicodedata.category(letter)[0] == "L")
