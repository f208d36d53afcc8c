"""`make pictures RUN=reports/RUN`: pictures of the guides, taken of a run's reports in Chromium.

The run has both reports (`make report`), some newly failing cases, and other runs beside it, from
which come its history and its trend. Pictures are WebP, which Chromium itself writes.
"""

import argparse
import base64
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

Scheme = Literal["light", "dark"]
DESK, PHONE = (1280, 900), (390, 844)
REST = 700
"""Milliseconds after which nothing moves any more."""
KEPT = {
    ("report-summary", DESK, "light"): "report-summary",
    ("report-summary", PHONE, "dark"): "report-phone",
    ("report-case", DESK, "light"): "report-case",
    ("allure-overview", DESK, "light"): "allure-overview",
    ("allure-categories", DESK, "light"): "allure-categories",
    ("allure-case", DESK, "light"): "allure-case",
    ("allure-trend", DESK, "light"): "allure-trend",
}
"""What of all views the guides show, by file name."""
NEW_CASE = "document.querySelector('.minute a').getAttribute('href')"
SMALLER = """async png => {
  const file = await fetch('data:image/png;base64,' + png);
  const picture = await createImageBitmap(await file.blob());
  const {width, height} = picture;
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  canvas.getContext('2d').drawImage(picture, 0, 0);
  return canvas.toDataURL('image/webp', 0.85).split(',')[1];
}"""


def of_report(page: Page, address: str) -> Iterator[str]:
    """Views of report.html, one after another, by name."""
    page.goto(address)
    yield "report-summary"
    page.evaluate(f"location.hash = {NEW_CASE}")
    page.wait_for_selector("#view-case h1")
    yield "report-case"
    page.evaluate("location.hash = '#/cases?change=newly%20failing'")
    page.wait_for_selector("#list tbody a")
    yield "report-cases"


def of_allure(page: Page, address: str) -> Iterator[str]:
    """Views of Allure's page."""
    page.goto(address)
    page.get_by_test_id("tree-leaf").first.wait_for()
    yield "allure-overview"
    page.get_by_test_id("nav-tab-categories").click()
    page.get_by_text(re.compile("^Violation")).first.click()
    yield "allure-categories"
    page.get_by_test_id("nav-tab-results").click()
    page.get_by_test_id("tab-failed").click()
    newly = page.get_by_test_id("tree-leaf-transition-regressed")
    page.get_by_test_id("tree-leaf").filter(has=newly).first.click()
    page.get_by_text("Show difference").first.wait_for()
    yield "allure-case"
    page.goto("about:blank")
    page.goto(address)
    page.get_by_text("Report", exact=True).first.click()
    page.get_by_text("Metrics", exact=True).first.click()
    page.get_by_text("Metric summary").wait_for()
    yield "allure-trend"


PAGES = {"report": (of_report, "report.html"), "allure": (of_allure, "allure-report/index.html")}
SCREENS: list[tuple[tuple[int, int], Scheme]] = [
    (size, scheme) for size in (DESK, PHONE) for scheme in ("light", "dark")
]


def take(
    browser: Browser, run: Path, kind: str, size: tuple[int, int], scheme: Scheme
) -> Iterator[tuple[str, bytes]]:
    """Each view's name and its picture as PNG, on a screen of this size."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    views, place = PAGES[kind]
    for name in views(page, (run / place).as_uri()):
        page.wait_for_timeout(REST)
        yield name, page.screenshot()
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--all", type=Path, help="folder for each view on each screen, as PNG")
    options = parser.parse_args()
    for folder in filter(None, (options.to, options.all)):
        folder.mkdir(parents=True, exist_ok=True)
    needed = {(view.partition("-")[0], size, scheme) for view, size, scheme in KEPT}
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(path for name in names if (path := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        blank = browser.new_page()
        for kind, (size, scheme) in product(PAGES, SCREENS):
            if not options.all and (kind, size, scheme) not in needed:
                continue
            for view, png in take(browser, options.run.resolve(), kind, size, scheme):
                if options.all:
                    (options.all / f"{view}-{size[0]}-{scheme}.png").write_bytes(png)
                if name := KEPT.get((view, size, scheme)):
                    webp = blank.evaluate(SMALLER, base64.b64encode(png).decode())
                    (options.to / f"{name}.webp").write_bytes(base64.b64decode(webp))
        browser.close()


if __name__ == "__main__":
    main()
