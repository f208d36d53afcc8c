"""axe-core finds nothing in any view of report.html, at a desk and on a phone, light and dark.

axe-core comes from npm, pinned by `axe/`, once, into the cache. Without npm or a browser these
tests are skipped, with the reason, but never in CI.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from evals.config import cache_folder
from evals.models.cache import build_once

PACKAGE = Path(__file__).with_name("axe")
SCREENS = {
    "desk, light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone, dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
FOUND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations.map(
  v => `${v.impact}: ${v.id}: ${v.help}: ${v.nodes.map(n => n.target.join(' ')).join(', ')}`)"""


@pytest.fixture(scope="module")
def axe():
    """The text of axe-core's script."""
    without = pytest.fail if os.environ.get("CI") else pytest.skip
    if not shutil.which("npm"):
        without("no npm: axe-core comes from there (Debian: apt-get install nodejs npm)")
    digest = hashlib.sha256((PACKAGE / "package-lock.json").read_bytes()).hexdigest()
    try:
        folder = build_once(cache_folder() / f"axe-{digest[:12]}", install)
    except subprocess.CalledProcessError as error:
        without(f"npm could not install axe-core: {error}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def install(folder):
    shutil.copytree(PACKAGE, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True)


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_in_any_view(axe, look, report, screen):
    page = look(report, **SCREENS[screen])
    page.evaluate(axe)
    page.evaluate("location.hash = '#/cases?q=digit-0'")
    page.wait_for_selector("#list tbody a")
    case = page.locator("#list a").first.get_attribute("href")
    for view in ("#/", "#/cases", case, "#/pictures", "#/run"):
        page.evaluate("view => { location.hash = view }", view)
        name = "view-case" if view == case else f"view-{view[2:] or 'summary'}"
        page.wait_for_selector(f"#{name}:not([hidden])")
        # What is folded is looked at as well.
        page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true })")
        assert page.evaluate(FOUND) == [], view


def test_axe_finds_a_planted_fault(axe, look, report):
    page = look(report)
    page.evaluate(axe)
    page.evaluate("document.querySelector('h1').append(document.createElement('img'))")
    (found,) = page.evaluate(FOUND)
    assert found.startswith("critical: image-alt: ")
