"""Launching clusters: examples, pasted, dropped; and what is wrong with them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from e2e.panel.conftest import OpenPanel
from e2e.panel.driver import FakeKernel, Panel


def test_an_example_is_launched_from_the_empty_page(open_panel: OpenPanel) -> None:
    panel = open_panel("")
    panel.page.get_by_role("button", name="Launch counter").click()
    expect(panel.row("counter c1")).to_contain_text("running")
    expect(panel.inspector).to_have_accessible_name("Inspector: counter")
    expect(panel.inspector).to_contain_text("Bootstrap answered")
    expect(panel.target).to_have_value("ko20")


def test_an_example_is_launched_from_the_dialog(panel: Panel) -> None:
    panel.launch_example("counter")
    expect(panel.row("counter c2")).to_contain_text("running")


def test_a_cluster_is_launched_by_keyboard_alone(open_panel: OpenPanel) -> None:
    panel = open_panel("")
    press = panel.page.keyboard.press
    press("n")
    expect(panel.dialog.get_by_role("button", name="auction")).to_be_focused()
    for _ in range(4):  # past the bank, the chat and the contacts
        press("Tab")
    press("Enter")
    expect(panel.dialog.get_by_role("button", name="counter")).to_have_attribute("aria-pressed", "true")
    panel.dialog.get_by_role("button", name="Launch", exact=True).focus()
    press("Enter")
    expect(panel.dialog).to_be_hidden()
    expect(panel.row("counter c1")).to_contain_text("running")


def test_a_cluster_is_written_in_the_dialog(open_panel: OpenPanel) -> None:
    panel = open_panel("")
    panel.open_launch_dialog()
    panel.choose_example("Empty cluster")
    panel.write_file("cluster.json", '{"name": "mine", "bootstrap": "a", "vats": {"a": {"source": "a.py"}}}')
    expect(panel.dialog).to_contain_text("Named in cluster.json, but not here:")
    panel.dialog.get_by_role("button", name="Add a.py").click()
    panel.write_file("a.py", "def build_root_object(powers, parameters, baggage): ...")
    panel.launch()
    expect(panel.row("mine c1")).to_contain_text("running")


def test_text_that_is_not_json_is_refused_with_the_place(open_panel: OpenPanel) -> None:
    panel = open_panel("")
    panel.open_launch_dialog()
    panel.write_file("cluster.json", '{\n  "bootstrap": "a",\n  oops\n}')
    panel.launch()
    error = panel.dialog.get_by_role("alert")
    expect(error).to_contain_text("not JSON")
    error.get_by_role("button", name="Show in cluster.json").click()
    assert _selected(panel) == "o"


def test_the_kernels_error_leads_to_the_field(open_panel: OpenPanel) -> None:
    panel = open_panel("")
    panel.open_launch_dialog()
    panel.write_file(
        "cluster.json",
        """{"bootstrap": "a", "vats": {
            "b": {"source": "main.py"}, "a": {"parameters": {"source": "no"}, "source": "missing.py"}}}""",
    )
    panel.dialog.get_by_role("tab", name="main.py").or_(panel.dialog.get_by_role("button", name="Add main.py")).click()
    panel.launch()
    error = panel.dialog.get_by_role("alert")
    expect(error).to_contain_text("there is no file 'missing.py'")
    expect(error).to_contain_text("at config.vats.a.source")
    error.get_by_role("button", name="Show in cluster.json").click()
    expect(panel.dialog.get_by_role("textbox", name="Text of cluster.json")).to_be_focused()
    assert _selected(panel) == '"missing.py"'


def test_a_vat_that_does_not_start_shows_its_tracebacks_and_their_line(open_panel: OpenPanel) -> None:
    panel = open_panel("")
    panel.open_launch_dialog()
    panel.choose_example("counter")
    panel.write_file("counter.py", "# one\n# two\n    raise RuntimeError\n# four\n")
    panel.launch()
    error = panel.dialog.get_by_role("group", name="Not launched")
    expect(error).to_contain_text("vat 'counter' (v1) failed: RuntimeError: the ledger cannot be opened")
    tracebacks = error.get_by_role("region", name="Traceback")
    expect(tracebacks.first).to_contain_text('File "counter.py", line 3, in build_root_object')
    causes = error.get_by_role("list", name="Causes")
    expect(causes).to_contain_text("caused by")
    expect(causes).to_contain_text("KeyError: 'main'")
    error.get_by_role("button", name="Show in counter.py, line 3").click()
    assert _selected(panel) == "    raise RuntimeError"


def test_files_are_opened(open_panel: OpenPanel) -> None:
    panel = open_panel("")
    panel.open_launch_dialog()
    panel.dialog.get_by_label("Cluster files").set_input_files(
        [
            _file("cluster.json", '{"name": "opened", "bootstrap": "a", "vats": {"a": {"source": "a.py"}}}'),
            _file("a.py", "# a vat"),
        ]
    )
    expect(panel.dialog.get_by_role("tab")).to_have_text(["cluster.json", "a.py"])
    panel.launch()
    expect(panel.row("opened c1")).to_contain_text("running")


def test_files_are_dropped_anywhere(panel: Panel) -> None:
    files = {"cluster.json": '{"name": "dropped", "bootstrap": "a", "vats": {"a": {"source": "a.py"}}}', "a.py": "# a"}
    _drop(panel, files)
    expect(panel.dialog.get_by_role("tab")).to_have_text(["cluster.json", "a.py"])
    panel.launch()
    expect(panel.row("dropped c2")).to_contain_text("running")


def test_dropping_something_else_says_so(panel: Panel) -> None:
    _drop(panel, {"picture.png": "x"})
    expect(panel.page.get_by_role("alert")).to_contain_text("none of these is a .json, .py or .whl file")


def test_a_launch_goes_on_when_its_dialog_is_closed(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.hold('launch')")
    panel.open_launch_dialog()
    panel.choose_example("counter")
    panel.launch()
    panel.dialog.get_by_role("button", name="Close, and go on launching").click()
    launches = panel.page.get_by_role("list", name="Launches under way")
    expect(launches).to_contain_text("Launching counter: waiting for bootstrap")
    kernel.kill()
    kernel.do("kernel.release()")
    expect(panel.row("counter c2")).to_contain_text("running")
    expect(launches).to_be_hidden()
    assert len(set(kernel.arrivals("launch"))) == 1
    expect(panel.row("counter c3")).to_have_count(0)


def test_a_launch_that_fails_after_its_dialog_was_closed_is_reported(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.hold('launch')")
    panel.open_launch_dialog()
    panel.choose_example("counter")
    panel.write_file("counter.py", "raise")
    panel.launch()
    panel.dialog.get_by_role("button", name="Close, and go on launching").click()
    kernel.do("kernel.release()")
    alert = panel.page.get_by_role("alert")
    expect(alert).to_contain_text("cluster 'counter' was not launched")
    alert.get_by_role("button", name="Show the cluster").click()
    expect(panel.dialog.get_by_role("alert")).to_contain_text("RuntimeError: the ledger cannot be opened")


def _selected(panel: Panel) -> str:
    panel.page.wait_for_function("document.activeElement.selectionStart !== document.activeElement.selectionEnd")
    text: str = panel.page.evaluate(
        "(({value, selectionStart, selectionEnd}) => value.slice(selectionStart, selectionEnd))(document.activeElement)"
    )
    return text


def _file(name: str, text: str) -> Any:
    return {"name": name, "mimeType": "text/plain", "buffer": text.encode()}


def _drop(panel: Panel, files: dict[str, str]) -> None:
    transfer = panel.page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, text] of Object.entries(files)) transfer.items.add(new File([text], name));
            return transfer;
        }""",
        files,
    )
    panel.page.get_by_role("main").dispatch_event("drop", {"dataTransfer": transfer})
