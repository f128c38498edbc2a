import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from rewardkit.calibration.evaluation import measure
from rewardkit.calibration.reliability import margin_histogram, reliability
from rewardkit.errors import ConfigError, OutputError
from rewardkit.report.data import Example, Row, plain
from rewardkit.report.formats import percent, percent_interval, plain_interval, plain_number, points, points_interval
from rewardkit.report.page import LONG_TEXT, write_report

VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</style><style>body{display:none}</style>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "</div></article></main><h1>gone</h1>",
    "javascript:alert(1)",
    "\u202eright to left\x00\ud800",
)


class Page(HTMLParser):
    """What is on a page: elements with their attributes, text, and whether they nest."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" not in self.open:
            self.text.append(text)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self):
        return re.sub(r"[ \n]+", " ", "".join(self.text))


def written(data, folder):
    path = write_report(data, folder, "page.html")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html(data, tmp_path_factory):
    return written(data, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def numbers_in(value):
    if isinstance(value, dict):
        return [n for inner in value.values() for n in numbers_in(inner)]
    if isinstance(value, list):
        return [n for inner in value for n in numbers_in(inner)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def test_all_files_are_there_and_no_draft_is_left(data, tmp_path):
    path = write_report(data, tmp_path / "new", "page.html")
    assert path == tmp_path / "new" / "page.html"
    found = {str(p.relative_to(tmp_path / "new")) for p in (tmp_path / "new").rglob("*") if p.is_file()}
    figures = {f"figures/{n}.{e}" for n in ("accuracy", "margins", "reliability", "training") for e in ("svg", "json")}
    assert found == {"page.html", "evaluation.json", *figures}


def test_every_element_is_closed_and_ids_are_unique(page):
    assert page.open == []
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.all("a")} <= {f"#{i}" for i in ids}


def test_the_page_needs_nothing_from_elsewhere(html, page):
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object", "base", "form"}
    for _, attributes in page.elements:
        assert not {"src", "srcset", "action", "data", "poster"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert all(attributes[name].startswith("#") for name in ("href", "xlink:href") if name in attributes)
    assert "://" not in html
    assert "@import" not in html
    assert len(page.all("style")) == 1
    assert not re.search(r"url\((?!#)", html)


def test_the_page_can_be_read_without_seeing_it(page):
    assert [tag for tag, _ in page.elements].count("h1") == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(a.get("role") == "img" and a.get("aria-label") for a in page.all("svg"))
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html") == [{"lang": "en"}]
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for _, a in page.elements if a.get("role") == "region")


def test_numbers_are_finite_and_those_of_the_data(data, tmp_path):
    write_report(data, tmp_path, "page.html")
    found = json.loads((tmp_path / "evaluation.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert all(math.isfinite(n) for n in numbers_in(found))
    assert found["model"]["measurement"] == data.model.measurement.to_json()
    assert found["baselines"][0]["difference"] == data.baselines[0].difference.to_json()
    assert found["baselines"][1]["measurement"] is None
    assert found["reliability"] == data.reliability.to_json()
    assert found["calibration"]["temperature_low"] == math.exp(data.calibration.log_temperature_low)
    assert found["verdict"]["headline"].startswith("Better than every baseline that was measured")


def test_the_page_shows_the_numbers_of_the_json(data, page, tmp_path):
    write_report(data, tmp_path, "page.html")
    found = json.loads((tmp_path / "evaluation.json").read_text())
    for row in [found["model"], found["uncalibrated"], found["baselines"][0], *found["by_task"]]:
        m = row["measurement"]
        assert f"{percent(m['accuracy']['value'])} " in page.words
        for name in ("log_loss", "brier", "auroc"):
            shown = f"{plain_number(m[name]['value'])} {plain_interval(m[name]['low'], m[name]['high'])}"
            assert shown in page.words
        assert f"{plain_number(m['ece']['value'])} {plain_interval(m['ece']['band_low'], m['ece']['band_high'])}" in (
            page.words
        )
    lead = data.baselines[0].difference
    assert f"{points(lead.value)} {points_interval(lead)}" in page.words
    for bin_ in data.reliability.bins:
        assert f"{percent(bin_.frequency.value)} {percent_interval(bin_.frequency)}" in page.words
    assert plain_number(found["aggregation"]["human_reliability"], 2) in page.words
    assert plain_number(found["calibration"]["params"]["temperature"], 2) in page.words


def test_what_is_simulated_is_said_first(data, tmp_path):
    shown = Page(written(replace(data, simulated="Nobody read a word."), tmp_path)).words
    assert shown.index("Simulated. Nobody read a word.") < shown.index("agrees with the simulated annotators")
    assert "people" not in shown


def test_without_simulation_there_is_no_banner(page):
    assert "Simulated" not in page.words


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_does_not_act(data, page, tmp_path, text):
    row = replace(data.model, name=text, note=text)
    attacked = replace(
        data,
        title=text,
        simulated=text,
        baselines=(replace(data.baselines[0], name=text), Row(text, None, note=text)),
        by_task=(row,),
        by_source=(row,),
        splits=((text, 1, 1),),
        examples=((text, (Example(text, text, text, 0.9, 0.5, text), Example(text * 99, text * 99, text, 0.6, 1.0))),),
        settings={text: text},
        versions={text: text},
        seconds={text: 1.0},
        aggregation={**data.aggregation, "method": text, "judge_note": text},
    )
    html = written(attacked, tmp_path)
    shown = Page(html)
    assert shown.open == []
    tags = {tag for tag, _ in page.elements} | {"span", "details", "summary", "article"}
    assert {tag for tag, _ in shown.elements} <= tags
    assert not [name for _, a in shown.elements for name in a if name.startswith("on")]
    assert len(shown.all("style")) == len(page.all("style"))
    expected = text.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    assert "".join(shown.text).count(expected) > 20
    json.loads((tmp_path / "evaluation.json").read_text())


def test_line_breaks_and_tabs_of_responses_are_kept(html):
    assert "moon\n\tJune</div>" in html
    assert re.search(r"\.prose[^}]*white-space: pre-wrap", html)


def test_long_responses_are_folded_and_whole(data, tmp_path):
    long = "word " * LONG_TEXT
    folded = Page(written(replace(data, examples=(("x", (Example("p", long, "b", 0.9, 1.0),)),)), tmp_path))
    assert len([a for a in folded.all("details") if a.get("class") == "long"]) == 1
    assert long in "".join(folded.text)


def test_one_prompt_leaves_intervals_open(data, tmp_path):
    p, votes, units = np.array([0.8, 0.3, 0.6]), np.array([1.0, 0.0, 0.5]), ["one"] * 3
    measured = measure(p, votes, units=units)
    alone = replace(
        data,
        model=Row("reward model", measured),
        baselines=(),
        reliability=reliability(p, votes, units),
        margins=margin_histogram(p - 0.5, votes),
    )
    shown = Page(written(alone, tmp_path)).words
    assert "Too little data to tell" in shown
    assert f"{plain_number(measured.log_loss.value)} open" in shown
    assert json.loads((tmp_path / "evaluation.json").read_text())["model"]["measurement"]["log_loss"]["low"] is None


def test_ties_alone_make_a_page(data, tmp_path):
    p, votes, units = np.array([0.8, 0.3, 0.6]), np.full(3, 0.5), ["one", "two", "three"]
    row = Row("reward model", measure(p, votes, units=units))
    tied = replace(
        data,
        model=row,
        uncalibrated=row,
        baselines=(row,),
        by_task=(row,),
        reliability=reliability(p, votes, units),
        margins=margin_histogram(p - 0.5, votes),
    )
    assert "Every held-out comparison is a tie" in Page(written(tied, tmp_path)).words


def test_a_bare_run_makes_a_page(data, tmp_path):
    bare = replace(
        data,
        model=Row("reward model", None, "no labels"),
        uncalibrated=Row("x", None),
        baselines=(),
        by_task=(),
        by_source=(),
        curve=None,
        calibration=None,
        aggregation={},
        splits=(),
        examples=(),
        settings={},
        versions={},
        seconds={},
    )
    shown = Page(written(bare, tmp_path))
    assert shown.open == []
    assert "Its margins are not calibrated." in shown.words


@pytest.mark.parametrize("name", ["../page.html", "page.txt", "evaluation.json", "", "a/b.html"])
def test_a_name_that_is_no_page_is_refused(data, tmp_path, name):
    with pytest.raises(ConfigError, match="report's name"):
        write_report(data, tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_error(data, tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(data, tmp_path / "file" / "below", "page.html")


def test_settings_become_plain_values():
    value = {"a": (1, float("inf")), 2: {"b": None}, "c": {True}, "d": object}
    assert plain(value) == {"a": [1, None], "2": {"b": None}, "c": [True], "d": str(object)}
