from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from rewardkit.errors import ConfigError
from rewardkit.report.data import Example, Row
from rewardkit.report.page import write_report

HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}<style>*{display:none}</style>"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Keeps what a page is made of, and that its tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def outline(page):
    parser = Outline()
    parser.feed(page.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def test_the_page_needs_nothing_else(make, tmp_path):
    page = write_report(make(), tmp_path, "report.html")
    found = outline(page)
    assert not {"script", "iframe", "link", "object", "form"} & set(found.tags)
    links = [value for name, value in found.attributes if name in ("src", "href", "xlink:href", "srcset")]
    assert all(value.startswith("#") for value in links)
    assert found.tags.count("svg") == 4
    assert all(re.fullmatch(r"col|row", value) for name, value in found.attributes if name == "scope")


def test_every_figure_has_its_numbers_beside_it(make, tmp_path):
    write_report(make(), tmp_path, "report.html")
    names = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert names == {"accuracy", "margins", "reliability", "training"}
    for name in names:
        assert json.loads((tmp_path / "figures" / f"{name}.json").read_text())


def test_the_numbers_file_holds_what_was_measured(make, tmp_path):
    data = make()
    page = write_report(data, tmp_path, "report.html")
    numbers = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert numbers["model"]["measurement"] == data.model.measurement.to_json()
    text = " ".join(outline(page).text.split())
    for key in ("log_loss", "brier"):
        assert f"{numbers['model']['measurement'][key]['value']:.3f}" in text
    assert "400" in text and "40 prompts" in text


def test_hostile_text_is_shown_and_does_not_act(make, tmp_path):
    example = Example(HOSTILE, HOSTILE, "fine", 0.9, 0.0, HOSTILE)
    data = make(
        title=HOSTILE,
        simulated=HOSTILE,
        examples=((HOSTILE, (example,)),),
        by_task=(Row(HOSTILE, None, HOSTILE),),
        settings={HOSTILE: HOSTILE},
    )
    found = outline(write_report(data, tmp_path, "report.html"))
    assert not {"script", "img"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    # Every copy is there in full, with its two alerts: none was cut, run or evaluated.
    text = " ".join(found.text.split())
    assert 2 * text.count(HOSTILE) == text.count("alert(1)") >= 10


def test_equal_data_give_an_equal_page(make, tmp_path):
    pages = [write_report(make(), tmp_path / name, "report.html").read_bytes() for name in "ab"]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("name", ["../report.html", "report.txt", "a/b.html"])
def test_a_name_that_is_no_page_is_refused(make, tmp_path, name):
    with pytest.raises(ConfigError, match=r"report\.html"):
        write_report(make(), tmp_path, name)
    assert list(tmp_path.iterdir()) == []
