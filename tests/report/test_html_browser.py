"""The one-file report in a real browser, from a file: what a reader does, and what must not happen.

Every test also fails if a page writes to the console, asks the network, or opens a dialog: the
fixture `look` sees to that.
"""

import json
import shlex
import time
from dataclasses import replace

import pytest
from made_runs import BIG, RAW, answer_of, called, case_of, write_run
from playwright.sync_api import expect

from evals.observation import Call, Event, Observation
from evals.report.html.files import report_run
from evals.request import build_request

HOSTILE = (
    "</script><script>window.ran = 'script'</script><!-- <script> "
    "<img src=x onerror=\"window.ran = 'img'\"><svg onload=\"window.ran = 'svg'\"></svg>"
    "<iframe src='javascript:window.ran=1'></iframe> {{ 7 * 7 }} ${window.ran = 1} "
    "\x1b[31mred\x1b[0m \x1b]8;;http://127.0.0.1:9/\x07link\x1b]8;;\x07 \u202ereversed "
    "../../etc/passwd file:///etc/passwd javascript:window.ran=1 \u2028 \ud800 &amp;lt; ' \" `"
)


def open_first_case(page):
    """Click the first case of the list, and wait until its page is there."""
    page.locator("#list a").first.click()
    expect(page.locator("#view-case h1")).to_be_visible()


def test_two_clicks_from_the_first_screen_to_raw_text_response_and_the_word_parser(look, report):
    page = look(report)
    assert "gate: FAILED" in page.locator("#view-summary h1").inner_text()
    page.get_by_role("link", name="parser").first.click()
    open_first_case(page)
    text = page.locator("#view-case").inner_text()
    assert "layer: parser" in text
    assert f'get_message({{"id": {BIG - 1}}})' in text
    page.get_by_role("button", name="tokens").click()
    assert RAW.format(BIG) in page.locator("#view-case pre").first.inner_text()


def test_tokens_have_visible_borders_and_ids(look, report):
    page = look(report)
    page.goto(f"{report.as_uri()}#/cases?q=digit-1")
    open_first_case(page)
    tokens = page.locator(".token")
    expect(tokens).to_have_count(len(RAW.split(">")))
    assert tokens.nth(1).inner_text().split() == ["⏎", "<function=get_message>", "501"]
    assert tokens.first.evaluate("e => getComputedStyle(e).borderLeftWidth") != "0px"


def test_the_list_is_filtered_and_searched(look, report):
    page = look(report)
    page.get_by_role("link", name="Cases", exact=True).click()
    rows, count = page.locator("#list tbody tr"), page.locator("#count")
    expect(rows).to_have_count(10)
    page.locator("[name=outcome]").select_option("miss")
    expect(rows).to_have_count(1)
    assert "wrong value" in rows.inner_text()
    page.locator("[name=outcome]").select_option("failed")
    expect(count).to_have_text("9 of 10 answers")
    page.locator("[name=lane]").select_option("stream")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="clear").click()
    expect(rows).to_have_count(10)
    page.locator("[name=q]").fill("HELLO say")
    expect(rows).to_have_count(1)
    page.locator("#list a").click()
    page.go_back()
    expect(rows).to_have_count(1)
    assert page.locator("[name=q]").input_value() == "HELLO say"


