"""The report as a person meets it: in Chromium, with hostile values, at phone width and at full length."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from shared.flows.reconcile.drift import DriftClass
from shared.flows.reconcile.report import Report
from shared.flows.reconcile.report_html import as_html
from tests.reconcile.browser import chromium, resize
from tests.reconcile.reports import ARABIC, HOSTILE, LONG, braked, full, incomplete, quiet

type Open = Callable[[Report], webdriver.Chrome]


WIDTHS = pytest.mark.parametrize("look", [1280, 390], ids=["desk", "phone"], indirect=True)
"""For what is laid out otherwise on a phone; everything else is looked at on a desk."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def look(request: pytest.FixtureRequest, browser: webdriver.Chrome, tmp_path: Path) -> Open:
    resize(browser, getattr(request, "param", 1280))

    def open_(report: Report) -> webdriver.Chrome:
        file = tmp_path / "report.html"
        file.write_text(as_html(report), encoding="utf-8")
        browser.get(file.as_uri())
        return browser

    return open_


def search(page: webdriver.Chrome, words: str) -> None:
    box = page.find_element(By.ID, "search")
    box.clear()
    box.send_keys(words)


def shown(page: webdriver.Chrome) -> list[str]:
    return [cell.text for cell in page.find_elements(By.CSS_SELECTOR, "#rows td.k bdi")]


def cell(page: webdriver.Chrome, label: str) -> str:
    text: str = page.execute_script(
        "return document.querySelector('#rows td[data-label=' + arguments[0] + '] bdi').textContent", label
    )
    return text


def too_wide(page: webdriver.Chrome) -> float:
    """Pixels that the page is wider than the device: a phone's own window grows with a page that does not fit."""
    script = "return document.documentElement.scrollWidth - visualViewport.width * visualViewport.scale"
    found: float = page.execute_script(script)
    return found


@WIDTHS
def test_filters_and_search_narrow_the_records(look: Open) -> None:
    page = look(full())
    assert len(shown(page)) == 100
    assert page.find_element(By.ID, "where").text == "1 to 100 of 253"
    Select(page.find_element(By.ID, "kind")).select_by_value("gone_from_dynamics")
    Select(page.find_element(By.ID, "entity")).select_by_value("asset")
    gone = shown(page)
    assert gone
    place = list(DriftClass).index(DriftClass.GONE_FROM_DYNAMICS)
    assert all(int(key[2:]) % len(DriftClass) == place and int(key[2:]) % 4 for key in gone)
    Select(page.find_element(By.ID, "kind")).select_by_value("")
    Select(page.find_element(By.ID, "entity")).select_by_value("")
    search(page, "pump 17")
    assert shown(page) == ["A-00017", *(f"A-{number:05}" for number in range(170, 180))]
    search(page, "nothing is called so")
    assert shown(page) == []
    assert page.find_element(By.ID, "empty").is_displayed()


def test_pages_follow_each_other(look: Open) -> None:
    page = look(full())
    page.execute_script("document.getElementById('on').click(); document.getElementById('on').click()")
    assert page.find_element(By.ID, "where").text == "201 to 253 of 253"
    assert not page.find_element(By.ID, "on").is_enabled()
    page.execute_script("document.getElementById('back').click()")
    assert shown(page)[0] == "A-00100"


@WIDTHS
def test_hostile_values_are_text(look: Open) -> None:
    page = look(full())
    search(page, "hostile")
    assert shown(page) == ["HOSTILE"]
    assert cell(page, "CMMS") == HOSTILE
    assert cell(page, "Dynamics") == "&lt;b&gt;"
    assert page.execute_script("return window.broken === undefined && document.images.length === 0")
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]  # selenium leaves it untyped


def test_text_from_right_to_left_stays_in_its_cell(look: Open) -> None:
    page = look(full())
    search(page, "rtl")
    assert cell(page, "CMMS") == ARABIC
    script = """
        const shown = document.querySelector('#rows td[data-label=CMMS] bdi');
        return [shown.dir, getComputedStyle(shown).unicodeBidi]
    """
    assert page.execute_script(script) == ["auto", "isolate"]
    assert cell(page, "Dynamics") == "plain"


def test_a_long_value_is_cut_until_it_is_asked_for(look: Open) -> None:
    page = look(full())
    search(page, "the end")
    assert shown(page) == ["LONG"], "what is cut is found all the same"
    assert len(cell(page, "CMMS")) == 241
    page.execute_script("document.querySelector('#rows td[data-label=CMMS] button').click()")
    assert cell(page, "CMMS") == LONG


@WIDTHS
def test_nothing_is_wider_than_the_window(look: Open) -> None:
    page = look(braked())
    assert "The brake is on." in page.find_element(By.CLASS_NAME, "banner").text
    assert too_wide(page) <= 1


@WIDTHS
def test_a_run_without_drift_says_so_and_offers_nothing_to_search(look: Open) -> None:
    page = look(quiet())
    assert page.find_element(By.ID, "empty").text == "Nothing of what was compared has drifted."
    assert not page.find_element(By.ID, "search").is_displayed()
    assert not page.find_element(By.ID, "pager").is_displayed()


@WIDTHS
def test_an_entity_that_could_not_be_compared_has_no_figures(look: Open) -> None:
    report = incomplete()
    page = look(report)
    assert "order could not be compared" in page.find_element(By.CLASS_NAME, "banner").text
    assert page.execute_script("return window.broken === undefined")
    cells = page.find_elements(By.CSS_SELECTOR, ".pair > :first-child .counts tbody tr:first-child td")
    assert [one.text for one in cells] == [str(report.entities[0].drift[DriftClass.CMMS_AHEAD]), "–"]  # noqa: RUF001  # a dash, as it is shown


@WIDTHS
def test_the_chart_has_a_bar_for_each_run_and_the_same_in_figures(look: Open) -> None:
    page = look(full())
    assert len(page.find_elements(By.CSS_SELECTOR, ".chart svg g")) == 40
    assert [one.text for one in page.find_elements(By.CSS_SELECTOR, ".ticks span")] == ["100", "50", "0"]
    size = "return parseFloat(getComputedStyle(document.querySelector('.ticks span')).fontSize)"
    assert page.execute_script(size) > 10, "readable at any width"
    page.execute_script("document.querySelector('.figures').open = true")
    assert len(page.find_elements(By.CSS_SELECTOR, ".figures tbody tr")) == 40
    assert too_wide(page) <= 1


def test_ten_thousand_records_stay_usable(look: Open) -> None:
    page = look(full(10_000))
    assert page.find_element(By.ID, "where").text == "1 to 100 of 10,003"
    script = """
        const started = performance.now(), box = document.getElementById('search');
        for (const words of ['p', 'pu', 'pump 99', '']) { box.value = words; box.dispatchEvent(new Event('input')); }
        return performance.now() - started
    """
    assert page.execute_script(script) < 4000, "four searches"
    assert page.execute_script("return document.querySelectorAll('*').length") < 5000


def test_print_shows_what_the_filter_leaves(look: Open) -> None:
    page = look(full())
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert len(shown_keys(page)) == 253
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert len(shown_keys(page)) == 100
    assert time.strptime(page.title[-23:-4], "%Y-%m-%d %H:%M:%S")


def shown_keys(page: webdriver.Chrome) -> list[str]:
    keys: list[str] = page.execute_script(
        "return [...document.querySelectorAll('#rows td.k bdi')].map(b => b.textContent)"
    )
    return keys
