"""The status page of a real daemon in a real browser."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from browser.scenes import backlog, daemon, partner_down
from support.system_fixtures import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

HOSTILE = (
    "<script>alert(1)</script>.csv",
    "<img src=x onerror=alert(1)>.csv",
    '"><svg onload=alert(1)>.csv',
    "' onfocus='alert(1)' autofocus x='.csv",
    "javascript:alert(1).csv",
    "&lt;b&gt;&#x3c;.csv",
    "{{7*7}}${7*7}.csv",
)
TOKEN = "0123456789-browser-token"
CONTROL = "line\nbreak\x1b[31m\u202egpj.csv"


def headline(window):
    return window.inner_text("#headline")


def mood(window):
    return window.get_attribute("#mood", "class")


def table(window, name):
    """Return the cells of a section's table, by row."""
    return [row.locator("th,td").all_inner_texts() for row in window.locator(f"#{name} tbody tr").all()]


def accessibility_problems(window):
    """Return axe-core's findings against WCAG 2.2 AA and its own best practices."""
    found = Axe().run(window, options={"resultTypes": ["violations"]}).response["violations"]
    return [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


def test_everything_delivered_is_green(calm, window):
    """When everything is delivered the headline says so in green, and so do the tab's title and icon."""
    here = window()
    here.goto(calm.url)
    until(lambda: headline(here) == "Everything is delivered.")
    assert here.title() == "Everything is delivered. - Crosshaul"
    assert mood(here) == "good"
    assert here.request.get(calm.url.rstrip("/") + here.get_attribute("#icon", "href")).ok
    assert here.locator("#problems").count() == 0
    assert table(here, "destinations")[0][:2] == ["partner", "ready"]
    assert re.fullmatch(r"valid for 5\d min( \d+ s)?", table(here, "destinations")[0][2])
    assert [row[0] for row in table(here, "routes")] == ["exports", "invoices"]


def test_a_backlog_shows_uploads_pending_and_quarantined_files(tmp_path, window):
    """A backlog has a bar for each multipart upload, the oldest pending files, and quarantined files with advice."""
    with backlog(tmp_path) as stage:
        here = window()
        here.goto(stage.url)
        assert re.match(r"1 file quarantined\. \d+ files to go", headline(here))
        assert mood(here) == "warn"
        bars = here.locator("#uploading progress")
        assert bars.count() >= 1
        assert re.fullmatch(r"\d+ % \(\d+ of 12 parts\)", bars.first.get_attribute("aria-label"))
        until(lambda: int(here.locator("#uploading progress").first.get_attribute("value")) > 0)
        (row,) = table(here, "quarantined")
        assert row[0].endswith("4711.pdf")
        assert "is already used by" in row[2]
        assert "crosshaul retry" in row[3]
        assert len(table(here, "pending")) == 10
        assert accessibility_problems(here) == []


def test_a_partner_that_is_down_is_red_with_error_and_hint(tmp_path, window):
    """When the partner does not respond, the page is red, with the error, a hint, and that no file is lost."""
    with partner_down(tmp_path) as stage:
        here = window()
        here.goto(stage.url)
        until(lambda: mood(here) == "bad")
        assert headline(here) == "Nothing gets through to partner. 7 files pending."
        assert "can't connect to" in here.inner_text("#problems")
        assert "crosshaul check --destination partner" in here.inner_text("#problems")
        assert "No file is lost" in here.inner_text("#problems")
        assert table(here, "destinations")[0][1] == "unreachable"
        assert accessibility_problems(here) == []


def test_it_keeps_itself_up_to_date_without_a_reload(tmp_path, window):
    """The page shows new deliveries without a reload, and keeps the focus and unchanged sections."""
    with daemon(tmp_path) as stage:
        stage.deliver("a")
        here = window()
        here.goto(stage.url)
        here.evaluate("window.mark = 1; document.getElementById('quarantined').mark = 1")
        here.focus("#routes-w")
        stage.deliver("a", "b", "c")
        until(lambda: "3 files" in here.inner_text("#summary"))
        assert here.evaluate("[window.mark, document.getElementById('quarantined').mark]") == [1, 1]
        assert here.evaluate("document.activeElement.id") == "routes-w"
        assert "updated every" in here.inner_text("#fresh")


def test_a_daemon_that_does_not_answer_is_red(tmp_path, window, troubles):
    """When the daemon no longer answers, a red headline says that the figures are old."""
    with daemon(tmp_path) as stage:
        stage.deliver("a")
        here = window()
        here.goto(stage.url)
        until(lambda: headline(here) == "Everything is delivered.")
        stage.daemon.kill()
        until(lambda: mood(here) == "bad")
        assert "The figures below are old" in headline(here)
        assert here.title().startswith("No answer from the daemon")
        troubles[:] = [each for each in troubles if "ERR_CONNECTION_REFUSED" not in each]


def test_without_scripts_the_essentials_are_there(calm, window):
    """Without scripts the page has headline, figures, charts and tables, and reloads."""
    here = window(java_script_enabled=False)
    here.goto(calm.url)
    until(lambda: headline(here) == "Everything is delivered.")
    assert here.locator("#summary dd").count() == 5
    assert here.locator("#history figure").count() == 3
    assert here.locator("table").count() >= 2
    first = here.inner_text("#fresh")
    until(lambda: here.inner_text("#fresh") != first)


@pytest.mark.parametrize("scripts", [True, False])
def test_names_of_files_are_text(tmp_path, window, scripts):
    """Names with markup and control characters are shown as text: no script runs."""
    with daemon(tmp_path) as stage:
        stage.account.fault("stall", "PutObject", rule={"times": None})
        for name in (*HOSTILE, CONTROL):
            (stage.site.root / name.replace("/", "\u2215")).write_bytes(b"x")
        until(lambda: stage.site.status()["uploading"] == len(HOSTILE) + 1)
        here = window(java_script_enabled=scripts)
        here.goto(stage.url)
        shown = {row[0] for row in table(here, "uploading")}
        assert {name.replace("/", "\u2215") for name in HOSTILE} <= shown
        assert "line\\nbreak\\x1b[31m\\u202egpj.csv" in shown
        assert here.locator("main script, main img, main [onfocus], main [onload], #uploading svg").count() == 0
        if scripts:
            until(lambda: "updated every" in here.inner_text("#fresh"))
            assert {row[0] for row in table(here, "uploading")} == shown


def test_the_policy_blocks_injected_markup(calm, window, troubles):
    """The content security policy blocks the script and the picture of injected markup."""
    here = window()
    here.goto(calm.url)
    here.evaluate(
        "document.getElementById('main').innerHTML = '<img src=http://127.0.0.1:1/ onerror=\"window.ran = 1\">'"
    )
    until(lambda: any("violates the following Content Security Policy" in each for each in troubles))
    assert here.evaluate("window.ran") is None
    troubles.clear()


def test_keyboard_focus_is_visible_everywhere(calm, window):
    """Tab moves through tables and links in the page's order, each with a visible outline."""
    here = window()
    here.goto(calm.url)
    reached = []
    for _ in range(20):
        here.keyboard.press("Tab")
        name = here.evaluate("document.activeElement.id || document.activeElement.textContent")
        if here.evaluate("document.activeElement === document.body") or name in reached:
            break
        assert here.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", name
        reached.append(name)
    assert reached == ["destinations-w", "routes-w", "status.json", "metrics"]


def test_a_screen_reader_gets_landmarks_headings_and_labels(calm, window):
    """The page has landmarks, a heading per section, row and column headers, and a label per chart."""
    here = window()
    here.goto(calm.url)
    for landmark in ("banner", "main", "contentinfo", "navigation"):
        assert here.get_by_role(landmark).count() == 1, landmark
    assert here.get_by_role("heading", level=1).all_inner_texts() == ["Crosshaul"]
    assert here.get_by_role("heading", level=2).count() == here.locator("main > section:not(#summary)").count()
    assert here.get_by_role("status").inner_text() == headline(here)
    assert here.get_by_role("columnheader").count() == here.locator("thead th").count() > 0
    assert here.get_by_role("rowheader").count() == here.locator("tbody tr").count() > 0
    until(lambda: here.get_by_role("img").count() == 3)
    spoken = [each.get_attribute("aria-label") for each in here.get_by_role("img").all()]
    assert re.match(r"Rate over the last .+: now .+/s, at most .+/s\.", spoken[0])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(calm, window, scheme, width):
    """In light and dark, on a phone and a desktop, axe-core finds no barrier and nothing overflows."""
    here = window(color_scheme=scheme, viewport={"width": width, "height": 800})
    here.goto(calm.url)
    assert accessibility_problems(here) == []
    assert here.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dark = here.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    assert dark == (scheme == "dark")


@pytest.fixture
def guarded(tmp_path):
    """A daemon with a token that has delivered a file."""
    with daemon(tmp_path, token=TOKEN) as stage:
        stage.deliver("a")
        yield stage


def test_without_the_token_a_browser_gets_no_page(guarded, window, troubles):
    """A wrong password opens nothing."""
    here = window(http_credentials={"username": "anybody", "password": TOKEN[:-1]})
    assert here.goto(guarded.url).status == 401
    assert "Crosshaul" not in here.content()
    troubles[:] = [each for each in troubles if "401" not in each]


def test_the_token_as_the_password_opens_the_page(guarded, window):
    """A password that is entered once opens the page, style, script and every later fetch."""
    here = window(http_credentials={"username": "anybody", "password": TOKEN})
    here.goto(guarded.url)
    until(lambda: headline(here) == "Everything is delivered.")
    until(lambda: "updated every" in here.inner_text("#fresh"))
