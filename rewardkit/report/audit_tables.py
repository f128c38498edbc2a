"""One judge's findings → the tables of its part of the page, each number with plain words beside it."""

from __future__ import annotations

from rewardkit.audit.compute import Compute, Faithfulness
from rewardkit.audit.judges import Honesty, JudgeAudit, PairAudit, RatingAudit
from rewardkit.audit.pairs import ALWAYS_A, FIRST, LONGER, PairAgreement, Rival
from rewardkit.audit.stress import StressTest
from rewardkit.report.audit_cells import Cell, Line, Table, cell, cells, n_of, which_side
from rewardkit.report.formats import count, plain_interval, plain_number

AGREEMENT = ("Sides with the majority", "Where it prefers one", "κ", "α", "AC1", "Ties, people", "Ties, judge")


def overview(judges: tuple[JudgeAudit, ...], unit: str) -> Table:
    """Put the judges that compare side by side, the best first; what was measured of none is said below."""
    compared = [(judge.name, judge.pairs) for judge in judges if judge.pairs is not None]
    columns: dict[str, list[Cell]] = {
        "Sides with the majority": [cell(pairs.overall.accuracy, "share", unit) for _, pairs in compared],
        "Lead over longer-is-better": [cell(_longer(pairs).lead, "points", unit) for _, pairs in compared],
        "Lead over one person": [cell(pairs.ceiling.lead, "points", unit) for _, pairs in compared],
        "Same in both orders": [cell(pairs.position.consistency, "share", unit) for _, pairs in compared],
    }
    shown = {name: found for name, found in columns.items() if any(each.interval for each in found)}
    foot = "; ".join(f"{name}: {found[0].note}" for name, found in columns.items() if found and name not in shown)
    values = [pairs.overall.accuracy.estimate for _, pairs in compared]
    order = sorted(range(len(compared)), key=lambda place: -known.value if (known := values[place]) else 1.0)
    lines = [Line(compared[place][0], tuple(found[place] for found in shown.values())) for place in order]
    return Table("The judges side by side", tuple(shown), tuple(lines), foot)


def _longer(pairs: PairAudit) -> Rival:
    return next(rival for rival in pairs.rivals if rival.name == LONGER)


def agreement(pairs: PairAudit, unit: str) -> Table:
    """Say how far the judge agrees with all people."""
    found = pairs.overall
    coin = (
        "more often than a coin",
        "less often than a coin: it prefers what people reject",
        "not shown to beat a coin",
    )
    beyond = "; 1 is perfect, 0 is chance"
    return Table(
        "Agreement with all people",
        ("",),
        (
            Line(
                "Sides with the majority",
                (cell(found.accuracy, "share", unit),),
                f"of comparisons with one; its ties count half: {which_side(found.accuracy, 0.5, coin)}",
            ),
            Line(
                "… where it prefers one",
                (cell(found.accuracy_decided, "share", unit),),
                f"its ties left out: {which_side(found.accuracy_decided, 0.5, coin)}",
            ),
            Line("Ties of the people", (cell(found.ties_human, "share", unit),), "comparisons without a majority"),
            Line("Ties of the judge", (cell(found.ties_judge, "share", unit),), "it prefers neither, or order decides"),
            Line(
                "Cohen’s κ",
                (cell(found.kappa, "number", unit),),
                f"beyond chance, given how often each is said{beyond}",
            ),
            Line(
                "Krippendorff’s α",
                (cell(found.alpha, "number", unit),),
                f"beyond chance, as if both drew from one urn{beyond}",
            ),
            Line(
                "Gwet’s AC1", (cell(found.ac1, "number", unit),), f"beyond chance, steadier where ties are rare{beyond}"
            ),
        ),
    )


def beside(pairs: PairAudit, unit: str) -> Table:
    """Put rivals and people beside the judge, on the same items."""
    lines = [_rival_line(pairs.ceiling, unit), *(_rival_line(rival, unit) for rival in pairs.rivals)]
    return Table(
        "Beside others, on the same comparisons", ("Its agreement", "The judge’s", "Judge’s lead"), tuple(lines)
    )


