"""`report.html`: whole, sealed, escaped, and opened in a browser."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_run
import pytest
from made_up_sweep import RUN, Event, begin, end, epoch, failed, many, program

from bench.record import Results
from bench.report import views
from bench.report.charts import lines, static
from bench.report.charts.static import Drawn, draw
from bench.report.material import Material, gather
from bench.report.page import page
from bench.report.page.pack import Packed
from bench.report.reports import reports
from bench.report.sections import Choice
from bench.report.table import Column, Table
from bench.trial import Trial

Read = Callable[[list[Event]], Results]
STRANGE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&\"'"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")


@pytest.fixture(scope="module")
def vega() -> str:
    return draw({}).bundle


def written(results: Results, bundle: str = "window.vegaEmbed = null;") -> str:
    return reports(Material(results), Drawn(bundle=bundle))["report.html"].decode()


def packed(text: str) -> dict[str, Any]:
    """What a page holds for its charts."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def unpacked(part: Any, content: dict[str, Any]) -> Any:
    """As `page.js` does it."""

    def column(number: int) -> list[Any]:
        found = content["columns"][number]
        return found if isinstance(found, list) else [found["levels"][n] for n in found["at"]]

    if isinstance(part, list):
        return [unpacked(item, content) for item in part]
    if not isinstance(part, dict):
        return part
    whole = {name: unpacked(value, content) for name, value in part.items() if name != "data"}
    if "data" in part:
        columns = {name: column(number) for name, number in part["data"].items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        whole["data"] = {"values": rows}
    return whole


def test_charts_come_out_as_they_were_put_in() -> None:
    rows = [{"e": e, "y": (e + n) / 7, "t": f"t{n}"} for n in range(9) for e in range(9)]
    one, other = lines(rows, "e", "y", "t"), lines(rows, "e", "t", "t")
    table = Table("", (Column("a"), Column("b", right=True)), (("x", "1"), ("y", "2")))
    store = Packed()
    assert (store.chart(one), store.choice(Choice(("k",), {("v",): (other,)}))) == (0, 0)
    assert store.rows(table) == 0
    content = json.loads(json.dumps(store.content()))
    assert unpacked(content["charts"], content) == [one, other]
    assert content["choices"] == [{"names": ["k"], "charts": [{"of": ["v"], "charts": [1]}]}]
    assert [column["name"] for column in content["rows"][0]["columns"]] == ["a", "b"]
    # Epochs and trials are in both charts, and once in the page.
    assert len(content["columns"]) == 3 + 2


def test_nothing_in_it_asks_a_network(read: Read, events: list[Event], vega: str) -> None:
    text = written(read(events), vega)
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!#)[a-z]+:""", text.replace(vega, ""))
    assert "<link" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_what_a_journal_says_is_text(read: Read) -> None:
    trial = Trial("0" * 12, {"optimizer": STRANGE, "epochs": 1})
    other = Trial("1" * 12, {"optimizer": "adam", "epochs": 1, STRANGE: 1})
    run = {**RUN, "axes": ["optimizer", STRANGE]}
    run["data"] = {**RUN["data"], "name": STRANGE, "class_names": [STRANGE], "licence": STRANGE}
    told = [run, program("p"), begin(trial, "p"), epoch(trial, 1, 0.5), end(trial)]
    text = written(read([*told, begin(other, "p"), epoch(other, 1, 0.6), *failed(other, STRANGE)]))
    assert "<img" not in text
    assert "alert(1)</script>" not in text
    assert text.count("</script>") == 3  # the data, Vega, the page's own
    assert STRANGE in json.dumps(packed(text), ensure_ascii=False).replace('\\"', '"')
    assert html.escape(STRANGE) in text


def test_code_cannot_end_its_element() -> None:
    text = page("t", "l", [], bundle='a = "</script><!--"')
    assert 'a = "<\\/script><\\!--"' in text


def test_without_vega_the_page_says_so(read: Read, events: list[Event]) -> None:
    found = reports(Material(read(events)), Drawn(why="drawing failed (no V8)"))
    assert b"The charts are left out of this page: drawing failed (no V8)." in found["report.html"]
    assert b"Not all pictures are here: drawing failed (no V8)." in found["report.md"]


def test_a_process_that_dies_takes_nothing_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for code, words in (
        ("import os; os.abort()", "SIGABRT"),
        ("raise SystemExit('no memory')", "no memory"),
        ("print('{')", "Expecting"),
    ):
        (tmp_path / "draw.py").write_text(code)
        monkeypatch.setattr(static, "_DRAW", tmp_path / "draw.py")
        drawn = draw({})
        assert (drawn.svg, drawn.bundle) == ({}, "")
        assert words in drawn.why


def test_a_chart_that_cannot_be_drawn_leaves_the_others(tmp_path: Path) -> None:
    good = lines([{"x": 1, "y": 2, "s": "a"}], "x", "y", "s")
    drawn = draw({"good": good, "bad": {**good, "transform": [{"filter": "("}]}})
    assert list(drawn.svg) == ["good"]
    assert "bad" in drawn.why


def test_vega_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = draw({}).bundle
    [kept] = (tmp_path / "convoy").iterdir()
    assert kept.read_text() == first
    kept.write_text("kept")
    assert draw({}).bundle == "kept"


def test_pictures_are_linked_from_the_report(
    read: Read, events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "draw", draw)
    views.write_views(tmp_path, read(events))
    report = (tmp_path / "report.md").read_text()
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", report)
    assert len(linked) >= 8
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        Path(path).name for path in linked
    }
    assert all((tmp_path / path).read_text().startswith("<svg") for path in linked)


