"""The pages as a browser shows them: whole on any screen, with the numbers of JSON, and nothing runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import pytest
from tests.browser import DESKTOP, PHONE, Browser, brightness, chromium, contrast
from tests.desks import Acme
from tests.policies import DATA
from tests.policy.test_report import DAY, HOUR, MINUTE, Happened
from tests.policy.test_reviewing import run, said
from tests.real import write_config

from handrail.durations import rough_duration
from handrail.testing import Clock

HOSTILE = (
    "<script>window.ran = 1; document.title = 'ran'</script>",
    '<img src="x" onerror="window.ran = 1">',
    '</style></title></svg></table><iframe srcdoc="<script>parent.ran = 1</script>"></iframe>',
    '<a href="javascript:window.ran=1">javascript:window.ran=1</a>',
    '"\' onmouseover="window.ran=1" onfocus=\'window.ran=1\' autofocus x="',
)
REORDERED = "photo\u202egpj.exe"
OTHER = "<svg onload=window.ran=1>.toml"
POLICY = """
[[triggers]]
name = "asked"
when = "asked_for_human"
reason = "customer_request"
group = {hostile}

[[triggers]]
name = "lost-luggage"
when = 'topic != "none"'
reason = "unclear"
group = "second-line"
urgency = "high"

[[triggers]]
name = "long-talk"
when = "turns >= {turns}"
reason = "unclear"
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


class Shown:
    """A page that the command line wrote, and what it printed as JSON of the same."""

    def __init__(self, folder: Path, *args: str) -> None:
        self.path = folder / "page.html"
        self.json = json.loads(run(*args, "--html", str(self.path), "--json").stdout)


def replayed(folder: Path, file: Path) -> Shown:
    for name, turns in (("first.toml", 8), (OTHER, 3)):
        (folder / name).write_text(POLICY.format(hostile=json.dumps(HOSTILE[0]), turns=turns))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return Shown(folder, "replay", str(file), "--policy", "first.toml", "--against", OTHER)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The replay of conversations in which all are hostile: customers, and the model that names topics."""
    start = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    conversations = [
        said(f"c-{number}", *["Hello", "Yes?"] * (number % 4), f"{text} I want a human")
        for number, text in enumerate((*HOSTILE, REORDERED), 1)
    ]
    conversations += [said(f"t-{n}", "My bag", transferred=n == 0) | {"topic": HOSTILE[n]} for n in range(3)]
    conversations += [said("long", *["My bag", "Where?"] * 9), said("missed", REORDERED, transferred=True)]
    for number, conversation in enumerate(conversations):
        for message in conversation["messages"]:
            message["at"] = (start + timedelta(hours=number)).isoformat()
    folder = tmp_path_factory.mktemp("small")
    file = folder / "<img src=x onerror='window.ran=1'>.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in conversations))
    return replayed(folder, file)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    if not DATA.exists():
        pytest.skip("the real conversations (../shared/data) are not here")
    return replayed(tmp_path_factory.mktemp("real"), DATA)


def live(happened: Happened, number: int) -> None:
    """One handoff, and what people did with it; on some days there is none, and some answers are late."""
    happened.clock.advance(DAY if number % 6 == 0 else MINUTE)
    happened.clock.advance(DAY if number % 12 == 0 else HOUR)
    handoff = happened.handoff(
        state="solved" if number % 2 else "with_humans",
        due=2 * HOUR,
        trigger=("long-talk", HOSTILE[1], None)[number % 3],
        group=(HOSTILE[2], "second-line-escalations", "billing", None)[number % 4],
        conversation={"fields": {HOSTILE[3]: "ORD-1182"}},
    )
    happened.update(handoff, "created", MINUTE, group="Support")
    if number % 3 == 0:
        happened.update(handoff, "assignment", HOUR, group=HOSTILE[4])
    if number % 7:
        happened.update(handoff, "reply", (1 + number % 5) * HOUR, text="Which order?")
        happened.update(handoff, "customer_message", 7 * HOUR, text="ORD-1182")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The report on two weeks at a desk that calls its groups by hostile names."""
    folder = tmp_path_factory.mktemp("report")
    store = f"sqlite:///{folder}/handrail.db"
    config = write_config(folder, store, {"connector": "acme", "url": "http://127.0.0.1:9"})
    config.write_text(config.read_text() + POLICY.format(hostile=json.dumps(HOSTILE[0]), turns=8))
    happened = Happened(store)
    happened.clock = Clock(datetime.now(UTC) - 20 * DAY)
    for number in range(48):
        live(happened, number)
    happened.store.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handrail.plugins.connectors", lambda: {"acme": Acme})
        return Shown(folder, "report", "--config", str(config))


@pytest.fixture(params=["small", "real", "report"])
def shown(request: pytest.FixtureRequest) -> Shown:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Shown)
    return found


def number(text: str) -> float:
    return float(text.replace(",", "") or 0)