def _rival_line(rival: Rival, unit: str) -> Line:
    said = {
        LONGER: "prefers whatever has more characters",
        FIRST: "prefers what was shown first; a coin by design where both orders were shown",
        ALWAYS_A: "prefers A, which is drawn by a hash of the texts: a coin by design",
    }
    what = said.get(rival.name, "each person left out in turn; the judge meets the same majorities of the others")
    lead = which_side(rival.lead, 0.0, ("the judge is better", "the judge is worse", "not shown to differ"))
    numbers = (cell(rival.accuracy, "share", unit), cell(rival.judge, "share", unit), cell(rival.lead, "points", unit))
    return Line(rival.name, numbers, f"{what}: {lead}")


def parts(caption: str, found: tuple[PairAgreement, ...], unit: str) -> Table:
    """Put groups or tasks below one another."""
    lines = []
    for part in found:
        shares = cells((part.accuracy, part.accuracy_decided), "share", unit)
        beyond = cells((part.kappa, part.alpha, part.ac1), "number", unit)
        ties = cells((part.ties_human, part.ties_judge), "share", unit)
        lines.append(Line(part.name, (*shares, *beyond, *ties)))
    return Table(caption, AGREEMENT, tuple(lines))


def order(pairs: PairAudit, unit: str) -> Table:
    """Say what the order of the responses does."""
    found = pairs.position
    lean = ("it leans to the first", "it leans to the second", "no lean is shown")
    gain = ("averaging helps", "averaging hurts", "no difference is shown")
    one = " (one order only)" if found.prefers_first.note else ""
    return Table(
        "What the order does",
        ("",),
        (
            Line(
                "Same verdict in both orders",
                (cell(found.consistency, "share", unit),),
                "the rest is decided by the order",
            ),
            Line(
                "Prefers what was shown first",
                (cell(found.prefers_first, "share", unit),),
                f"50 % without a lean; ties count half{one}: {which_side(found.prefers_first, 0.5, lean)}",
            ),
            Line(
                "Lean to the first, in logits",
                (cell(found.residual, "signed", unit),),
                f"what averaging both orders takes out: {which_side(found.residual, 0.0, lean)}",
            ),
            Line("Agreement, A shown first", (cell(found.a_first, "share", unit),), "one order alone"),
            Line("Agreement, B shown first", (cell(found.b_first, "share", unit),), "the other order alone"),
            Line("Agreement, one order", (cell(found.one_order, "share", unit),), "the mean of the two"),
            Line("Agreement, both averaged", (cell(found.averaged, "share", unit),), "the mean of both orders’ logits"),
            Line(
                "What averaging gains",
                (cell(found.gain, "points", unit),),
                found.gain.note or which_side(found.gain, 0.0, gain),
            ),
        ),
    )


def leanings(pairs: PairAudit, family: str | None, unit: str) -> Table:
    """Say what moves the judge more than people."""
    length, own = pairs.length, pairs.own_family
    more = ("length moves it more than people", "length moves it less than people", "not shown to differ from people")
    kin = ("it favours its own", "it disfavours its own", "not shown to differ from people")
    grows = "how the log odds of being preferred grow where a response is twice as long"
    of = f"how often the response of its family “{family}” wins" if family else "how often its family’s response wins"
    return Table(
        "What moves it more than people",
        ("Judge", "People", "Judge less people"),
        (
            Line(
                "Length",
                cells((length.judge, length.people, length.difference), "signed", unit),
                f"{grows}: {which_side(length.difference, 0.0, more)}",
            ),
            Line(
                "Its own family",
                (*cells((own.judge, own.people), "share", unit), cell(own.difference, "points", unit)),
                f"{of}: {which_side(own.difference, 0.0, kin)}",
            ),
        ),
    )


def probabilities(honesty: Honesty, unit: str) -> Table:
    """Say how honest the judge's probabilities are."""
    m = honesty.measurement
    if m is None:
        return Table("Its probabilities", ("",), (Line("Calibration", (Cell("—", note=honesty.note),)),))
    n = f"{n_of(m.brier)}, {count(m.n_units, unit)}"
    band = f"if perfectly calibrated {plain_interval(m.ece.band_low, m.ece.band_high)}"
    honest = (
        "within what a perfectly calibrated judge would show"
        if m.ece.value <= m.ece.band_high
        else ("more than a perfectly calibrated judge would show: calibrate before use")
    )
    rows = (
        ("Brier", m.brier, "mean squared distance from the share of votes; 0.250 is a coin"),
        ("Log loss", m.log_loss, "surprise at the votes, in nats; 0.693 is a coin"),
    )
    lines = [Line("Calibration error (ECE)", (Cell(plain_number(m.ece.value), band, n, honesty.note),), honest)]
    for name, known, words in rows:
        shown = Cell(plain_number(known.value), plain_interval(known.low, known.high), n)
        lines.append(Line(name, (shown,), words))
    return Table("Its probabilities", ("",), tuple(lines))


