"""The console as a person meets it: in Chromium, at three widths, with hostile values and ten thousand messages."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from copy import replace
from dataclasses import dataclass

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from ops.console.app import create_app
from ops.console.server import listen, serve
from tests.ops.desks import HOSTILE, REPORT, FakeDesk, processed, story, waiting
from tests.reconcile.browser import chromium, resize

TOKEN = "a-token-of-this-test"
PAGES = ["/", "/parked", "/parked?reason=mapping_error", "/parked/3", "/record?entity=asset&key=A-00003", "/drift"]
PAGES += [f"/drift/{REPORT}", "/faults", "/nowhere"]


@dataclass
class Served:
    """A console in a thread of its own, over a desk in memory."""

    desk: FakeDesk
    url: str

    def fill(self, count: int) -> None:
        self.desk.down = ""
        self.desk.sent.clear()
        self.desk.messages = {number: waiting(number) for number in range(1, count + 1)}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    desk = FakeDesk()
    desk.processed = processed(400)
    listener = listen(0)
    port = listener.getsockname()[1]
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    app = create_app(desk, token=TOKEN, port=port)
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(app, listener, stop),), daemon=True)
    thread.start()
    yield Served(desk, f"http://127.0.0.1:{port}")
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


WIDTHS = pytest.mark.parametrize("page", [1280, 768, 390], ids=["desk", "tablet", "phone"], indirect=True)
"""For what is laid out otherwise on a narrow screen; everything else is looked at on a desk."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, served: Served) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        browser.get(f"{served.url}/?token={TOKEN}")
        until(lambda: "token" not in browser.current_url)
        yield browser


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: webdriver.Chrome) -> webdriver.Chrome:
    resize(browser, getattr(request, "param", 1280))
    return browser


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def texts(page: webdriver.Chrome, selector: str) -> list[str]:
    found: list[str] = page.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent.trim())", selector
    )
    return found


def text(page: webdriver.Chrome, selector: str) -> str:
    """By a script of one step: an element that is held may be replaced meanwhile."""
    return " ".join(texts(page, selector))


def noise(page: webdriver.Chrome) -> list[str]:
    log = page.get_log("browser")  # type: ignore[no-untyped-call]  # selenium leaves it untyped
    return [one["message"] for one in log if "404" not in one["message"]]


def hostile(served: Served) -> None:
    served.fill(5)
    bad = waiting(3, reason=HOSTILE, message=HOSTILE * 5, field=HOSTILE, body=HOSTILE.encode())
    served.desk.messages[3] = bad
    served.desk.story_of["A-00003"] = story("asset", "A-00003", HOSTILE * 4, problems=(HOSTILE,), parked=(bad,))


@WIDTHS
@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_as_wide_as_the_window_and_runs_no_hostile_value(
    page: webdriver.Chrome, served: Served, path: str
) -> None:
    hostile(served)
    page.get(served.url + path)
    until(lambda: page.execute_script("return document.readyState") == "complete")
    wide = "return document.documentElement.scrollWidth - (window.visualViewport.width * window.visualViewport.scale)"
    assert page.execute_script(wide) <= 1
    assert page.execute_script("return window.broken === undefined && document.images.length === 0")
    assert noise(page) == []


def test_a_long_value_cuts_no_word_beside_it(page: webdriver.Chrome, served: Served) -> None:
    hostile(served)
    told = story("asset", "A-00003", "x" * 300)
    (field,) = told.fields
    served.desk.story_of["A-00003"] = replace(told, fields=(replace(field, name="fecha_adquisicion"),))
    page.get(f"{served.url}/record?entity=asset&key=A-00003")
    until(lambda: "fecha_adquisicion" in texts(page, ".fields tbody th"))
    script = """
        return [...document.querySelectorAll('.fields tbody th, .fields .state')].map(one => {
          const range = document.createRange(); range.selectNodeContents(one); return range.getClientRects().length; })
    """
    assert page.execute_script(script) == [1, 1], "each on one line"


@WIDTHS
def test_ten_thousand_messages_stay_usable(page: webdriver.Chrome, served: Served) -> None:
    served.fill(10_000)
    page.get(f"{served.url}/parked")
    until(lambda: "10,000" in text(page, "body"), 40)
    started = time.monotonic()
    page.get(f"{served.url}/parked?page=50")
    assert len(page.find_elements(By.CSS_SELECTOR, "tbody tr")) == 100
    assert time.monotonic() - started < 60, "a page of them, not all of them"
    assert page.execute_script("return document.querySelectorAll('*').length") < 4000


@WIDTHS
def test_some_are_ticked_replayed_and_gone(page: webdriver.Chrome, served: Served) -> None:
    served.fill(3)
    page.get(f"{served.url}/parked")
    until(lambda: len(page.find_elements(By.NAME, "number")) == 3)
    page.execute_script("document.getElementById('all').click()")
    page.execute_script("document.querySelector('[value=\"2\"]').click()")
    page.execute_script("document.querySelector('button[value=replay]').click()")
    until(lambda: "Replay 2 messages?" in text(page, "h1"))
    page.execute_script("document.querySelector('button[value=replay]').click()")
    until(lambda: "2 messages replayed" in text(page, "h1"))
    assert sorted(served.desk.sent) == [1, 3]