class Browser:
    """Chromium without a window and without a network."""

    def __init__(self, folder: Path):
        self.folder = folder

    def open(self, text: str, *flags: str) -> tuple[str, list[str]]:
        """The page as it is after a while, and what its console said."""
        path = self.folder / "page.html"
        path.write_text(text)
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={self.folder / 'profile'}", "--enable-logging=stderr",
            "--window-size=1280,900", "--virtual-time-budget=30000", "--dump-dom", *flags,
            path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    made_up_run.write(tmp_path, made_up_run.digits())
    return gather(tmp_path, Results.read(tmp_path))


def section(dom: str, title: str) -> str:
    found = re.search(rf"<section id=\"s\d+\"><h2>{title}</h2>(.*?)</section>", dom, re.DOTALL)
    assert found, title
    return found[1]


@pytest.mark.slow
@needs_chromium
def test_every_section_is_filled_in_a_browser(
    browser: Browser, material: Material, vega: str
) -> None:
    text = reports(material, Drawn(bundle=vega))["report.html"].decode()
    dom, console = browser.open(text)
    assert console == []
    figures = {
        "Learning curves": 2, "Effect of each axis": 4, "Two axes together": 1, "Parallel coordinates": 1,
        "Accuracy and cost": 2, "Fit": 1, "First layer": 1, "Confusion": 2, "Timing": 3,
    }  # fmt: skip
    for title, count in figures.items():
        shown = section(dom, title)
        assert shown.count("<canvas") == shown.count("<figure") == count, title
    assert (
        section(dom, "Trials").count("<tr") == 1 + 48 + 2
    )  # heading, trials, what is above and below
    assert len(re.findall(r"<select", dom)) == 3
    assert 'data-theme="light"' in dom
    dark, console = browser.open(text, "--blink-settings=preferredColorScheme=0")
    assert 'data-theme="dark"' in dark
    assert console == []


READER = """
<pre id="found"></pre><script>
const first = (n) => document.querySelectorAll(".rows tbody tr")[1].cells[n].textContent;
const heads = [...document.querySelectorAll(".rows th")], found = {};
const click = (name) => heads.find((head) => head.textContent === name).click();
click("test loss"); found.least = first(0);
click("test loss"); found.most = first(0);
const input = document.querySelector(".rows input");
input.value = "adam 0.003"; input.oninput();
found.count = document.querySelector(".rows .picker span").textContent;
const [, x, y] = document.querySelectorAll("select");
y.value = x.value; y.onchange(); found.same = y.closest(".choice").lastChild.textContent;
y.value = "learning rate"; x.value = "optimizer"; x.onchange();
found.chart = y.closest(".choice").querySelectorAll("figure").length;
document.getElementById("theme").click(); found.theme = document.documentElement.dataset.theme;
document.getElementById("found").textContent = JSON.stringify(found);
</script></body>"""