def test_the_copied_curl_line_sends_the_same_request(look, report):
    page = look(report, permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{report.as_uri()}#/cases?q=digit-1")
    open_first_case(page)
    page.get_by_label("server's base URL").fill("http://127.0.0.1:8080/v1")
    page.locator(".heading", has_text="Repeat it").get_by_role("button", name="copy").click()
    expect(page.get_by_role("button", name="copied")).to_be_visible()
    copied = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert copied[2] == "http://127.0.0.1:8080/v1/chat/completions"
    assert json.loads(copied[copied.index("-d") + 1]) == build_request(case_of("digit-1"))


def test_two_runs_are_compared_and_a_broken_case_shows_both_answers(look, report):
    page = look(report)
    summary = page.locator("#view-summary")
    assert "against before" in summary.inner_text()
    assert "REGRESSION; 6 newly failing, 0 fixed of 8 cases" in summary.inner_text()
    summary.get_by_role("link", name="cases/messages.yaml::digit-3").click()
    before = page.locator("#before").inner_text()
    assert f'get_message({{"id": {BIG}}})' in before
    assert "The model wrote the same as now: what changed is behind it." in before
    assert f'get_message({{"id": {BIG - 1}}})' not in before
    page.goto(f"{report.as_uri()}#/cases?change=newly+failing")
    expect(page.locator("#list tbody tr")).to_have_count(7)


def test_a_case_has_its_earlier_runs_and_its_other_lanes_one_click_away(look, report):
    page = look(report)
    page.goto(f"{report.as_uri()}#/cases?q=digit-0&lane=server")
    open_first_case(page)
    told = " ".join(page.locator("#history").inner_text().split())
    assert told == "Earlier runs: passed in the last run pass 01-01 00:00 violation this run"
    others = page.locator("#same a")
    expect(others).to_have_text(["default, stream"])
    others.click()
    expect(page.locator("#view-case .mono").first).to_have_text(
        "cases/messages.yaml::digit-0[default-stream]"
    )
    expect(page.locator("#same a")).to_have_text(["default, server"])


def test_a_keyboard_is_enough(look, report):
    page = look(report)
    page.keyboard.press("/")
    expect(page.locator("[name=q]")).to_be_focused()
    page.keyboard.type("digit")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#view-case .bar-of-links")).to_contain_text("2 of 7")
    page.keyboard.press("k")
    expect(page.locator("#view-case .bar-of-links")).to_contain_text("1 of 7")
    page.keyboard.press("Escape")
    expect(page.locator("#list tbody tr")).to_have_count(7)
    page.reload()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_a_phone_and_follows_the_theme(look, report, scheme):
    page = look(report, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.goto(f"{report.as_uri()}#/cases?q=long-mistake")
    case = page.locator("#list a").first.get_attribute("href")
    for route in ("#/", "#/cases", case, "#/pictures", "#/run"):
        page.evaluate("route => { location.hash = route }", route)
        page.wait_for_function("document.querySelector('main > section:not([hidden])')")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, route
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


def test_the_figures_need_no_script(look, report):
    page = look(report, java_script_enabled=False)
    text = page.locator("body").inner_text()
    assert "gate: FAILED" in text
    assert "changed arguments" in text
    assert page.locator("#view-summary svg.plot").count() == 1


def hostile(text: str) -> Observation:
    """An answer with `text` wherever a model or a server can write."""
    return Observation(
        "server",
        200,
        content=text,
        reasoning=text,
        calls=(Call(text, json.dumps({text[:300]: text})), Call("get_message", text)),
        finish_reason=text,
        raw_text=f"<tool_call>\n<function=get_message>\n<parameter=id>\n{text}",
        token_ids=(1, 2),
        token_texts=(text, text),
        events=(Event(0.1, text),),
        server_log=text,
        refused=text,
    )


def test_hostile_text_changes_nothing_but_its_own_text(look, tmp_path):
    defined = case_of("hostile", HOSTILE)
    cut = Observation("server", None, error=HOSTILE)
    pages = {}
    for name, text in (("tame", "tame"), ("wild", HOSTILE)):
        records = [
            answer_of(defined, hostile(text)),
            answer_of(case_of("c"), replace(cut, error=text)),
        ]
        write_run(tmp_path / name / "run", records)
        pages[name] = look(report_run(tmp_path / name / "run"))
    counts = {}
    for name, page in pages.items():
        page.get_by_role("link", name="Cases", exact=True).click()
        open_first_case(page)
        for summary in page.locator("details:not([open]) > summary").all():
            if summary.is_visible():
                summary.click()
        counts[name] = page.evaluate(
            "[...document.querySelectorAll('*')].reduce((n, e) => "
            "({...n, [e.tagName]: (n[e.tagName] ?? 0) + 1}), {})"
        )
        page.wait_for_timeout(200)
        assert page.evaluate("window.ran") is None
    assert counts["wild"] == counts["tame"]
    seen = pages["wild"].locator("#view-case").inner_text()
    assert "</script><script>window.ran = 'script'</script>" in seen
    assert r"\x1b[31mred\x1b[0m" in seen
    assert r"\u202ereversed" in seen
    assert not set("\x1b\u202e\ud800") & set(pages["wild"].content())


def test_five_megabytes_are_cut_and_their_length_is_told(look, tmp_path):
    text = HOSTILE.ljust(5_000_000, "x")
    write_run(tmp_path / "run", [answer_of(case_of("long"), hostile(text))])
    report = report_run(tmp_path / "run")
    assert report.stat().st_size < 1_000_000
    page = look(report)
    page.get_by_role("link", name="Cases", exact=True).click()
    open_first_case(page)
    assert "Cut to 20," in page.locator("#view-case").inner_text()
    assert "of 5,000,0" in page.locator("#view-case").inner_text()
    assert page.evaluate("window.ran") is None


def test_six_hundred_answers_open_quickly(look, tmp_path):
    log = "127.0.0.1 - - POST /v1/chat/completions INFO Prompt processing progress\n" * 400
    events = tuple(Event(i / 10, json.dumps({"choices": ["x" * 300]})) for i in range(40))
    seen = called(BIG - 1, server_log=log, events=events)
    record = answer_of(case_of("case-0"), seen)
    records = [replace(record, case=case_of(f"case-{i}")) for i in range(600)]
    write_run(tmp_path / "run", records)
    report = report_run(tmp_path / "run")
    assert report.stat().st_size < 10_000_000
    start = time.monotonic()
    page = look(report)
    page.get_by_role("link", name="parser").first.click()
    expect(page.locator("#count")).to_have_text("600 of 600 answers")
    assert time.monotonic() - start < 5
    assert page.locator("#list tbody tr").count() == 200
    page.get_by_role("button", name="show all 600").click()
    expect(page.locator("#list tbody tr")).to_have_count(600)
