"""Requests and events over ports that die: nothing is lost, nothing is done twice, and the page says what goes on."""

from __future__ import annotations

import json
import re

from playwright.sync_api import expect

from e2e.panel.conftest import OpenPanel
from e2e.panel.driver import FakeKernel, Panel


def test_a_request_is_sent_again_with_the_same_id_and_carried_out_once(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.hold('send')")
    sent = panel.send("ko20", "deposit", "5")
    expect(sent).to_contain_text("pending")
    for _ in range(3):
        kernel.kill()
        panel.expect_connected()
        expect(sent).to_contain_text("pending")
    ids = kernel.arrivals("send")
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert kernel.executions() == [1]
    kernel.do("kernel.release()")
    expect(sent).to_contain_text("fulfilled")
    expect(sent).to_contain_text("['deposit', 5]")


def test_an_answer_is_acknowledged(panel: Panel, kernel: FakeKernel) -> None:
    expect(panel.send("ko20", "deposit", "5")).to_contain_text("fulfilled")
    panel.page.wait_for_function("fakeKernel.commands.size === 0")
    assert kernel.arrivals("ack") == kernel.arrivals("send")


def test_an_acknowledgement_that_was_lost_is_sent_again(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.dieOn('ack')")
    expect(panel.send("ko20", "deposit", "5")).to_contain_text("fulfilled")
    panel.page.wait_for_function("fakeKernel.arrived.some(({method}) => method === 'ack')")
    assert kernel.executions() == []


def test_pitfall_19_a_request_that_the_worker_died_of_is_sent_again(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.dieOn('send')")
    expect(panel.send("ko20", "deposit", "5")).to_contain_text("fulfilled")


def test_acknowledgements_that_arrived_are_not_repeated(panel: Panel, kernel: FakeKernel) -> None:
    expect(panel.send("ko20", "deposit", "5")).to_contain_text("fulfilled")
    panel.page.wait_for_function("""() => {
        const methods = fakeKernel.arrived.map(({method}) => method);
        return methods.includes("ack") && methods.lastIndexOf("ping") > methods.lastIndexOf("ack");
    }""")
    kernel.kill()
    panel.expect_connected()
    expect(panel.send("ko20", "deposit", "6")).to_contain_text("fulfilled")
    panel.page.wait_for_function("fakeKernel.commands.size === 0")
    assert len(kernel.arrivals("ack")) == 2


def test_requests_made_without_a_port_wait_visibly_and_are_sent_when_there_is_one(
    panel: Panel, kernel: FakeKernel
) -> None:
    kernel.do("(kernel.refuse('no kernel here'), kernel.kill())")
    expect(panel.connection).to_have_text("Reconnecting")
    first = panel.send("ko20", "deposit", "1")
    second = panel.send("ko20", "deposit", "2")
    expect(first).to_contain_text("waiting for the kernel")
    expect(second).to_contain_text("waiting for the kernel")
    expect(panel.page.get_by_text("no kernel here")).to_be_visible()
    kernel.do("kernel.refuse('')")
    expect(first).to_contain_text("['deposit', 1]")
    expect(second).to_contain_text("['deposit', 2]")
    expect(panel.page.get_by_text("no kernel here")).to_be_hidden()
    values = kernel.do("kernel.arrived.filter(({method}) => method === 'send').length")
    assert values == 2


def test_pitfall_19_a_port_that_is_silently_dead_is_replaced(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_time=True)
    kernel = FakeKernel(panel.page)
    kernel.do("kernel.killSilently()")
    sent = panel.send("ko20", "deposit", "5")
    expect(sent).to_contain_text("waiting for the kernel")
    expect(panel.connection).to_have_text("Connected")
    panel.page.clock.fast_forward(8_000)
    expect(sent).to_contain_text("fulfilled")
    assert len(kernel.arrivals("send")) == 1


def test_a_port_that_never_answers_is_given_up(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_time=True)
    kernel = FakeKernel(panel.page)
    kernel.do("(kernel.mute(true), kernel.kill())")
    expect(panel.connection).to_have_text("Waiting for the kernel")
    kernel.do("kernel.mute(false)")
    sent = panel.send("ko20", "deposit", "5")
    expect(sent).to_contain_text("waiting for the kernel")
    panel.page.clock.fast_forward(30_000)
    panel.expect_connected()
    expect(sent).to_contain_text("fulfilled")


def test_events_that_were_missed_leave_a_remark_in_the_log(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("(kernel.refuse('gone'), kernel.kill())")
    kernel.emit("{class: 'Console', vat: 'v1', number: 1, text: 'nobody hears this'}")
    kernel.do("kernel.refuse('')")
    panel.expect_connected()
    expect(panel.log_row("no connection for")).to_be_visible()
    kernel.emit("{class: 'Console', vat: 'v1', number: 2, text: 'heard again'}")
    expect(panel.log_row("heard again")).to_be_visible()
    expect(panel.log_row("nobody hears this")).to_have_count(0)


def _show(panel: Panel, state: str) -> None:
    panel.page.evaluate(
        """(state) => {
            Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


def test_a_page_that_nobody_sees_lets_the_kernel_sleep(panel: Panel, kernel: FakeKernel) -> None:
    _show(panel, "hidden")
    kernel.kill()
    expect(panel.connection).to_have_text("Asleep")
    _show(panel, "visible")
    panel.expect_connected()


def test_a_pending_promise_does_not_keep_a_kernel_awake_that_nobody_looks_at(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.hold('send')")
    sent = panel.send("ko20", "deposit", "5")
    expect(sent).to_contain_text("pending")
    _show(panel, "hidden")
    # Asked for because the page was hidden, or just before by itself: either shows that the send is durable.
    panel.page.wait_for_function(
        """() => {
            const methods = fakeKernel.arrived.map(({ method }) => method);
            return methods.lastIndexOf("status") > methods.indexOf("send");
        }"""
    )
    kernel.emit("{class: 'Console', vat: 'v1', number: 1, text: 'after the status'}")
    expect(panel.log_row("after the status")).to_be_visible()  # and so the answer to the status is in
    kernel.kill()
    expect(panel.connection).to_have_text("Asleep")
    kernel.do("kernel.release()")
    _show(panel, "visible")
    expect(sent).to_contain_text("fulfilled")
    assert len(set(kernel.arrivals("send"))) == 1


def test_a_request_that_may_not_be_durable_keeps_a_page_connected_that_nobody_sees(
    panel: Panel, kernel: FakeKernel
) -> None:
    kernel.do("(kernel.hold('send'), kernel.hold('status'))")
    sent = panel.send("ko20", "deposit", "5")
    expect(sent).to_contain_text("pending")
    _show(panel, "hidden")
    kernel.kill()
    panel.expect_connected()
    assert len(kernel.arrivals("send")) == 2


def test_what_is_not_of_the_protocol_is_shown_and_harms_nothing(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("""(kernel.sendRaw('neither JSON nor else'), kernel.sendRaw('{"id": 3}'), kernel.sendRaw('[]'))""")
    notices = panel.page.get_by_role("alert")
    expect(notices).to_contain_text("neither JSON nor else")
    expect(panel.send("ko20", "deposit", "5")).to_contain_text("fulfilled")
    notices.get_by_role("button", name=re.compile("Dismiss")).first.click()


def test_an_error_without_id_is_shown(panel: Panel, kernel: FakeKernel) -> None:
    error = {"code": -32600, "message": "the request is too long", "data": {"kind": "RequestError", "path": ""}}
    answer = {"jsonrpc": "2.0", "id": None, "error": error}
    kernel.do(f"kernel.sendRaw({json.dumps(json.dumps(answer))})")
    expect(panel.page.get_by_role("alert")).to_contain_text("the request is too long")


def test_an_event_of_an_unknown_class_is_shown_as_it_is(panel: Panel, kernel: FakeKernel) -> None:
    kernel.emit("{class: 'Metered', vat: 'v1', gas: 12345}")
    expect(panel.log_row("12345")).to_be_visible()


def test_a_status_that_cannot_be_had_is_reported(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.vats[0].deliveries = 'many'")
    kernel.emit("{class: 'Vat', vat: 'v1', name: 'bank', state: 'running', reason: ''}")
    notice = panel.page.get_by_role("alert")
    expect(notice).to_contain_text("The kernel's status is not available")
    expect(notice).to_contain_text("deliveries must be an integer")
