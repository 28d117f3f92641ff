"""Clusters and vats: the overview, the inspector, the end."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from e2e.panel.conftest import OpenPanel
from e2e.panel.driver import FakeKernel, Panel


def test_vats_are_shown_with_their_figures(panel: Panel) -> None:
    expect(panel.row("bob")).to_have_accessible_name("bob v3 worker running 6 0 30.0 MiB")
    expect(panel.row("bank c1")).to_have_attribute("aria-expanded", "true")


def test_figures_follow_the_kernel(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("Object.assign(kernel.vats[1], {deliveries: 1234, queued: 7, memory_bytes: null})")
    kernel.emit("{class: 'Got', vat: 'v2', number: 5, target: 'ko21', method: 'x', args: '', result: null}")
    expect(panel.row("alice")).to_have_accessible_name("alice v2 iframe running 1,234 7 –")


def test_the_tree_is_walked_by_keyboard(panel: Panel) -> None:
    press = panel.page.keyboard.press
    expect(panel.row("Kernel")).to_be_visible()
    press("c")
    expect(panel.row("Kernel")).to_be_focused()
    press("ArrowDown")
    expect(panel.row("bank c1")).to_be_focused()
    press("ArrowLeft")
    expect(panel.row("alice")).to_have_count(0)
    press("ArrowRight")
    press("End")
    expect(panel.row("escrow")).to_be_focused()
    expect(panel.inspector).to_have_accessible_name("Inspector: escrow")
    press("ArrowLeft")
    expect(panel.row("bank c1")).to_be_focused()
    press("Home")
    expect(panel.inspector).to_have_accessible_name("Inspector: Kernel")


def test_vats_are_filtered(panel: Panel) -> None:
    panel.page.get_by_role("searchbox", name="Filter vats").fill("worker")
    expect(panel.row("bob")).to_be_visible()
    expect(panel.row("alice")).to_have_count(0)


def test_the_objects_of_a_vat_are_listed_and_become_targets(panel: Panel) -> None:
    panel.select("alice")
    expect(panel.objects.get_by_role("row")).to_have_count(3)
    panel.objects.get_by_role("button", name="Send a message to ko31").click()
    expect(panel.target).to_have_value("ko31")


def test_many_objects_come_page_by_page(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("Array.from({length: 450}, () => kernel.addObject('v4', 'Offer'))")
    panel.select("escrow")
    rows = panel.objects.get_by_role("row")
    expect(rows).to_have_count(201)
    more = panel.page.get_by_role("button", name="Show more of 451")
    more.click()
    expect(rows).to_have_count(401)
    more.click()
    expect(rows).to_have_count(452)
    expect(more).to_be_hidden()


def test_many_vats_are_shown_when_asked_for(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("""Array.from({length: 300}, (_, index) =>
        kernel.vats.push({...kernel.vats[3], vat: `v${index + 5}`, name: `extra${index}`}))""")
    kernel.emit("{class: 'Vat', vat: 'v5', name: 'extra0', state: 'running', reason: ''}")
    panel.page.get_by_role("row", name="Show 204 more").click()
    expect(panel.row("extra299")).to_have_count(1)


def test_a_hung_vat_is_pointed_out(open_panel: OpenPanel) -> None:
    panel = open_panel(fake_time=True)
    kernel = FakeKernel(panel.page)
    kernel.do("Object.assign(kernel.vats[2], {inflight: true, queued: 12})")
    panel.page.clock.run_for(20_000)
    expect(panel.row("bob")).to_have_accessible_name(re.compile(r"busy \d+ s"))


def test_a_vat_that_cannot_be_brought_back_says_why(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("Object.assign(kernel.vats[1], {realm: 'broken', fault: 'delivery 7: expected send, got resolve'})")
    kernel.emit("{class: 'Fault', vat: 'v2', fault: 'VatFault', reason: 'replay differs'}")
    expect(panel.row("alice")).to_contain_text("broken")
    panel.select("alice")
    error = panel.inspector.get_by_role("group", name="The vat cannot be brought back")
    expect(error).to_contain_text("delivery 7: expected send, got resolve")


def test_terminating_asks_first_and_escape_means_no(panel: Panel, kernel: FakeKernel) -> None:
    panel.select("alice")
    panel.inspector.get_by_role("button", name="Terminate vat").press("Enter")
    expect(panel.dialog).to_have_accessible_name("Terminate vat alice?")
    expect(panel.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    panel.page.keyboard.press("Escape")
    expect(panel.dialog).to_be_hidden()
    expect(panel.inspector.get_by_role("button", name="Terminate vat")).to_be_focused()
    assert kernel.arrivals("terminateVat") == []


def test_a_vat_is_terminated_by_keyboard(panel: Panel) -> None:
    panel.select("alice")
    panel.inspector.get_by_role("button", name="Terminate vat").press("Enter")
    expect(panel.dialog.get_by_role("button", name="Cancel")).to_be_focused()
    panel.page.keyboard.press("Shift+Tab")
    panel.page.keyboard.type("no longer needed")
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Enter")
    expect(panel.row("alice")).to_contain_text("terminated")
    expect(panel.inspector).to_contain_text("no longer needed")
    expect(panel.inspector.get_by_role("button", name="Terminate vat")).to_be_hidden()


def test_a_cluster_is_terminated(panel: Panel) -> None:
    panel.terminate("cluster", "bank c1", "done")
    expect(panel.row("bank c1")).to_contain_text("terminated")
    expect(panel.row("bank c1")).to_have_attribute("aria-expanded", "false")
    expect(panel.page.get_by_text("0 clusters, 0 vats")).to_be_visible()


def test_a_termination_that_is_refused_is_reported(panel: Panel, kernel: FakeKernel) -> None:
    panel.select("bob")
    panel.inspector.get_by_role("button", name="Terminate vat").click()
    kernel.do("kernel.vats[2].state = 'terminated'")
    panel.dialog.get_by_role("button", name="Terminate vat").click()
    alert = panel.page.get_by_role("alert")
    expect(alert).to_contain_text("Vat bob was not terminated")
    expect(alert).to_contain_text("v3 was terminated already")
