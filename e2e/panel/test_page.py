"""The page as a whole: sizes, themes, names, shortcuts."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from e2e.panel.conftest import OpenPanel
from e2e.panel.driver import FakeKernel, Panel


def test_in_a_narrow_dock_parts_come_one_at_a_time(open_panel: OpenPanel) -> None:
    panel = open_panel(width=400, height=700)
    tabs = panel.page.get_by_role("tablist", name="Parts of the panel")
    expect(tabs.get_by_role("tab")).to_have_text(["Clusters", "Send", "Messages"])
    panel.select("alice")
    expect(panel.log).to_be_hidden()
    expect(panel.send("ko20", "make")).to_contain_text("fulfilled")
    panel.open_tab("Messages")
    expect(panel.log_row("ko20.make()")).to_be_visible()
    assert panel.page.evaluate("document.documentElement.scrollWidth") == 400


def test_what_was_typed_survives_a_change_of_tab(open_panel: OpenPanel) -> None:
    panel = open_panel(width=400, height=700)
    panel.open_tab("Send")
    panel.method.fill("half typed")
    panel.open_tab("Messages")
    panel.open_tab("Send")
    expect(panel.method).to_have_value("half typed")


def test_tabs_are_walked_by_arrow_keys(open_panel: OpenPanel) -> None:
    panel = open_panel(width=400, height=700)
    panel.page.get_by_role("tab", name="Clusters").focus()
    panel.page.keyboard.press("ArrowRight")
    expect(panel.page.get_by_role("tab", name="Send")).to_be_focused()
    expect(panel.method).to_be_visible()


def test_a_shortcut_opens_the_tab_that_it_needs(open_panel: OpenPanel) -> None:
    panel = open_panel(width=400, height=700)
    panel.page.keyboard.press("/")
    expect(panel.page.get_by_role("searchbox", name="Filter messages")).to_be_focused()


@pytest.mark.parametrize("width, height", [(400, 800), (640, 480), (800, 600), (1000, 330), (1280, 720), (1920, 1080)])
def test_nothing_sticks_out_at_any_size(open_panel: OpenPanel, width: int, height: int) -> None:
    panel = open_panel(width=width, height=height)
    size = panel.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size == [width, height]
    panel.open_launch_dialog()
    expect(panel.dialog.get_by_role("button", name="Launch", exact=True)).to_be_in_viewport(ratio=1)
    expect(panel.dialog.get_by_role("button", name="Close", exact=True)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("theme, ground", [("light", "rgb(244, 245, 247)"), ("dark", "rgb(22, 24, 28)")])
def test_it_takes_the_theme_that_it_is_given_or_that_the_browser_prefers(
    open_panel: OpenPanel, theme: str, ground: str
) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    assert open_panel(theme=theme).page.evaluate(background) == ground
    page = open_panel().page
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    assert page.evaluate(background) == ground


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_enough_contrast(open_panel: OpenPanel, theme: str) -> None:
    panel = open_panel(theme=theme)
    ratios: dict[str, float] = panel.page.evaluate("""() => {
        const probe = document.body.appendChild(document.createElement("p"));
        const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
        const luminance = (name) => {
            probe.style.color = `var(--${name})`;
            canvas.fillStyle = getComputedStyle(probe).color;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => part / 255)
                .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const texts = ["text", "muted", "accent", "good", "busy", "bad", "sent", "got", "resolved", "console"];
        const ratios = {};
        for (const ground of ["pane", "raised", "hover", "chosen"])
            for (const text of texts) {
                const [low, high] = [luminance(ground), luminance(text)].sort((a, b) => a - b);
                ratios[`${text} on ${ground}`] = (high + 0.05) / (low + 0.05);
            }
        return ratios;
    }""")
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < 4.5} == {}


def test_everything_that_takes_the_focus_has_a_name(panel: Panel, kernel: FakeKernel) -> None:
    kernel.do("kernel.emitTraffic(3)")
    expect(panel.send("ko20", "fail", "3")).to_contain_text("rejected")
    panel.select("alice")
    session = panel.page.context.new_cdp_session(panel.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    nameless = [
        node["role"]["value"]
        for node in nodes
        if not node["ignored"]
        and not node.get("name", {}).get("value")
        and any(each["name"] == "focusable" and each["value"]["value"] is True for each in node.get("properties", []))
    ]
    assert nameless == []


def test_shortcuts_are_listed_and_can_be_turned_off(panel: Panel) -> None:
    panel.page.keyboard.press("?")
    expect(panel.dialog).to_have_accessible_name("Keyboard shortcuts")
    expect(panel.dialog.get_by_role("row", name="n launch a new cluster")).to_be_visible()
    panel.dialog.get_by_role("checkbox", name="Single-key shortcuts").uncheck()
    panel.page.keyboard.press("Escape")
    expect(panel.dialog).to_be_hidden()
    panel.page.keyboard.press("n")
    expect(panel.dialog).to_be_hidden()


def test_letters_that_are_typed_are_no_shortcuts(panel: Panel) -> None:
    panel.method.focus()
    panel.page.keyboard.type("np?")
    expect(panel.method).to_have_value("np?")
    expect(panel.dialog).to_be_hidden()


def test_the_parts_are_resized_by_keyboard_and_stay_so(panel: Panel) -> None:
    bar = panel.page.get_by_role("separator", name="Height of the messages")
    before = int(bar.get_attribute("aria-valuenow") or 0)
    bar.press("ArrowUp")
    expect(bar).to_have_attribute("aria-valuenow", str(before + 24))
    panel.page.reload()
    expect(bar).to_have_attribute("aria-valuenow", str(before + 24))
