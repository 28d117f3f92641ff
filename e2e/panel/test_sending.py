"""Composing a message, and its answer."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect

from e2e.panel.driver import FakeKernel, Panel


def test_a_fulfilled_promise_shows_its_value_with_references_to_go_on_with(panel: Panel) -> None:
    sent = panel.send("ko20", "make")
    expect(sent).to_contain_text("fulfilled")
    expect(sent).to_contain_text("<Purse ko32>")
    sent.get_by_role("button", name="Send a message to ko32").click()
    expect(panel.target).to_have_value("ko32")
    expect(panel.method).to_be_focused()


def test_a_rejected_promise_shows_its_error(panel: Panel) -> None:
    sent = panel.send("ko20", "fail", "3")
    expect(sent).to_contain_text("rejected")
    error = sent.get_by_role("group", name="Error")
    expect(error).to_contain_text("ValueError('insufficient funds: 3 of 5')")
    expect(error).to_contain_text("raised in vat bank (v1), delivery 6")
    expect(error.get_by_role("region", name="Traceback")).to_contain_text('File "bank.py", line 31, in withdraw')


def test_the_traceback_of_an_error_stays_with_it_when_the_log_is_cleared(panel: Panel) -> None:
    sent = panel.send("ko20", "fail", "3")
    traceback = sent.get_by_role("region", name="Traceback")
    expect(traceback).to_be_visible()
    panel.page.get_by_role("button", name="Clear", exact=True).click()
    expect(panel.log_row("bank.py")).to_have_count(0)
    expect(traceback).to_contain_text("ValueError: insufficient funds: 3 of 5")


def test_tracebacks_of_several_errors_are_told_apart(panel: Panel, kernel: FakeKernel) -> None:
    first = panel.send("ko20", "fail", "1")
    expect(first.get_by_role("region", name="Traceback")).to_be_visible()
    for text in ["error:liveSlots:v1#80001: one", "of the first", "error:liveSlots:v1#80002: two", "of the second"]:
        kernel.emit(json.dumps({"class": "Console", "vat": "v1", "number": 50, "text": text}))
    kernel.emit(json.dumps({"class": "Console", "vat": "v1", "number": 51, "text": "of the next delivery"}))
    kernel.do("kernel.nextErrorId = 'error:liveSlots:v1#80002'")
    second = panel.send("ko20", "fail", "2")
    report = second.get_by_role("region", name="Traceback")
    expect(report).to_contain_text("two")
    expect(report).to_contain_text("of the second")
    expect(report).not_to_contain_text("next delivery")


def test_an_error_is_shown_with_its_way_through_all_vats(panel: Panel, kernel: FakeKernel) -> None:
    """The shop raised it because of an error that the bank raised and the teller passed on."""
    printed = {
        ("v2", 51): ["error:liveSlots:v1#90001: in teller", "reported as error:liveSlots:v1#90001"],
        ("v1", 50): ["error:liveSlots:v1#90001: in bank"],
        ("v3", 52): ["error:liveSlots:v3#90002: in shop", "reported as error:liveSlots:v1#90001", "and on"],
    }
    for (vat, number), lines in printed.items():
        for text in lines:
            kernel.emit(json.dumps({"class": "Console", "vat": vat, "number": number, "text": text}))
    kernel.do("kernel.nextErrorId = 'error:liveSlots:v3#90002'")
    sent = panel.send("ko20", "fail", "2")
    reports = sent.get_by_role("region", name="Traceback")
    expect(reports).to_have_text([re.compile("^in shop"), "in bank", re.compile("^in teller")])
    error = sent.get_by_role("group", name="Error")
    for where in ("raised in vat", "which came of what was raised in vat bank (v1), delivery 50", "passed on in vat"):
        expect(error).to_contain_text(where)


def test_a_refused_request_shows_the_reason_and_the_place(panel: Panel) -> None:
    sent = panel.send("ko99", "deposit", "5")
    expect(sent).to_contain_text("refused")
    error = sent.get_by_role("group", name="The kernel did not send it")
    expect(error).to_contain_text("there is no object ko99")
    expect(error).to_contain_text("at params.target")


def test_capdata_can_be_looked_at(panel: Panel) -> None:
    sent = panel.send("ko20", "fail", "3")
    sent.get_by_text("Capdata").click()
    expect(sent).to_contain_text('#{"#error":"insufficient funds: 3 of 5","errorId":')


def test_the_newest_message_comes_first_and_pending_ones_stay_when_clearing(panel: Panel, kernel: FakeKernel) -> None:
    expect(panel.send("ko20", "first")).to_contain_text("fulfilled")
    kernel.do("kernel.hold('send')")
    expect(panel.send("ko20", "second")).to_contain_text("pending")
    items = panel.history.get_by_role("listitem")
    expect(items.first).to_contain_text("second")
    panel.page.get_by_role("button", name="Clear answered").click()
    expect(items).to_have_count(1)
    expect(items).to_contain_text("second")


def test_a_target_is_found_by_interface_vat_and_reference(panel: Panel) -> None:
    options = panel.page.get_by_role("listbox", name="Objects").get_by_role("option")
    expect(panel.objects.get_by_role("row")).to_have_count(13)
    for text, found in [("purse", 3), ("wallet alice", 1), ("ko25", 12), ("nothing like it", 0)]:
        panel.target.fill(text)
        expect(options).to_have_count(found)


def test_a_message_is_sent_by_keyboard_alone(panel: Panel) -> None:
    expect(panel.objects.get_by_role("row")).to_have_count(13)
    press = panel.page.keyboard.press
    press("s")
    expect(panel.target).to_be_focused()
    panel.page.keyboard.type("purse")
    press("ArrowDown")
    press("ArrowDown")
    expect(panel.target).to_have_attribute("aria-activedescendant", "target-option-1")
    press("Enter")
    expect(panel.target).to_have_value("ko27")
    expect(panel.page.get_by_text("Purse in vat bank (v1)")).to_be_visible()
    press("Tab")
    panel.page.keyboard.type("deposit")
    press("Tab")
    panel.page.keyboard.type("ko24, amount=5")
    press("Enter")
    expect(panel.sent("ko27", "deposit", "ko24, amount=5")).to_contain_text("fulfilled")
    expect(panel.args).to_be_focused()


def test_escape_closes_the_list_of_targets_and_keeps_what_was_typed(panel: Panel) -> None:
    expect(panel.objects.get_by_role("row")).to_have_count(13)
    panel.target.fill("pur")
    expect(panel.page.get_by_role("listbox", name="Objects")).to_be_visible()
    panel.target.press("Escape")
    expect(panel.page.get_by_role("listbox", name="Objects")).to_be_hidden()
    expect(panel.target).to_have_value("pur")


def test_nothing_is_sent_without_target_and_method(panel: Panel, kernel: FakeKernel) -> None:
    panel.page.get_by_role("button", name="Send", exact=True).click()
    panel.target.fill("ko20")
    panel.page.get_by_role("button", name="Send", exact=True).click()
    expect(panel.method).to_be_focused()
    assert kernel.arrivals("send") == []


def test_earlier_messages_are_recalled(panel: Panel) -> None:
    expect(panel.send("ko20", "first", "1")).to_contain_text("fulfilled")
    expect(panel.send("ko21", "second", "2")).to_contain_text("fulfilled")
    panel.args.fill("")
    panel.args.press("Alt+ArrowUp")
    panel.args.press("Alt+ArrowUp")
    expect(panel.target).to_have_value("ko20")
    expect(panel.method).to_have_value("first")
    expect(panel.args).to_have_value("1")
    panel.args.press("Alt+ArrowDown")
    expect(panel.method).to_have_value("second")


def test_a_message_is_used_again(panel: Panel) -> None:
    expect(panel.send("ko20", "first", "1")).to_contain_text("fulfilled")
    expect(panel.send("ko21", "second", "2")).to_contain_text("fulfilled")
    panel.page.get_by_role("button", name="Use again: E(ko20).first(1)").click()
    expect(panel.target).to_have_value("ko20")
    expect(panel.method).to_have_value("first")
    expect(panel.args).to_have_value("1")


def test_an_error_is_copied_whole(panel: Panel) -> None:
    panel.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sent = panel.send("ko99", "deposit", "5")
    sent.get_by_role("button", name="Copy error").click()
    expect(sent.get_by_role("button", name="Copied")).to_be_visible()
    copied = panel.page.evaluate("navigator.clipboard.readText()")
    assert copied == "params.target: there is no object ko99; ask `objects` for those there are"


def test_where_the_clipboard_is_refused_the_text_is_selected(panel: Panel) -> None:
    panel.page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')))")
    sent = panel.send("ko20", "fail", "3")
    sent.get_by_role("button", name="Copy error").click()
    expect(sent.get_by_text("Press Ctrl+C")).to_be_visible()
    text = sent.get_by_role("textbox", name="Text to copy")
    expect(text).to_be_focused()
    assert panel.page.evaluate("getSelection().toString()").startswith("ValueError('insufficient funds: 3 of 5')")