def test_every_chart_is_drawn_as_large_as_its_numbers_are(browser: Browser, shown: Shown) -> None:
    browser.open(shown.path)
    charts, tables = browser.charts(), browser.tables()

    assert len(charts) >= 6
    for chart in charts:
        head, *rows = tables[chart["title"]]
        side = "height" if chart["kind"] == "columns" else "width"
        kinds = sorted({bar["kind"] for bar in chart["bars"]})
        places = dict(zip(("first", "second"), (1, 3) if "ended" in head else (1, 2), strict=True))
        sizes = {kind: [bar[side] for bar in chart["bars"] if bar["kind"] == kind] for kind in kinds}
        values = {kind: [number(row[places[kind]]) for row in rows] for kind in kinds}
        scale = max(map(max, sizes.values())) / max(map(max, values.values()))

        assert chart["box"]["width"] > 500
        assert chart["box"]["height"] > 30
        assert scale > 0
        for kind in kinds:
            assert sizes[kind] == pytest.approx([scale * value for value in values[kind]], abs=0.6)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_nothing_is_cut_off_or_written_over_on_any_screen(browser: Browser, shown: Shown, width: int) -> None:
    browser.open(shown.path, width)

    assert browser.run("return innerWidth") == width
    assert browser.run("return document.documentElement.scrollWidth") <= width
    for chart in browser.charts():
        assert len(chart["texts"]) >= 2
        for text in chart["texts"]:
            assert text["left"] >= 0, text
            assert text["right"] <= width, text
            assert text["height"] >= 12, f"{text} is too small to be read"
        for one, other in combinations(chart["texts"], 2):
            beside = min(one["right"], other["right"]) <= max(one["left"], other["left"])
            assert beside or min(one["bottom"], other["bottom"]) <= max(one["top"], other["top"]) + 2, (
                one,
                other,
            )
    assert browser.broken_words(14) == []


def test_what_does_not_fit_a_phone_is_reached_by_scrolling_beside_its_name(
    browser: Browser, report: Shown
) -> None:
    browser.open(report.path, PHONE)
    name, last, edge = browser.run(
        """
        const wide = document.querySelector('table[aria-label="By group"]').parentElement;
        const row = wide.querySelector('tbody tr').cells;
        wide.scrollLeft = 10_000;
        return [row[0], row[row.length - 1], wide].map(node => node.getBoundingClientRect())
        """
    )

    assert name["left"] == edge["left"]
    assert name["right"] < last["left"]
    assert last["right"] <= edge["right"] + 1


def test_a_folded_table_opens(browser: Browser, report: Shown) -> None:
    browser.open(report.path)
    seen = "return document.querySelector('details table').checkVisibility({visibilityProperty: true})"

    assert browser.run(seen) is False
    browser.click("summary")
    assert browser.run(seen) is True


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_nothing_is_fetched_and_the_console_stays_empty(browser: Browser, shown: Shown, width: int) -> None:
    browser.open(shown.path, width)
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")

    assert browser.run("return performance.getEntriesByType('resource').map(each => each.name)") == []
    assert browser.requests() == [shown.path.as_uri()]
    assert browser.complaints() == []


def test_hostile_text_is_seen_as_text_and_never_runs(browser: Browser, shown: Shown) -> None:
    browser.open(shown.path)
    for event in ("mouseover", "focus", "click", "error", "load"):
        browser.run(
            "for (const node of document.querySelectorAll('*')) node.dispatchEvent(new Event(arguments[0]))",
            event,
        )
    inside = "script, iframe, img, a, object, embed, link, base, form, input, [href], [src], [style]"
    handlers = """
        return [...document.querySelectorAll('*')].flatMap(node => node.getAttributeNames())
          .filter(name => name.startsWith('on') || name === 'autofocus')
    """

    assert browser.run("return document.title").startswith("Handrail: ")
    assert browser.run("return window.ran") is None
    assert (
        browser.run("return [...document.querySelectorAll(arguments[0])].map(n => n.outerHTML)", inside) == []
    )
    assert browser.run(handlers) == []


def test_hostile_words_can_be_read_whole(browser: Browser, small: Shown, report: Shown) -> None:
    browser.open(small.path)
    read = browser.run("return document.body.innerText")
    for text in HOSTILE:
        assert text in read
    browser.open(report.path)
    read = browser.run("return document.body.innerText")
    for text in HOSTILE[1:]:
        assert text in read


def test_a_mark_that_reorders_text_reorders_nothing(browser: Browser, small: Shown) -> None:
    browser.open(small.path)
    places = browser.run(
        """
        const cell = [...document.querySelectorAll('td')].find(node => node.textContent.includes('gpj.exe'));
        const range = document.createRange(), start = cell.textContent.indexOf('gpj.exe');
        return [...'gpj.exe'].map((_, place) => {
          range.setStart(cell.firstChild, start + place); range.setEnd(cell.firstChild, start + place + 1);
          return range.getBoundingClientRect().left });
        """
    )

    assert places == sorted(places)
    assert len(set(places)) == 7


