"""Texts of strangers: none acts, and all of each is shown."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labeling_ui.rendering import safe_html, safe_line, visible_text

TAGS = {
    "div", "p", "br", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "span", "bdi",
    "h1", "h2", "h3", "h4", "h5", "h6",
}  # fmt: skip
SIGN = re.compile(r'<span class="sign">U\+[0-9A-F]{4,6}</span>')
ATTRIBUTES = {"class", "dir", "start"}
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<body onload=alert(1)>",
    "<a href='javascript:alert(1)'>click</a>",
    "[click](javascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](https://elsewhere.example/track)",
    "![pixel](https://elsewhere.example/pixel.png)",
    "![x](x 'onerror=alert(1)')",
    "<https://elsewhere.example>",
    "<javascript:alert(1)>",
    "[a]: https://elsewhere.example\n\n[a]",
    "<div style='position:fixed;inset:0;z-index:9999'>overlay</div>",
    "<form action='https://elsewhere.example'><input name=password></form>",
    "<button formaction='javascript:alert(1)'>go</button>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<div id='submit'>clobber</div>",
    "<a id=document name=cookie>",
    "{{ constructor.constructor('alert(1)')() }}",
    "${alert(1)}",
    "<%= system('id') %>",
    "#{7*7}",
    "{% raw %}",
    "\u202egnirts desrever\u202c",
    "a\u200bb\u2060c\ufeffd",
    "\u2066isolate\u2069",
    "<think>secret plan</think>answer",
    "</think>",
    "List<int> xs = new List<int>();",
    "std::vector<std::string>",
    "\x1b[31mred\x1b[0m \x1b]8;;https://x.example\x07link\x1b]8;;\x07",
    "\x00null\x08back",
    "$\\href{javascript:alert(1)}{x}$",
    "$$\\def\\a{\\a\\a}\\a$$",
    "\\(\\require{html}\\)",
    "> " * 200 + "deep",
    "- " * 200 + "deep",
    "[" * 5000 + "text",
    "*" * 5000 + "text",
    "`" * 5000 + "text",
    "_a" * 3000,
    "a**" * 3000,
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#x6A;avascript:alert(1)",
    "&nbsp;&zwnj;&copy;",
    "```html\n<script>alert(1)</script>\n```",
    "```\"><script>alert(1)</script>\ncode\n```",
    "    <script>indented()</script>",
    "`<b>code</b>`",
    "<!-- comment --> after",
    "<![CDATA[ text ]]>",
    "<?php echo 1; ?>",
    "<!DOCTYPE html>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//x.example>",
    "<meta http-equiv=refresh content='0;url=//x.example'>",
    "<base href=//x.example>",
    "<object data=x></object><embed src=x>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "\" onmouseover=\"alert(1)",
    "' autofocus onfocus='alert(1)",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "Zal̷̢g̸o t̷e̴x̶t̵" + "\u0301" * 500,
    "x" * 200_000,
    "👩‍👩‍👧‍👦 family, नमस्ते, שלום, مرحبا, 你好",
    "name.csv\"><img src=x onerror=alert(1)>",
]  # fmt: skip


class Parsed(HTMLParser):
    """What a browser would see: tags, attributes and text."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def letters(text):
    return "".join(re.findall(r"[^\W\d_]", text))


@pytest.mark.parametrize("render", [safe_html, safe_line])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_do_nothing_and_are_shown(render, text):
    rendered = render(text)
    parsed = Parsed(rendered)
    assert parsed.tags <= TAGS and parsed.attributes <= ATTRIBUTES
    assert letters(Parsed(SIGN.sub("", rendered)).text) == letters(text)


def test_there_are_at_least_sixty():
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
@example("1. one\n2. two\n\n> quote\n\n```py\nx\n```")
@example("<b>\n\n</b>")
def test_any_text_is_shown_whole(text):
    rendered = safe_html(text)
    parsed = Parsed(rendered)
    assert parsed.tags <= TAGS and parsed.attributes <= ATTRIBUTES
    assert letters(Parsed(SIGN.sub("", rendered)).text) == letters(text)


def test_structure_is_shown():
    shown = safe_html("# Title\n\nA *b* **c** `d`\n\n- one\n- two\n\n3. three\n\n> said\n\n```py\nx < 1\n```\nend")
    for part in ("<h1>Title</h1>", "<em>b</em>", "<strong>c</strong>", "<li>one</li>", '<ol start="3">', "x &lt; 1"):
        assert part in shown
    assert '<p class="language">py</p>' in shown and "<br>" in safe_html("one\ntwo").replace("<br />", "<br>")


def test_hidden_letters_become_signs():
    assert safe_html("a\u202eb") == '<div class="text" dir="auto"><p>a<span class="sign">U+202E</span>b</p>\n</div>'
    assert "\u200d" in safe_html("👩\u200d👧")
    assert safe_line(" a\n<b> ") == f"<bdi>{html.escape('a <b>')}</bdi>"


def test_a_text_is_rendered_once_for_all_passages_that_are_marked_in_it():
    visible_text.cache_clear()
    text = "# Title\n\nA *b* <i>&amp;</i> \u202e"
    # What a browser counts: marks are gone, markup of strangers and signs are text.
    assert visible_text(text) == Parsed(safe_html(text)).text and "<i>&amp;</i> U+202E" in visible_text(text)
    assert [visible_text(text) for _ in range(9)] == [visible_text(text)] * 9
    found = visible_text.cache_info()
    assert (found.misses, found.hits) == (1, 11)
    for number in range(1_000):
        visible_text(f"text {number}")
    # What is kept is bounded, and what was let go is rendered anew.
    assert visible_text.cache_info().currsize == found.maxsize < 1_000
    assert visible_text(text) == Parsed(safe_html(text)).text
