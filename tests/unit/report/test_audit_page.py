"""The audit's page: whole, without anything from elsewhere, every number with its n, whatever names look like."""

from __future__ import annotations

import json
import re
import runpy
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from rewardkit.audit.cases import RatingCase, Verdict
from rewardkit.audit.judges import JudgeAudit, audit_pairs, audit_ratings, disagreements
from rewardkit.audit.results import Level, missing, rate
from rewardkit.audit.stress import StressCase, stress_tests
from rewardkit.report.audit_data import AuditData
from rewardkit.report.audit_page import write_audit

MADE = runpy.run_path(str(Path(__file__).parents[2] / "audited.py"))
pair, vote = MADE["pair"], MADE["vote"]
LEVEL = Level(resamples=100)
HOSTILE = "<img src=x onerror=alert(1)> {{ 7 * 7 }} $x$ \u202e\x00"
VOID = {"meta", "br", "img", "link"}


class Page(HTMLParser):
    """Elements, and whether they nest."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

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

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))


def soft_cases():
    """120 comparisons of 40 prompts: a judge of probabilities that leans to the first and to its own family."""
    rng = np.random.default_rng(5)
    found = []
    for place in range(120):
        truth, own = rng.normal(), rng.random() < 0.5
        logit = truth + (0.8 if own else -0.8)
        votes = [vote(float(rng.random() < expit(2 * truth)), f"e{i}", "experts") for i in range(3)]
        votes += [vote(float(rng.random() < expit(-truth)), f"c{i}", "crowd") for i in range(3)]
        writers = ("gpt", "llama") if own else ("llama", "gpt")
        said = {"ab": expit(logit + 1), "ba": expit(logit - 1)}
        case = pair(said, votes, unit=f"u{place % 40}", doublings=rng.normal(), writers=writers, task=f"t{place % 2}")
        again = Verdict(logit=-5.0, value=0.01, order="ab", soft=True, chain="order ab", current=False)
        found.append(replace(case, verdicts=(*case.verdicts, again)))
    return [replace(case, verdicts=tuple(thinking(verdict, rng) for verdict in case.verdicts)) for case in found]


def thinking(verdict, rng):
    """The verdict as one that was thought about, voted on and tampered with."""
    votes = tuple(float(each) for each in expit(verdict.logit + rng.normal(size=3)))
    probes = {"none": rng.random(), "half": 0.9, "exchanged": 0.2}
    return replace(verdict, tokens=int(rng.integers(300, 500)), votes=votes, probes=probes)


def judge(name, pairs=None, ratings=(), answered=None, stress=()):
    answered = answered or rate([1.0] * 9 + [0.0], [str(i) for i in range(10)], LEVEL)
    return JudgeAudit(name, "gpt-4", "gpt", answered, pairs, ratings, disagreements(pairs, ratings), stress)


def stressed():
    cases = {"shuffle": [2.0] * 20 + [-1.0], "flattery": [-1.0] * 20 + [0.5], "injection": [1.0, -1.0]}
    made = {name: [StressCase(f"u{i}", logit) for i, logit in enumerate(logits)] for name, logits in cases.items()}
    return stress_tests(made, LEVEL)


def thought_once():
    case = pair(1.0, [1.0])
    return replace(case, verdicts=tuple(replace(verdict, tokens=70) for verdict in case.verdicts))


@pytest.fixture(scope="module")
def data():
    pairs = audit_pairs(soft_cases(), "gpt", LEVEL)
    votes = [
        (vote(i / 39, "e", "experts"), vote(i / 39, "f", "experts"), vote(1 - i / 39, "c", "crowd")) for i in range(40)
    ]
    cases = {"wit": [RatingCase(f"u{i}", (i / 39, i / 39), heard) for i, heard in enumerate(votes)]}
    nothing = audit_pairs([pair(1.0)], None, LEVEL)
    return AuditData(
        title=f"audit {HOSTILE}",
        created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        simulated="2 of the human annotators are simulated.",
        unit="prompt",
        confidence=0.95,
        judges=(
            judge("soft judge", pairs, audit_ratings(cases, LEVEL), stress=stressed()),
            judge(f"silent {HOSTILE}", nothing, answered=missing("nothing was asked", 0)),
            judge("a third", audit_pairs([thought_once()], "gpt", LEVEL)),
        ),
        people={"experts": 4, HOSTILE: 2},
        settings={"name": HOSTILE},
        versions={"rewardkit": "0"},
    )


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    assert write_audit(data, folder, "page.html") == folder / "page.html"
    return folder


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "page.html").read_text(encoding="utf-8")


def test_it_is_whole_and_needs_nothing_else(html):
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    assert not re.findall(r"(?:src|href)=\"(?!#)", html) and "default-src 'none'" in html
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for tag, attributes in page.elements if tag == "a"}
    assert links <= set(ids) and len(links) == 3


def test_names_are_text_whatever_they_hold(html):
    assert "<img" not in html and "{{ 7 * 7 }}" in html and "\x00" not in html


def test_numbers_stand_beside_the_page(folder, data):
    numbers = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert numbers["schema_version"] == 1 and [each["name"] for each in numbers["judges"]][0] == "soft judge"
    accuracy = data.judges[0].pairs.overall.accuracy.estimate
    assert numbers["judges"][0]["pairs"]["overall"]["accuracy"]["estimate"] == accuracy.to_json()
    for name in ("judges", "judge-1-agreement", "judge-1-order", "judge-1-reliability", "judge-1-ranks"):
        assert json.loads((folder / "figures" / f"{name}.json").read_text())
        ET.fromstring((folder / "figures" / f"{name}.svg").read_text(encoding="utf-8"))


def test_every_number_of_a_table_has_an_interval_and_an_n(html):
    cells = re.findall(r'<td class="num" data-name="[^"]*">(.*?)</td>', html, re.DOTALL)
    assert len(cells) > 60
    for cell in cells:
        assert cell.count("<small") == 2 and "n\u00a0=\u00a0" in cell or "not measurable" in cell, cell


def test_it_says_in_words_what_the_numbers_allow(html):
    words = Page(html).words
    assert "it leans to the first" in words and "It favours responses of its own family" in words
    assert "People disagree about it: agreement with the majority is above 0.5 with “experts”" in words
    assert "rank correlation on wit is above 0.0 with “experts” 1.00" in words
    assert "not measurable: no comparison has human labels (n = 1)" in words
    assert "2 of the human annotators are simulated" in words
    assert "the sentences stand in another order: it sees that" in words
    assert "the text praises the judge: it is won over" in words
    assert "the text tells the judge what to answer: not shown to be moved" in words
    assert "Agreement after up to 3 votes" in words and "What a label takes" in words
    assert "Turns round where A and B change places in it" in words
    assert "1 item from only 1 prompt: nothing follows for others" in words


def test_a_second_time_it_is_the_same(data, html, tmp_path):
    assert write_audit(data, tmp_path, "again.html").read_text(encoding="utf-8") == html
