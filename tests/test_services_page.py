"""The programs in docs/services.md work."""

from __future__ import annotations

import json
import re
from typing import Any

from kernel_py.core.services.fetch import FETCH, check_call
from kernel_py.hosts.memory import MemoryHost
from kernel_py.hosts.services import Service
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "services.md").read_text()
CLOCK, FOREMAN, OWN = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
CONFIG, BUNDLES = map(json.loads, re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL))
WORKER = """
from kernel_py.vat import Exo

class Worker(Exo):
    def __init__(self, factor):
        self.factor = factor

    def work(self, number):
        return self.factor * number

def build_root_object(powers, parameters, baggage):
    return Worker(parameters["factor"])
"""


def test_the_clock_fetches_every_hour_until_it_is_stopped() -> None:
    asked: list[Any] = []

    async def fetch(method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> object:
        check_call(method, args, kwargs, config)
        asked.append(args[0])
        return {"status": 200, "url": args[0], "headers": {}, "body": f"sunny {len(asked)}"}

    host = MemoryHost(services=[Service(FETCH, fetch)])
    host.kernel.observe(is_observed=True)
    root = host.launch(CONFIG, {"clock.py": CLOCK})["root"]
    host.send(root, "start")
    host.pass_time(2 * 3600 + 10)
    assert asked == ["https://example.com/weather"] * 3
    assert [event["text"] for event in host.events if event["class"] == "Logged"] == ["fetched with status 200"] * 3
    assert host.send(root, "read_slowly")["value"] == "'sunny 3'"
    assert host.send(root, "stop")["value"] == "True"
    host.pass_time(3600)
    assert len(asked) == 3


def test_the_foreman_hires_a_vat_changes_its_trade_and_lets_it_go() -> None:
    host = MemoryHost()
    root = host.launch(BUNDLES, {"foreman.py": FOREMAN, "worker.py": WORKER})["root"]
    assert host.send(root, "hire", "7")["value"] == "[14, 49, 'no more work']"
    assert host.kernel.living_vats() == ["v1"]


def test_a_service_of_one_s_own_answers() -> None:
    program: dict[str, Any] = {}
    exec(OWN, program)
    source = (
        "from kernel_py.vat import E, Exo\n"
        "class Root(Exo):\n"
        "    def bootstrap(self, vats, services):\n"
        '        return E(services["greeter"]).greet("Ada")\n'
        "def build_root_object(powers, parameters, baggage):\n"
        "    return Root()\n"
    )
    services = [{"greeter": {"greeting": "Hello"}}]
    config = {"bootstrap": "a", "services": services, "vats": {"a": {"source": "a.py"}}}
    assert program["host"].launch(config, {"a.py": source})["result"]["value"] == "'Hello, Ada!'"
