"""The message log: filtered, paused, bounded, and light whatever its length."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from e2e.panel.driver import FakeKernel, Panel


def _shown(panel: Panel) -> str:
    return panel.page.get_by_label("Lines shown").inner_text()


def test_messages_are_shown_as_they_come(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(1)")
    rows = panel.log.get_by_role("row")
    expect(rows).to_have_count(5)
    expect(rows.nth(1)).to_contain_text("ko21.deposit(amount=1) → kp1001")
    expect(rows.nth(3)).to_contain_text("kp1001 = 10")
    expect(rows.nth(4)).to_contain_text("Notified")


def test_the_log_is_filtered_by_words(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(20)")
    panel.filter_log("AMOUNT=17 sent")
    expect(panel.log.get_by_role("row")).to_have_count(2)
    panel.filter_log("kp1017 -got -sent")
    expect(panel.log.get_by_role("row")).to_have_count(3)
    panel.filter_log("alice kp1003")
    expect(panel.log.get_by_role("row")).to_have_count(3)
    panel.filter_log("no such thing")
    expect(panel.page.get_by_text("Nothing passes the filter.")).to_be_visible()
    panel.page.get_by_role("button", name="Show all").click()
    expect(panel.page.get_by_label("Lines shown")).to_have_text("80")


def test_the_log_is_filtered_by_class(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(5)")
    sent = panel.page.get_by_role("button", name="Sent", exact=True)
    expect(sent).to_have_attribute("aria-pressed", "true")
    sent.click()
    expect(panel.page.get_by_label("Lines shown")).to_have_text("15 of 20")
    expect(sent).to_have_attribute("aria-pressed", "false")
    panel.page.get_by_role("button", name="Notified", exact=True).click(modifiers=["Alt"])
    expect(panel.page.get_by_label("Lines shown")).to_have_text("5 of 20")


def test_the_log_is_filtered_by_vat(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(5)")
    panel.page.get_by_role("combobox", name="Vat").select_option("v2")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("10 of 20")
    kernel.emit("{class: 'Console', vat: 'v2', number: 9, text: 'mine'}")
    kernel.emit("{class: 'Console', vat: 'v1', number: 9, text: 'not mine'}")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("11 of 22")


def test_the_inspector_leads_to_a_vats_messages(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(5)")
    panel.select("alice")
    panel.inspector.get_by_role("button", name="Show its messages").click()
    expect(panel.page.get_by_role("combobox", name="Vat")).to_have_value("v2")
    expect(panel.log).to_be_focused()


def test_a_paused_log_holds_still_and_counts(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(2)")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("8")
    panel.page.get_by_role("button", name="Pause").click()
    kernel.do("kernel.emitTraffic(3)")
    resume = panel.page.get_by_role("button", name="Resume 12 new")
    expect(resume).to_have_attribute("aria-pressed", "true")
    assert _shown(panel) == "8"
    panel.filter_log("Sent")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("2 of 8")
    resume.click()
    expect(panel.page.get_by_label("Lines shown")).to_have_text("5 of 20")


def test_a_paused_log_keeps_its_lines_while_the_buffer_overflows(panel: Panel, kernel: FakeKernel) -> None:
    kernel.emit("{class: 'Console', vat: 'v1', number: 1, text: 'the oldest line'}")
    expect(panel.log_row("the oldest line")).to_be_visible()
    panel.page.get_by_role("button", name="Pause").click()
    kernel.do("kernel.emitTraffic(6000)")
    expect(panel.page.get_by_role("button", name=re.compile("Resume 24,000 new"))).to_be_visible()
    expect(panel.log_row("the oldest line")).to_be_visible()


def test_the_log_is_cleared(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(2)")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("8")
    panel.page.get_by_role("button", name="Clear", exact=True).click()
    expect(panel.page.get_by_label("Lines shown")).to_have_text("0")
    kernel.do("kernel.emitTraffic(1)")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("4")


def test_ten_thousand_lines_are_few_elements_and_drawn_soon(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(2500)")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("10,000")
    expect(panel.log_row("kp3500 = 25000")).to_be_visible()
    assert panel.log.get_by_role("row").count() < 80
    took_ms = panel.page.evaluate("""async () => {
        const started = performance.now();
        for (let round = 0; round < 10; round++) {
            fakeKernel.emitTraffic(25);
            await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
        }
        return performance.now() - started;
    }""")
    assert took_ms < 2_000


def test_the_log_is_bounded(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(12000)")
    expect(panel.log_row("kp13000 = 120000")).to_be_visible()
    kept = int(_shown(panel).replace(",", ""))
    assert 10_000 <= kept <= 20_000


def test_it_follows_at_the_end_and_holds_its_place_elsewhere(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(100)")
    expect(panel.log_row("kp1100 = 1000")).to_be_visible()
    panel.log.evaluate("(element) => { element.scrollTop = 2200; }")
    place = panel.log_row("kp1026 = 260")
    expect(place).to_be_in_viewport()
    kernel.do("kernel.emitTraffic(4990)")
    expect(panel.page.get_by_label("Lines shown")).to_have_text(re.compile("1[89],|20,"))
    expect(panel.log.get_by_role("row").nth(1)).to_be_visible()
    panel.log.evaluate("(element) => { element.scrollTop = element.scrollHeight; }")
    expect(panel.log_row("kp5990 = 49900")).to_be_in_viewport()
    kernel.emit("{class: 'Console', vat: 'v1', number: 1, text: 'and on it goes'}")
    expect(panel.log_row("and on it goes")).to_be_in_viewport()


def test_a_line_is_shown_in_full_by_keyboard(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(3)")
    expect(panel.log_row("kp1003 = 30")).to_be_visible()
    panel.page.keyboard.press("m")
    panel.page.keyboard.press("ArrowUp")
    panel.page.keyboard.press("ArrowUp")
    detail = panel.page.get_by_role("complementary", name="Selected message")
    expect(detail).to_contain_text("kp1003 = 30")
    expect(panel.log_row("kp1003 = 30")).to_have_attribute("aria-selected", "true")
    detail.get_by_role("button", name="Show only messages about kp1003").click()
    expect(panel.page.get_by_label("Lines shown")).to_have_text("4 of 12")
    panel.page.keyboard.press("m")
    panel.page.keyboard.press("Escape")
    expect(detail).to_be_hidden()


def test_all_that_a_delivery_printed_is_shown_together(panel: Panel) -> None:
    expect(panel.send("ko20", "fail", "3")).to_contain_text("rejected")
    panel.log_row("raise ValueError").click()
    detail = panel.page.get_by_role("complementary", name="Selected message")
    expect(detail.get_by_role("group", name="Error")).to_contain_text("ValueError: insufficient funds: 3 of 5")
    traceback = detail.get_by_role("region", name="Traceback")
    expect(traceback).to_contain_text("Traceback (most recent call last):")
    expect(traceback).to_contain_text('File "bank.py", line 31, in withdraw')


def test_what_is_shown_is_saved_as_json_lines(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(3)")
    panel.filter_log("Fulfilled")
    expect(panel.page.get_by_label("Lines shown")).to_have_text("3 of 12")
    with panel.page.expect_download() as download:
        panel.page.get_by_role("button", name="Save").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["class"] for event in events] == ["Fulfilled"] * 3
    assert events[0]["vat"] == "v2"
    assert events[0]["time_ms"] > 0
