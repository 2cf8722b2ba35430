"""The console's pages in a real Chromium, on a wide screen and on a phone: they fit, work, and say nothing in vain.

Screenshots go to build/console.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from services.infra.ports import choose_port

ROOT = Path(__file__).resolve().parents[2]
READY = "ready"
"""What the process of `console_process` says."""

SHOTS = ROOT / "build" / "console"
WAIT_MS = 120_000
"""Longest wait for something to appear: a busy machine takes its time."""

PRESSED = {
    "rank": ("/", "Rank", "Ranked items"),
    "transfer": ("/transfer", "Show weights", "The same as a table"),
    "live": ("/live", "Publish and watch", "Visible in Rank after"),
    "compare": ("/compare", "Compare", "How alike they are"),
    "health": ("/health", "Refresh", "The standard gRPC health check"),
}
"""Path, button, and what is there afterwards."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chosen = os.environ.get("CROSSREC_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not chosen:
        pytest.fail("no Chromium: install one (chromium on PATH), or let CROSSREC_CHROMIUM name its program")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chosen, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a console on a running system."""
    port = choose_port(0, None, ())
    command = [sys.executable, "-m", "tests.outside.console_process", str(port)]
    # NiceGUI takes a process with this variable for a test of its own.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'proto' / 'gen'}"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            assert f"{READY}\n" == process.stdout.readline()
            until_it_listens(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def until_it_listens(port: int, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            continue
        return
    raise AssertionError(f"the console ended with status {process.returncode}")


@pytest.fixture(params=[1280, 390], ids=["wide", "phone"])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page whose browser may reach nothing but the console, and has nothing to complain about."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, base_url=address)
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else complaints.append(sent.url))
    yield page
    assert [] == complaints
    context.close()


def press(page: Page, name: str) -> None:
    """Open a page, press its button, and wait for what comes."""
    path, button, afterwards = PRESSED[name]
    page.goto(path)
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_text(afterwards).first).to_be_visible()


@pytest.mark.parametrize("name", PRESSED)
def test_every_page_fits_and_is_named(page: Page, name: str) -> None:
    """Nothing has to be scrolled sideways, no text is small, every input has a label; a screenshot is taken."""
    press(page, name)
    width = page.viewport_size["width"]  # type: ignore[index]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "en-GB" == page.evaluate("document.documentElement.lang")
    expect(page.get_by_role("link", name=name.capitalize(), exact=True)).to_have_attribute("aria-current", "page")
    nameless = (
        "[...document.querySelectorAll('input,textarea,[role=switch]')].filter(e => e.checkVisibility() && "
        "!e.labels?.length && !e.ariaLabel && !e.textContent.trim()).length"
    )
    assert 0 == page.evaluate(nameless)
    smallest = (
        "Math.min(...[...document.querySelectorAll('body *')].filter(e => e.childElementCount == 0 && "
        "e.textContent.trim() && e.checkVisibility()).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert page.evaluate(smallest) >= 12
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}-{width}.png", full_page=True)


def test_a_ranking_shows_bars_for_every_item_and_its_title(page: Page) -> None:
    press(page, "rank")
    expect(page.get_by_role("cell", name="Green tea tea")).to_be_visible()
    expect(page.locator("svg").get_by_text("Dust <cloth>")).to_be_visible()
    assert page.locator("svg path[fill='#0072B2']").count() >= 3


def test_a_published_event_changes_the_ranking(page: Page) -> None:
    """The item that has the event is scored otherwise than before, and the table says by how much."""
    press(page, "live")
    row = page.get_by_role("row").filter(has_text="has the event")
    expect(row).to_have_count(1)
    assert "+0.0000" not in row.inner_text()


def test_pages_are_reached_by_their_links_and_keep_what_was_chosen(page: Page) -> None:
    page.goto("/")
    page.get_by_label("User id").fill("bob")
    page.get_by_role("link", name="Transfer", exact=True).click()
    expect(page.get_by_role("button", name="Show weights")).to_be_visible()
    expect(page.get_by_label("User id")).to_have_value("bob")


def test_another_site_cannot_pose_as_the_console(page: Page, address: str) -> None:
    """A page asked for under a foreign name is refused: a browser was led here."""
    answer = page.request.get(address, headers={"host": "evil.example"})
    assert 400 == answer.status