def asked_again(judge: JudgeAudit, unit: str) -> Table:
    """Say whether the judge says the same when it is asked the same."""
    asked = [("Comparisons", judge.pairs.retest)] if judge.pairs else []
    asked += [(f"Ratings of {rating.criterion}", rating.retest) for rating in judge.ratings]
    words = "of all pairs of answers to one question; the distance runs from 0 to 1"
    lines = (
        Line(what, (cell(found.equal, "share", unit), cell(found.distance, "number", unit)), words)
        for what, found in asked
    )
    return Table("Asked the same again", ("The same answer", "Mean distance"), tuple(lines))


def ranks(ratings: tuple[RatingAudit, ...], unit: str) -> Table:
    """Say how far the judge's ratings rank responses as people's do."""
    words = ("ranks as they do", "ranks against them", "no rank correlation is shown")
    apart = (
        "closer to them than one person",
        "further from them than one person",
        "not shown to differ from one person",
    )
    columns = ("Judge and people", "One person and the others", "Judge and the others", "Judge’s lead")
    lines = []
    for rating in ratings:
        for rank in rating.ranks:
            found = cells((rank.judge, rank.people, rank.judge_left_out, rank.lead), "signed", unit)
            lead = which_side(rank.lead, 0.0, apart)
            said = which_side(rank.judge, 0.0, words) + (f"; {lead}" if lead else "")
            lines.append(Line(f"{rating.criterion}, {rank.group}", found, said))
    return Table("Rank correlation of ratings (Spearman)", columns, tuple(lines))


def under_stress(tests: tuple[StressTest, ...], unit: str) -> Table:
    """Say what the judge makes of texts that were changed so that they are worse, or no better."""
    worse = ("it sees that", "it prefers what was spoilt", "not shown to see it")
    no_better = ("it is not won over", "it is won over", "not shown to be moved")
    lines = []
    for test in tests:
        found = which_side(test.unchanged, 0.5, worse if test.effect == "worse" else no_better)
        numbers = (cell(test.unchanged, "share", unit), cell(test.pull, "signed", unit))
        lines.append(Line(test.name.replace("_", " "), numbers, f"{test.said}: {found}"))
    return Table(
        "Texts changed on purpose",
        ("Prefers the unchanged text", "Pull to the changed one, in logits"),
        tuple(lines),
        "50 % where it sees no difference; both orders averaged, ties count half",
    )


def effort(found: Compute, unit: str) -> Table:
    """Say what the judge's labels take, and what more votes bought."""
    lines = [Line("Tokens of a label", (cell(found.tokens, "whole", unit),), "of the request and the reply together")]
    for point in found.by_votes:
        said = "one vote" if point.votes == 1 else f"up to {point.votes} votes"
        lines.append(Line(f"Agreement after {said}", (cell(point.accuracy, "share", unit),), "on the same comparisons"))
    return Table("What it takes", ("",), tuple(lines))


def reasons(found: Faithfulness, unit: str) -> Table:
    """Say whether the judge's verdicts follow from its thoughts."""
    same = ("the thought decides little", "the thought decides", "not shown either way")
    turns = ("the verdict is read off the thought", "the verdict does not follow the thought", "not shown either way")
    return Table(
        "Whether its verdicts follow from its thoughts",
        ("",),
        (
            Line(
                "The same verdict without the thought",
                (cell(found.without, "share", unit),),
                which_side(found.without, 0.5, same),
            ),
            Line("The same after half of it", (cell(found.half, "share", unit),), which_side(found.half, 0.5, same)),
            Line(
                "Turns round where A and B change places in it",
                (cell(found.turned, "share", unit),),
                which_side(found.turned, 0.5, turns),
            ),
        ),
    )