def test_four_clicks_lead_from_the_first_page_to_a_replay(page: webdriver.Chrome, served: Served) -> None:
    served.fill(3)
    page.get(served.url)
    for selector in (
        "#concerns a[href='/parked']",
        "td[data-label=number] a",
        ".advice button.first",
        "main form button.first",
    ):
        until(lambda selector=selector: texts(page, selector))  # type: ignore[misc]
        page.execute_script("document.querySelector(arguments[0]).click()", selector)
    until(lambda: "1 message replayed" in text(page, "h1"))
    assert len(served.desk.sent) == 1


def test_a_page_is_live_and_leaves_ticks_alone(page: webdriver.Chrome, served: Served) -> None:
    served.fill(2)
    page.get(f"{served.url}/parked")
    until(lambda: len(page.find_elements(By.NAME, "number")) == 2)
    served.desk.messages[7] = waiting(7)
    until(lambda: len(page.find_elements(By.NAME, "number")) == 3)
    page.execute_script("document.querySelector('[value=\"7\"]').click()")
    served.desk.messages[8] = waiting(8)
    until(lambda: "every reason 4" in texts(page, ".chips a"))
    assert page.execute_script("return document.querySelector('[value=\"7\"]').checked")


@WIDTHS
def test_a_broker_that_goes_away_is_shown_and_comes_back(page: webdriver.Chrome, served: Served) -> None:
    served.fill(2)
    page.get(f"{served.url}/")
    until(lambda: "2 parked messages" in text(page, "#concerns"))
    served.desk.down = "The queue cannot be used: ServiceBusConnectionError"
    until(lambda: "ServiceBusConnectionError" in text(page, "#concerns"))
    served.desk.down = ""
    until(lambda: "2 parked messages" in text(page, "#concerns"))


def test_the_keyboard_reaches_search_and_content(page: webdriver.Chrome, served: Served) -> None:
    served.fill(1)
    page.get(f"{served.url}/")
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    assert page.switch_to.active_element.get_attribute("id") == "find"
    page.switch_to.active_element.send_keys("A-00002", Keys.ENTER)
    until(lambda: "A-00002" in page.current_url)
    page.get(f"{served.url}/parked")
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("class") == "skip"


def test_every_control_has_a_name_for_a_screen_reader(page: webdriver.Chrome, served: Served) -> None:
    served.fill(2)
    script = """
        return [...document.querySelectorAll('input:not([type=hidden]), select, button, a, iframe, svg[role=img]')]
          .filter(one => !(one.ariaLabel || one.title || one.textContent.trim() || (one.labels || []).length))
          .map(one => one.outerHTML)
    """
    for path in PAGES:
        page.get(served.url + path)
        assert page.execute_script(script) == []


def test_the_report_is_shown_in_its_sandbox(page: webdriver.Chrome, served: Served) -> None:
    page.get(f"{served.url}/drift/{REPORT}")
    page.switch_to.frame(page.find_element(By.TAG_NAME, "iframe"))
    try:
        until(lambda: text(page, "h1") == "The report")
        assert page.execute_script("return window.origin") == "null"
    finally:
        page.switch_to.default_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground_in_light_and_dark(page: webdriver.Chrome, served: Served, scheme: str) -> None:
    served.fill(2)
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    page.get(f"{served.url}/")
    script = """
        const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => { v /= 255;
          return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
          return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const ground = one => { while (one) { const c = getComputedStyle(one).backgroundColor;
          if (!/, 0\\)$|transparent/.test(c)) return c; one = one.parentElement; } return 'rgb(255,255,255)'; };
        return [...document.querySelectorAll('main *, header *')]
          .filter(one => [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && one.offsetParent)
          .map(one => { const a = light(getComputedStyle(one).color), b = light(ground(one));
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.outerHTML.slice(0, 80)]; })
          .filter(found => found[0] < 4.5)
    """
    try:
        assert page.execute_script(script) == []
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_print_leaves_out_what_only_a_screen_can_use(page: webdriver.Chrome, served: Served) -> None:
    served.fill(2)
    page.get(f"{served.url}/parked")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        shown = "return getComputedStyle(document.querySelector(arguments[0])).display"
        assert [page.execute_script(shown, one) for one in ("nav", ".acts", ".find")] == ["none"] * 3
        assert page.execute_script(shown, "tbody tr") != "none"
        places = (
            "return [...document.querySelectorAll(arguments[0])].filter(one => one.offsetWidth)"
            ".map(one => one.offsetLeft)"
        )
        heads = page.execute_script(places, ".parked thead th")
        assert heads == page.execute_script(places, ".parked tbody tr:first-child td")
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