@pytest.mark.slow
@needs_chromium
def test_a_reader_sorts_searches_and_chooses(
    browser: Browser, material: Material, vega: str
) -> None:
    text = reports(material, Drawn(bundle=vega))["report.html"].decode()
    dom, console = browser.open(READER.join(text.rsplit("</body>", 1)))
    assert console == []
    told = re.search(r'<pre id="found">(.*?)</pre>', dom)
    assert told
    # The best of 48 has the least loss; the first of those that have the greatest is the 46th.
    assert json.loads(html.unescape(told[1])) == {
        "least": "1",
        "most": "46",
        "count": "3 found",
        "same": "Choose two that differ.",
        "chart": 1,
        "theme": "dark",
    }


RETURNING = """
<pre id="found"></pre><script>
const heads = [...document.querySelectorAll(".rows th")];
const input = document.querySelector(".rows input"), [, x, y] = document.querySelectorAll("select");
if (!sessionStorage.getItem("came before")) {
  sessionStorage.setItem("came before", "yes");
  const head = heads.find((head) => head.textContent === "test loss");
  head.click(); head.click();
  input.value = "adam 0.003"; input.oninput();
  x.value = "optimizer"; x.onchange(); y.value = "learning rate"; y.onchange();
  document.getElementById("theme").click();
  location.reload();
} else {
  const sorted = heads.filter((head) => head.ariaSort).map((head) => [head.textContent, head.ariaSort]);
  const found = [sorted, input.value, document.querySelector(".rows .picker span").textContent,
                 x.value, y.value, y.closest(".choice").querySelectorAll("figure").length,
                 document.documentElement.dataset.theme];
  document.getElementById("found").textContent = JSON.stringify(found);
}
</script></body>"""


@pytest.mark.slow
@needs_chromium
def test_what_a_reader_chose_outlives_a_reload(
    browser: Browser, material: Material, vega: str
) -> None:
    text = reports(material, Drawn(bundle=vega))["report.html"].decode()
    dom, console = browser.open(RETURNING.join(text.rsplit("</body>", 1)))
    assert console == []
    told = re.search(r'<pre id="found">(.+?)</pre>', dom)
    assert told
    sorted_by, chosen = [["test loss", "descending"]], ["optimizer", "learning rate", 1, "dark"]
    assert json.loads(html.unescape(told[1])) == [sorted_by, "adam 0.003", "3 found", *chosen]


@pytest.mark.slow
@needs_chromium
def test_strange_names_run_nothing(browser: Browser, read: Read, vega: str) -> None:
    trials = [Trial(f"{n:012x}", {"optimizer": f"{STRANGE}{n % 2}", "epochs": 1}) for n in range(4)]
    told: list[Event] = [{**RUN, "axes": ["optimizer"]}, program("p")]
    for number, trial in enumerate(trials):
        told += [begin(trial, "p"), epoch(trial, 1, number / 4), end(trial)]
    dom, console = browser.open(written(read(told), vega))
    assert console == []
    assert "<img" not in re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
    assert "<canvas" in section(dom, "Effect of each axis")


@pytest.mark.slow
@needs_chromium
def test_ten_thousand_trials_are_fifty_rows_and_few_bytes(browser: Browser, vega: str) -> None:
    results = Results()
    for event in many(10_000):
        results.add(event)
    text = written(results, vega)
    assert len(text.encode()) < 20e6
    dom, console = browser.open(text)
    assert console == []
    assert section(dom, "Trials").count("<tr") <= 1 + 50 + 2
    assert section(dom, "Effect of each axis").count("<canvas") == 4
