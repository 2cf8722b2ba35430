"""The console's pages in a real Chromium, on a wide screen and on a phone: they fit, work, and log no errors.

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
"""What the process of `console_process` prints."""

SHOTS = ROOT / "build" / "console"
WAIT_MS = 120_000
"""Longest wait for something to appear: a busy machine takes its time."""

OPENED = {
    "rank": ("/", "Ranked items"),
    "transfer": ("/transfer", "The same as a table"),
    "live": ("/live", "This is the ranking now"),
    "compare": ("/compare", "How alike they are"),
    "health": ("/health", "The standard gRPC health check"),
}
"""Path, and a text of the first answer, which the page shows unasked."""


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
    """The address of a console on a running system."""
    port = choose_port(0, None, ())
    command = [sys.executable, "-m", "tests.outside.console_process", str(port)]
    # NiceGUI takes a process with this variable for a test of its own.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    environment["PYTHONPATH"] = f"{ROOT}:{ROOT / 'proto' / 'gen'}"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            assert f"{READY}\n" == process.stdout.readline()
            wait_until_it_listens(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_until_it_listens(port: int, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            continue
        return
    raise AssertionError(f"the console ended with status {process.returncode}")


@pytest.fixture(params=[1280, 390], ids=["wide", "phone"])
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page whose browser requests nothing but the console, and logs no errors or warnings."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, base_url=address)
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page, errors = context.new_page(), list[str]()
    page.on("console", lambda entry: errors.append(entry.text) if entry.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith((address, "data:")) else errors.append(sent.url))
    yield page
    assert [] == errors
    context.close()


def visit(page: Page, name: str) -> None:
    """Open a page, and wait for its first answer and whatever else it loads."""
    path, answered = OPENED[name]
    page.goto(path)
    expect(page.get_by_text(answered).first).to_be_visible()
    expect(page.locator(".q-spinner")).to_have_count(0)


@pytest.mark.parametrize("name", OPENED)
def test_every_page_fits_and_is_labelled(page: Page, name: str) -> None:
    """Nothing has to be scrolled sideways, no text is small, every input has a label; a screenshot is taken."""
    visit(page, name)
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
    visit(page, "rank")
    expect(page.get_by_role("cell", name="Green tea tea")).to_be_visible()
    expect(page.locator("svg").get_by_text("Dust <cloth>")).to_be_visible()
    assert page.locator("svg path[fill='#0072B2']").count() >= 3


def test_the_button_asks_again_with_what_the_form_holds(page: Page) -> None:
    visit(page, "rank")
    page.get_by_label("User id").fill("nobody")
    page.get_by_role("button", name="Rank", exact=True).click()
    expect(page.get_by_text("Unknown user").first).to_be_visible()
    expect(page.get_by_text("Ranked items").first).to_be_visible()


def test_a_published_event_changes_the_ranking(page: Page) -> None:
    """The item that has the event is scored otherwise than before, and the table shows by how much."""
    visit(page, "live")
    page.get_by_role("button", name="Publish and watch", exact=True).click()
    expect(page.get_by_text("Visible in Rank after").first).to_be_visible()
    row = page.get_by_role("row").filter(has_text="has the event")
    expect(row).to_have_count(1)
    assert "+0.0000" not in row.inner_text()


def test_pages_are_reached_by_their_links_and_keep_the_chosen_values(page: Page) -> None:
    page.goto("/")
    page.get_by_label("User id").fill("bob")
    page.get_by_role("link", name="Transfer", exact=True).click()
    expect(page.get_by_role("button", name="Show shares")).to_be_visible()
    expect(page.get_by_label("User id")).to_have_value("bob")


def test_requests_with_another_host_name_are_rejected(page: Page, address: str) -> None:
    """Another site's name may resolve to this address (DNS rebinding)."""
    answer = page.request.get(address, headers={"host": "evil.example"})
    assert 400 == answer.status
