"""What the browser's storage has room for, and that there is one kernel to use it."""

from __future__ import annotations

import pytest

from e2e.harness.browser import ExtensionBrowser
from e2e.harness.control import Control, ControlError
from e2e.test_realms import COUNTER


def test_the_status_tells_how_full_storage_is(control: Control) -> None:
    storage = control.request("status")["kernel"]["storage"]
    assert 0 < storage["used_bytes"] < storage["quota_bytes"]
    assert storage["shortage"] == ""


def test_when_storage_is_nearly_full_new_work_is_refused_and_the_rest_goes_on(
    browser_with_extension: ExtensionBrowser, control: Control
) -> None:
    root = control.launch_one(COUNTER, "iframe")
    assert control.call(root, "add", "2") == "2"
    browser = browser_with_extension
    session = browser.context.new_cdp_session(browser.context.pages[-1])
    quota = {"origin": browser.origin, "quotaSize": 20_000_000}
    session.send("Storage.overrideQuotaForOrigin", quota)
    browser.kill_service_worker()
    assert "of 20 MB are used" in control.request("status")["kernel"]["storage"]["shortage"]
    with pytest.raises(ControlError, match="send needs room, and storage is nearly full") as refused:
        control.call(root, "add", "2")
    assert refused.value.kind == "StoreError"
    with pytest.raises(ControlError, match="launch needs room"):
        control.launch_one(COUNTER, "iframe")
    assert [vat["state"] for vat in control.request("status")["vats"]] == ["running"]
    session.send("Storage.overrideQuotaForOrigin", {"origin": browser.origin})
    browser.kill_service_worker()
    assert control.call(root, "add", "2") == "4"


def test_a_second_kernel_of_the_same_profile_does_not_start(
    browser_with_extension: ExtensionBrowser, control: Control
) -> None:
    browser = browser_with_extension
    root = control.launch_one(COUNTER, "iframe")
    other = browser.open_page()
    other.evaluate(
        """() => {
          const taken = new Promise((resolve) => {
            navigator.locks.request("kernel_py", () => {
              resolve();
              return new Promise((release) => { globalThis.release = release; });
            });
          });
          globalThis.taken = taken;
        }"""
    )
    browser.kill_service_worker()
    other.evaluate("() => globalThis.taken")
    with pytest.raises(ControlError, match="another kernel of this profile is running: close what runs it"):
        control.call(root, "add", "2")
    other.evaluate("() => globalThis.release()")
    assert browser.open_control().call(root, "add", "2") == "2"
