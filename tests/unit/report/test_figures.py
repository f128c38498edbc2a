import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from rewardkit.errors import OutputError
from rewardkit.report.data import Row, TrainingCurve
from rewardkit.report.figures import PALETTE, draw_all, write_pictures
from rewardkit.report.forest import Forest

NAMES = {"accuracy", "margins", "reliability", "training"}


@pytest.fixture(scope="module")
def pictures(data):
    return draw_all(data)


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_every_figure_is_drawn_with_its_numbers(data, pictures):
    assert set(pictures) == NAMES
    assert pictures["reliability"].numbers == data.reliability.to_json()
    assert pictures["margins"].numbers == data.margins.to_json()
    lines = pictures["accuracy"].numbers["lines"]
    assert [line["accuracy"] for line in lines] == [
        data.model.measurement.accuracy.to_json(),
        data.baselines[0].measurement.accuracy.to_json(),
    ]


def test_equal_numbers_give_equal_files(data, pictures):
    assert {name: p.svg for name, p in draw_all(data).items()} == {name: p.svg for name, p in pictures.items()}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_files_stand_alone_and_are_transparent(pictures, name):
    root = ET.fromstring(pictures[name].svg)
    assert root.tag.endswith("svg")
    assert "var(" not in pictures[name].svg
    assert not re.search(r'(?:href|src)="(?!#)', pictures[name].svg)
    colours = set(re.findall(r"#[0-9a-f]{6}\b", pictures[name].svg))
    # Only colours that read on white and on black; white itself would vanish on one of them.
    assert colours <= set(PALETTE.values())


def contrast(colour, other):
    def luminance(text):
        channels = [int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(colour), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_colours_of_files_read_on_white_and_on_black():
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert min(contrast(PALETTE["ink"], ground) for ground in ("#ffffff", "#000000")) >= 4.5
    # Lines and marks need 3 : 1 (WCAG 1.4.11).
    assert min(contrast(colour, ground) for colour in PALETTE.values() for ground in ("#ffffff", "#000000")) >= 3


@pytest.mark.parametrize("name", sorted(NAMES))
def test_inline_figures_have_a_label_and_ids_of_their_own(pictures, name):
    inline = str(pictures[name].inline())
    assert inline.startswith('<svg viewBox="')
    assert 'role="img" aria-label="' in inline
    assert "http" not in inline.replace(pictures[name].label, "")
    ids = re.findall(r'\bid="([^"]*)"', inline)
    assert len(ids) == len(set(ids))
    assert all(i.startswith(f"{name}-") for i in ids)
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', inline)) <= set(ids)
    assert not set(PALETTE.values()) & set(re.findall(r"[^ ](#[0-9a-f]{6})", inline))


def test_names_are_text_and_nothing_else(data):
    hostile = '$x_1$ </text><script>alert(1)</script> id="a" & 猫'
    drawn = draw_all(replace(data, baselines=(replace(data.baselines[0], name=hostile),)))["accuracy"]
    assert hostile in texts(drawn.svg)
    assert "<script" not in drawn.inline()
    assert hostile in [e.text for e in ET.fromstring(drawn.inline().replace("xlink:", "")).iter("text")]


def test_a_control_character_in_a_name_leaves_the_file_readable(data):
    drawn = draw_all(replace(data, baselines=(replace(data.baselines[0], name="a\x00b\ud800"),)))["accuracy"]
    assert "a\ufffdb\ufffd" in texts(drawn.svg)


def test_a_loss_that_is_not_finite_is_left_out_and_null_in_the_numbers(data):
    curve = TrainingCurve(({"step": 1, "loss": float("nan")}, {"step": 2, "loss": 0.5}), 9, 0)
    drawn = draw_all(replace(data, curve=curve))["training"]
    assert curve.series("loss") == ([2], [0.5])
    assert drawn.numbers["history"] == [{"step": 1, "loss": None}, {"step": 2, "loss": 0.5}]


def test_what_has_nothing_to_draw_is_not_drawn(data):
    bare = replace(data, curve=None, model=Row("m", None), baselines=())
    assert set(draw_all(bare)) == {"margins", "reliability"}
    assert Forest.of((Row("m", None),)).lines == ()


def test_files_lie_side_by_side(pictures, tmp_path):
    write_pictures(pictures, tmp_path / "figures")
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {f"{n}.{e}" for n in NAMES for e in ("svg", "json")}
    for name, picture in pictures.items():
        assert json.loads((tmp_path / "figures" / f"{name}.json").read_text()) == picture.numbers
        assert (tmp_path / "figures" / f"{name}.svg").read_text() == picture.svg


def test_a_place_that_cannot_be_written_is_an_error(pictures, tmp_path):
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(OutputError):
        write_pictures(pictures, tmp_path / "figures")


@pytest.mark.parametrize("result", ["curve", "forest"])
def test_results_draw_on_axes_of_their_own_and_of_others(data, result):
    from matplotlib.figure import Figure

    drawn = data.curve if result == "curve" else Forest.of((data.model,))
    axes = Figure().add_subplot()
    assert drawn.plot(axes) is axes
    assert drawn.plot().get_xlabel() in ("step", "agreement with held-out labels")