def test_the_page_lets_no_script_run_and_no_picture_load(browser: Browser, small: Shown) -> None:
    browser.open(small.path)
    refused = browser.later(
        """
        const done = arguments[0], refused = [];
        document.addEventListener('securitypolicyviolation', event => {
          refused.push(event.effectiveDirective);
          if (refused.length === 2) done([window.ran ?? null, ...refused.sort()]);
        });
        const script = document.createElement('script');
        script.textContent = 'window.ran = 1';
        const image = document.createElement('img');
        image.src = 'http://127.0.0.1:9/x.png';
        document.body.append(script, image);
        """
    )

    assert refused == [None, "img-src", "script-src-elem"]


def test_charts_and_tables_have_names_for_those_who_do_not_see_them(browser: Browser, shown: Shown) -> None:
    browser.open(shown.path)
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    titles = [chart["title"] for chart in browser.charts()]
    images = browser.accessible("image")

    assert [name.rpartition(": ")[0] for name, _ in images] == titles
    for name, _ in images:
        assert name.endswith("entries; the table below has the numbers")
    assert set(titles) <= {name for name, _ in browser.accessible("table")}
    assert {name for name, _ in browser.accessible("heading")} >= set(titles)
    assert len(browser.accessible("rowheader")) == sum(len(rows) - 1 for rows in browser.tables().values())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_light_and_in_the_dark(browser: Browser, shown: Shown, scheme: str) -> None:
    browser.open(shown.path, scheme=scheme)
    texts = browser.colours(
        "h1", "h2", "li", "p", "code", "th", "td", "summary", "figcaption span", "svg text"
    )
    bars = browser.colours("svg .first", "svg .second")
    paper = brightness(browser.colours("h1")[0]["paper"])

    assert paper > 0.9 if scheme == "light" else paper < 0.05
    assert len(texts) > 15
    assert {each["name"] for each in texts if contrast(each["ink"], each["paper"]) < 4.5} == set()
    assert {each["name"] for each in bars} == {"svg .first", "svg .second"}
    assert {each["name"] for each in bars if contrast(each["ink"], each["paper"]) < 3} == set()


@pytest.mark.parametrize("page", ["small", "real"])
def test_a_replay_prints_the_numbers_of_its_json(
    browser: Browser, page: str, request: pytest.FixtureRequest
) -> None:
    shown: Shown = request.getfixturevalue(page)
    browser.open(shown.path)
    tables, summary = browser.tables(), shown.json["summary"]
    first, second = summary["policy"], summary["against"]
    lines = browser.run("return [...document.querySelectorAll('li')].map(node => node.textContent)")

    for side in (first, second):
        counted = f"{side['escalated']} of {summary['conversations']} conversations would escalate"
        assert any(line.startswith(f"{side['policy']}: {counted}") for line in lines)
        assert f"{side['policy']} misses {side['misses']}" in lines
    for title, rows in tables.items():
        name = title.partition(":")[0].removeprefix("By ").removesuffix(" (UTC)")
        if title.startswith("By "):
            told = {row[0]: tuple(map(int, row[1:])) for row in rows[1:]}
            before, after = (dict(side[f"by_{name}"]) for side in (first, second))
            keys = dict.fromkeys([*before, *after])
            expected = {key: (before.get(key, 0), after.get(key, 0)) for key in keys}
            assert {key: counts[:2] for key, counts in told.items() if any(counts[:2])} == {
                key: counts for key, counts in expected.items() if any(counts)
            }
            assert all(counts[2] == counts[1] - counts[0] for counts in told.values())
    assert sum(title.startswith("By ") for title in tables) >= 6


def roughly(seconds: int | None) -> str:
    return "" if seconds is None else rough_duration(seconds)


def test_a_report_prints_the_numbers_of_its_json(browser: Browser, report: Shown) -> None:
    browser.open(report.path)
    tables, found = browser.tables(), report.json
    keys = ["handoffs", "ended", "solved_without_human_reply", "rerouted", "answered"]
    times = ["first_answer_median", "first_answer_p90"]

    assert len({found["all"][key] for key in keys}) == len(keys), "no two columns can be mistaken"
    for name in ("trigger", "group", "desk", "reason", "urgency"):
        expected = [
            [row[name], *(str(row[key]) for key in keys), *(roughly(row[key]) for key in times)]
            for row in found[f"by_{name}"]
        ]
        assert [row[:8] for row in tables[f"By {name}"][1:]] == expected
    days = {day: int(count) for day, count in tables["By day"][1:]}
    assert {day: count for day, count in days.items() if count} == {
        row["day"]: row["handoffs"] for row in found["by_day"]
    }
    assert 0 in days.values(), "a day without handoffs has its place"
    commands = browser.run("return [...document.querySelectorAll('pre')].map(node => node.textContent)")
    assert commands == [each["command"] for each in found["findings"]]
    assert commands
