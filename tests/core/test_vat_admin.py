"""The service vat_admin at the kernel's boundary: scripted vats create, upgrade and end others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernel_py.core import kmarshal
from kernel_py.core.kmarshal import Ref
from kernel_py.hosts.memory import RequestFailed
from tests.core.driver import (
    GO,
    JSON,
    ONE_BY_ONE,
    Driver,
    data,
    fulfill,
    leave,
    message,
    notify,
    ref,
    refs,
    send,
    subscribe,
    text,
)

VAT_ADMIN = "o-50"
ROOT, ADMIN = "o-52", "o-51"
"""How alice knows the vat that she created: references are told in the order of the record's names."""

BUNDLES = {"worker": {"source": "vat.py"}, "large": {"source": "vat.py", "kind": "worker"}}
FILES = {"own.py": "y = 1"}


def call(
    target: str, method: str, *args: object, result: str | None = "p+1", slots: tuple[str, ...] = (), **kwargs: object
) -> JSON:
    """A send with values and keyword arguments; `slots` are objects that come after the other arguments."""
    methargs = kmarshal.serialize_call(method, [*args, *map(Ref, slots)], kwargs)
    return ["send", target, {"methargs": data(methargs.body, *methargs.slots), "result": result}]


def launch(
    *, limits: Any = ONE_BY_ONE, grant: JSON = "vat_admin", names: tuple[str, ...] = ("alice",), vats: JSON = None
) -> Driver:
    """Alice has a vat_admin, and is asked to go (`GO`)."""
    driver = Driver(limits=limits)
    driver.launch(*names, services=(grant,), bundles=BUNDLES, vats=vats)
    driver.ask("alice")
    return driver


def create(driver: Driver, *args: object, **kwargs: object) -> str:
    """Alice creates a vat, which starts; the vat's id. She is asked to go again (the result is p-62)."""
    driver.reply("alice", call(VAT_ADMIN, "create", *(args or ("worker",)), **kwargs), subscribe("p+1"))
    vat = max(driver.kernel.living_vats(), key=lambda vat: int(vat[1:]))
    assert driver.delivery(vat)[0] == "startVat"
    driver.reply(vat)
    kind, [[vpid, is_reject, _]] = driver.delivery("alice")
    assert (kind, vpid, is_reject) == ("notify", "p+1", False)
    driver.reply("alice")
    driver.ask("alice")
    return vat


def outcome(driver: Driver, vpid: str = "p+1") -> str:
    """What alice is told of a promise: its value, or why it was rejected; for people."""
    kind, resolutions = driver.delivery("alice")
    assert kind == "notify"
    ((name, is_reject, told),) = resolutions
    assert name == vpid
    driver.reply("alice")
    driver.ask("alice")
    return ("rejected: " if is_reject else "") + str(told["body"])


def do(driver: Driver, *args: Any, **kwargs: Any) -> str:
    """Alice makes a call that is answered at once."""
    driver.reply("alice", call(*args, **kwargs), subscribe("p+1"))
    return outcome(driver)


def rows(driver: Driver, table: str) -> list[str]:
    return list(driver.kernel._state.rows(table))


# --- creation ---------------------------------------------------------------------------------------


def test_create_gives_root_and_admin_once_the_vat_has_started() -> None:
    driver = launch()
    driver.reply("alice", call(VAT_ADMIN, "create", "worker"), subscribe("p+1"))
    assert driver.delivery("v2") == ["startVat", data("#{}")]
    assert driver.delivery("alice") is None
    driver.reply("v2")
    body = '#{"admin":"$0.Alleged: admin of worker","root":"$1.Alleged: worker"}'
    driver.handle("alice", notify(("p+1", False, data(body, ADMIN, ROOT))))
    assert driver.kref("alice", ROOT) == driver.root("v2")
    driver.ask("alice")
    driver.reply("alice", send(ROOT, "work"))
    driver.handle("v2", message("o+0", "work"))


def test_a_created_vat_belongs_to_its_creator_s_cluster_and_is_of_the_bundle_s_kind() -> None:
    driver = launch()
    vat = create(driver, "large", name="archive")
    record = driver.kernel.get_vat(vat)
    assert (record.cluster, record.kind, record.name) == ("c1", "worker", "archive")
    assert driver.kernel.get_life(vat)[0].bundle == driver.kernel.get_life("v1")[0].bundle
    shown = {row["vat"]: row for row in driver.query("status")["vats"]}[vat]
    assert (shown["name"], shown["cluster"], shown["state"]) == ("archive", "c1", "running")


def test_a_vat_is_created_from_files_by_value() -> None:
    driver = launch()
    vat = create(driver, FILES)
    life = driver.kernel.get_life(vat)[0]
    assert life.main == "own.py"
    assert driver.backend.bundles[life.bundle] == '{"own.py":"y = 1"}'
    assert driver.kernel.get_vat(vat).kind == "iframe"
    driver.query("terminateVat", vat=vat)
    assert life.bundle not in driver.backend.bundles


def test_parameters_may_hold_references() -> None:
    driver = launch()
    methargs = kmarshal.serialize_call(
        "create", ["worker"], {"parameters": {"boss": Ref("o+1", "Alleged: boss"), "n": 1}}
    )
    told = {"methargs": data(methargs.body, *methargs.slots), "result": "p+1"}
    driver.reply("alice", ["send", VAT_ADMIN, told])
    assert driver.delivery("v2") == ["startVat", data('#{"boss":"$0.Alleged: boss","n":"+1"}', "o-50")]
    assert driver.kref("v2", "o-50") == driver.kref("alice", "o+1")


def test_vats_are_created_during_the_bootstrap() -> None:
    driver = Driver(limits=ONE_BY_ONE)
    key = driver.begin_launch("alice", services=("vat_admin",), bundles=BUNDLES)
    driver.reply("alice")
    driver.reply("alice", call(VAT_ADMIN, "create", "worker"), call(VAT_ADMIN, "create", "worker", result="p+2"))
    driver.reply("v2", error="Traceback: no")
    driver.reply("v3")
    driver.ask("alice")
    driver.reply("alice", fulfill("p-60", text("up")))
    assert driver.result(key)["result"]["value"] == "'up'"
    assert driver.kernel.living_vats() == ["v1", "v3"]


def test_a_created_vat_has_no_part_in_the_launch_of_its_cluster() -> None:
    driver = launch()
    create(driver)
    assert driver.query("status")["clusters"][0]["vats"] == {"alice": "v1"}


@pytest.mark.parametrize(
    "args, kwargs, reason",
    [
        ((), {}, "missing 1 required positional argument: 'bundle'"),
        (("nobody",), {}, "there is no bundle 'nobody'; the cluster file has: worker, large"),
        ((7,), {}, "a bundle is a name, or files as {path: text}, not 7"),
        (({},), {}, "source is missing"),
        (({"a.py": "", "b.py": ""},), {}, "source is missing: it says which of the files"),
        (({"a.py": ""},), {"source": "b.py"}, "there is no file 'b.py'; given are: a.py"),
        (({"a.py": ""},), {"source": 7}, "source is the path of a file, not 7"),
        (({"a.txt": ""},), {}, "'a.txt' does not end in .py"),
        (({"/a.py": ""},), {}, "does not match"),
        (({"a.py": b"x"},), {}, "the file 'a.py' is a text, not b'x'"),
        (({"a.py": "x" * 60},), {}, "60 characters of source; the limit is 50"),
        (("worker",), {"source": "vat.py"}, "source is for a bundle given as files"),
        (("worker",), {"name": "x" * 101}, "has 101 characters; the limit is 100"),
        (("worker",), {"name": "a b"}, "name: 'a b' does not match"),
        (("worker",), {"name": ""}, "does not match"),
        (("worker",), {"name": 7}, "name is a text, not 7"),
        (("worker",), {"parameters": []}, "parameters is a dict, not []"),
        (("worker",), {"colour": "red"}, "got an unexpected keyword argument 'colour'"),
        (("worker",), {"critical": 1}, "critical is True or False, not 1"),
        (("worker",), {"critical": True}, "PermissionError"),
        (("worker",), {"reap_interval": "never"}, "reap_interval is an int, not 'never'"),
        (("worker",), {"reap_interval": -1}, "or 0 for never, not -1"),
    ],
)
def test_a_creation_that_is_wrong_is_rejected_with_the_reason(args: Any, kwargs: Any, reason: str) -> None:
    driver = launch(limits=replace(ONE_BY_ONE, source_chars_max=50))
    driver.reply("alice", call(VAT_ADMIN, "create", *args, **kwargs), subscribe("p+1"))
    assert reason in outcome(driver)
    assert driver.kernel.living_vats() == ["v1"]
    assert rows(driver, "created") == []


def test_a_name_of_the_greatest_length_is_a_name() -> None:
    driver = launch()
    assert driver.kernel.get_vat(create(driver, name="x" * 100)).name == "x" * 100


@pytest.mark.parametrize("how", ["error", "illegal", "exit", "poison", "died", "from outside"])
def test_a_vat_that_does_not_start_is_an_answer_to_create_and_nothing_else(how: str) -> None:
    driver = launch(grant={"vat_admin": {"critical": True}})
    driver.reply("alice", call(VAT_ADMIN, "create", FILES, critical=True), subscribe("p+1"))
    match how:
        case "error":
            driver.reply("v2", error="Traceback: no build_root_object")
        case "illegal":
            driver.reply("v2", send("o-99", "x"))
        case "exit":
            driver.reply("v2", leave("no thanks", is_failure=True))
        case "poison":
            driver.poison("v2")
        case "died":
            for _ in range(3):
                driver.lose("v2")
        case _:
            driver.request("terminateVat", {"vat": "v2"})
    told = outcome(driver)
    assert told.startswith('rejected: #{"#error":"the vat was not created: ')
    assert '"name":"RuntimeError"' in told
    assert driver.kernel.living_vats() == ["v1"]
    assert rows(driver, "vats") == ["v1"]
    assert rows(driver, "created") == []
    assert len(rows(driver, "bundles")) == 1


def test_a_creation_that_nobody_waits_for_makes_a_vat_without_an_admin() -> None:
    driver = launch()
    driver.reply("alice", call(VAT_ADMIN, "create", "worker", result=None))
    driver.reply("v2")
    assert driver.kernel.living_vats() == ["v1", "v2"]
    assert len(rows(driver, "services")) == 1
    driver.query("terminateVat", vat="v2")
    assert rows(driver, "vats") == ["v1"]


def test_there_is_a_limit_on_living_vats() -> None:
    driver = launch(limits=replace(ONE_BY_ONE, created_vats_max=1))
    vat = create(driver)
    assert "1 vats live that were created here, which is the limit" in do(driver, VAT_ADMIN, "create", "worker")
    driver.query("terminateVat", vat=vat)
    driver.reply("alice", call(VAT_ADMIN, "create", "worker"))
    assert driver.delivery("v3")[0] == "startVat"


def test_a_creation_whose_crank_is_aborted_has_created_nothing() -> None:
    driver = launch()
    driver.reply("alice", call(VAT_ADMIN, "create", FILES), send("o-99", "x"))
    assert rows(driver, "vats") == ["v1"]
    assert rows(driver, "created") == []
    assert len(rows(driver, "bundles")) == 1


# --- across the kernel's death ----------------------------------------------------------------------


def test_a_creation_goes_on_after_the_kernel_s_death() -> None:
    driver = launch()
    driver.reply("alice", call(VAT_ADMIN, "create", FILES), subscribe("p+1"))
    driver.reload()
    assert driver.delivery("v2")[0] == "startVat"
    driver.reply("v2")
    assert "$1.Alleged: vat" in outcome(driver)
    driver.reload()
    driver.reply("alice", call(ADMIN, "terminate", "enough"))
    assert driver.kernel.living_vats() == ["v1"]


def test_who_waits_for_a_vat_s_end_is_told_by_a_later_kernel() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "done"), subscribe("p+1"))
    driver.reload()
    driver.ask(vat)
    driver.reply(vat, leave("bye"))
    assert outcome(driver) == '#"bye"'


# --- the end ----------------------------------------------------------------------------------------


def test_done_is_fulfilled_with_what_the_vat_said_when_it_was_done() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "done"), call(ADMIN, "done", result="p+2"), subscribe("p+1"), subscribe("p+2"))
    driver.ask(vat)
    driver.reply(vat, send("o+0", "unheard"), leave("bye"))
    driver.handle("alice", notify(("p+1", False, text("bye")), ("p+2", False, text("bye"))))
    assert driver.reason_of(vat) == "the vat is done: 'bye'"


def test_done_is_rejected_with_what_the_vat_said_when_it_gave_up() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "done"), subscribe("p+1"))
    driver.ask(vat)
    driver.reply(vat, leave("sorry", is_failure=True))
    assert outcome(driver) == 'rejected: #"sorry"'
    assert driver.reason_of(vat) == "the vat gave up: 'sorry'"


@pytest.mark.parametrize("is_critical", [False, True])
@pytest.mark.parametrize("is_failure", [False, True])
@pytest.mark.parametrize("said", [text("x"), data('#{"result":["+1",null]}')])
def test_a_vat_leaves_happily_or_not_critical_or_not(said: JSON, is_failure: bool, is_critical: bool) -> None:
    """What it sent before it left arrives unless it failed."""
    driver = launch(grant={"vat_admin": {"critical": True}})
    vat = create(driver, critical=is_critical)
    driver.launch("carol")
    watching = driver.request("send", {"target": driver.kref("v1", ADMIN), "method": "done", "args": ""})
    taken = driver.request("send", {"target": driver.root(vat), "method": "take", "args": driver.root("carol")})
    driver.reply(vat, send("o-50", "ante mortem"), ["exit", is_failure, said])
    assert driver.result(watching)["status"] == ("rejected" if is_failure else "fulfilled")
    assert driver.result(watching)["body"] == said["body"]
    assert driver.result(taken)["status"] == "rejected"
    assert driver.delivery("carol") == (None if is_failure else message("o+0", "ante mortem"))
    assert (driver.state_of("v1") == "terminated") is is_critical


@pytest.mark.parametrize("is_failure", [False, True])
def test_a_vat_may_leave_with_references(is_failure: bool) -> None:
    """What it made is an orphan by then; what it was given is what it was."""
    driver = launch(names=("alice", "bob"))
    vat = create_with_bob(driver)
    driver.reply("alice", call("o-52", "done"), subscribe("p+1"))
    driver.ask(vat)
    driver.reply(vat, ["exit", is_failure, refs("o+7", "o-50")])
    told = driver.delivery("alice")[1][0]
    assert (told[:2], told[2]["slots"]) == (["p+1", is_failure], ["o-54", "o-50"])
    assert driver.kref("alice", "o-50") == driver.root("bob")
    assert driver.kernel._references.find_owner(driver.kref("alice", "o-54")) is None


def create_with_bob(driver: Driver) -> str:
    """Alice, who knows bob as o-50 and the service as o-51, creates a vat with him as a parameter."""
    methargs = kmarshal.serialize_call("create", ["worker"], {"parameters": {"bob": Ref("o-50")}})
    told = {"methargs": data(methargs.body, *methargs.slots), "result": "p+1"}
    driver.reply("alice", ["send", "o-51", told], subscribe("p+1"))
    driver.reply("v3")
    driver.reply("alice")
    driver.ask("alice")
    return "v3"


def test_a_vat_that_leaves_names_what_it_has_or_breaks_the_rules() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "done"), subscribe("p+1"))
    driver.ask(vat)
    driver.reply(vat, ["exit", True, ref("o-99")])
    assert "o-99 was never given to this vat" in outcome(driver)


def test_a_vat_does_not_leave_with_a_promise() -> None:
    driver = launch()
    driver.reply("alice", ["exit", False, ref("p+5")])
    assert driver.reason_of("alice") == "cannot leave with a promise"


def test_terminate_ends_the_vat_and_done_tells_the_reason() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "done"), subscribe("p+1"), call(ADMIN, "terminate", "enough", result="p+2"))
    assert outcome(driver) == 'rejected: #{"#error":"enough","name":"Error"}'
    assert driver.stopped == [vat]
    assert driver.reason_of(vat) == "enough"
    assert do(driver, ADMIN, "terminate", "again") == "#false"
    assert do(driver, ADMIN, "done") == 'rejected: #{"#error":"enough","name":"Error"}'


def test_a_reason_may_be_anything_even_with_references() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "terminate", slots=("o+5",)), call(ADMIN, "done", result="p+2"), subscribe("p+2"))
    kind, [[_, is_reject, told]] = driver.delivery("alice")
    assert (kind, is_reject, told["slots"]) == ("notify", True, ["o+5"])
    assert driver.reason_of(vat).startswith("<Remotable ko")


@pytest.mark.parametrize(
    "end, told",
    [
        (lambda driver, vat: driver.reply(vat, error="Traceback: oh"), "Traceback: oh"),
        (lambda driver, vat: driver.reply(vat, send("o-99", "x")), "o-99 was never given to this vat"),
        (lambda driver, vat: driver.request("terminateVat", {"vat": vat, "reason": "by hand"}), "by hand"),
    ],
)
def test_done_is_rejected_whatever_ended_the_vat(end: Any, told: str) -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "done"), subscribe("p+1"))
    driver.ask(vat)
    end(driver, vat)
    assert f'"#error":"{told}' in outcome(driver)


def test_a_vat_that_ends_itself_through_its_admin_is_told_nothing_and_harms_nobody() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", send(ROOT, "take", ADMIN))
    driver.reply(vat, call("o-50", "terminate", "tired"))
    assert driver.state_of(vat) == "terminated"
    driver.ask("alice")
    assert driver.delivery("alice") == message("o+0", "go", result="p-63")


def test_created_vats_end_with_their_cluster_and_nothing_is_left_of_them() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "done"), call(VAT_ADMIN, "create", "worker", result="p+2"))
    driver.query("terminateCluster", cluster="c1", reason="over")
    assert rows(driver, "vats") == ["v1"]
    assert vat in driver.stopped
    for table in ("created", "services", "bundles", "leftovers", "counters", "objects"):
        assert rows(driver, table) == [], table


def test_a_reloaded_cluster_begins_without_the_vats_that_were_created() -> None:
    driver = launch()
    vat = create(driver)
    driver.request("reloadCluster", {"cluster": "c1"})
    assert vat not in driver.kernel.living_vats()
    assert len(driver.kernel.living_vats()) == 1


def test_of_an_ended_vat_there_is_a_record_as_long_as_somebody_has_its_admin() -> None:
    driver = launch()
    vat = create(driver)
    driver.query("terminateVat", vat=vat)
    assert rows(driver, "vats") == ["v1", vat]
    driver.reply("alice", ["dropImports", [ADMIN]])
    driver.ask("alice")
    assert rows(driver, "vats") == ["v1", vat]
    driver.reply("alice", ["retireImports", [ADMIN]])
    assert rows(driver, "vats") == ["v1"]
    assert rows(driver, "created") == []


def test_a_vat_whose_admin_and_root_nobody_has_lives_on() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", ["dropImports", [ADMIN, ROOT]], ["retireImports", [ADMIN, ROOT]])
    assert driver.kernel.living_vats() == ["v1", vat]
    assert driver.delivery(vat) is None, "its root stays"
    driver.query("terminateVat", vat=vat)
    assert rows(driver, "vats") == ["v1"]


def test_many_vats_created_and_ended_leave_nothing_behind() -> None:
    driver = launch()
    before = None
    for _ in range(5):
        vat = create(driver, FILES)
        number = int(driver.find_vref("alice", driver.root(vat))[2:])  # type: ignore[index]
        root, admin = f"o-{number}", f"o-{number - 1}"
        driver.reply("alice", call(admin, "terminate", result=None))
        driver.ask("alice")
        names = [admin, root]
        driver.reply("alice", ["dropImports", names], ["retireImports", names])
        while driver.inflight:
            driver.reply("alice")
        driver.ask("alice")
        tables = ("vats", "created", "services", "objects", "bundles", "leftovers")
        counts = [driver.kernel._state.count(table) for table in tables]
        assert before is None or before == counts
        before = counts


# --- critical vats ----------------------------------------------------------------------------------


def test_a_critical_vat_ends_its_cluster_and_takes_a_grant() -> None:
    driver = launch(grant={"vat_admin": {"critical": True}})
    vat = create(driver, critical=True)
    driver.query("terminateVat", vat=vat)
    assert driver.kernel.living_vats() == []
    assert driver.query("status")["clusters"][0]["reason"].startswith("its critical vat 'worker' (v2) ended")


def test_a_vat_is_made_critical_only_by_who_may() -> None:
    driver = launch()
    vat = create(driver)
    assert "PermissionError" in do(driver, ADMIN, "change_options", critical=True)
    assert not driver.kernel.get_vat(vat).is_critical
    driver = launch(grant={"vat_admin": {"critical": True}})
    vat = create(driver)
    assert do(driver, ADMIN, "change_options", critical=True) == "#null"
    assert driver.kernel.get_vat(vat).is_critical
    assert do(driver, ADMIN, "change_options", critical=False) == "#null"
    driver.query("terminateVat", vat=vat)
    assert driver.kernel.living_vats() == ["v1"]


# --- options ----------------------------------------------------------------------------------------


def test_the_interval_of_reaping_is_an_option() -> None:
    driver = launch()
    vat = create(driver, reap_interval=2)
    seen = []
    for _ in range(4):
        driver.ask(vat)
        while driver.delivery(vat) is not None:
            seen.append(driver.delivery(vat)[0])
            driver.reply(vat)
    assert seen == ["message", "bringOutYourDead", "message", "message", "bringOutYourDead", "message"]


def test_a_change_of_options_is_told_to_the_vat_in_its_turn() -> None:
    driver = launch()
    vat = create(driver, reap_interval=0)
    driver.reply("alice", send(ROOT, "first"), call(ADMIN, "change_options", reap_interval=7), send(ROOT, "second"))
    driver.handle(vat, message("o+0", "first"))
    driver.handle(vat, message("o+0", "second"))
    driver.handle(vat, ["changeVatOptions", {"reapInterval": 7}])
    assert driver.kernel.get_vat(vat).reap_interval == 7
    driver.ask("alice")
    driver.reply("alice", call(ADMIN, "change_options", reap_interval=0, result=None))
    driver.reload()
    driver.handle(vat, ["changeVatOptions", {"reapInterval": "never"}])


@pytest.mark.parametrize(
    "method, kwargs, reason",
    [
        ("change_options", {"reap_interval": 1.5}, "reap_interval is an int, not 1.5"),
        ("change_options", {"critical": "yes"}, "critical is True or False, not 'yes'"),
        ("change_options", {"colour": 1}, "unexpected keyword argument 'colour'"),
        ("destroy", {}, "admin has no method 'destroy'; it has upgrade, terminate, done, change_options"),
        ("create", {}, "admin has no method 'create'"),
    ],
)
def test_a_call_of_an_admin_that_is_wrong_is_rejected_with_the_reason(method: str, kwargs: Any, reason: str) -> None:
    driver = launch()
    create(driver)
    assert reason in do(driver, ADMIN, method, **kwargs)


@pytest.mark.parametrize("method", ["change_options", "upgrade"])
def test_an_ended_vat_has_no_options_and_no_upgrades(method: str) -> None:
    driver = launch()
    vat = create(driver)
    driver.query("terminateVat", vat=vat, reason="enough")
    assert f"{vat} has ended: enough" in do(driver, ADMIN, method, *(("worker",) if method == "upgrade" else ()))


# --- upgrades ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle, main", [(FILES, "own.py"), ("worker", "vat.py")])
def test_an_upgrade_is_answered_when_the_new_incarnation_has_started(bundle: Any, main: str) -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "upgrade", bundle, parameters={"n": 1}), subscribe("p+1"))
    driver.handle(vat, ["bringOutYourDead"])
    assert driver.delivery("alice") is None
    driver.reload()
    driver.handle(vat, ["startVat", data('#{"n":"+1"}')])
    assert outcome(driver) == '#{"incarnation":"+1"}'
    assert driver.kernel.get_life(vat)[1].main == main


@pytest.mark.parametrize("bundle", [FILES, "worker"])
def test_a_vat_stays_of_its_kind(bundle: Any) -> None:
    """What is given as files must not come to run in a realm that is less confined."""
    driver = launch()
    create(driver, "large")
    assert "the vat is of kind 'worker', and cannot run what is for kind 'iframe'" in do(
        driver, ADMIN, "upgrade", bundle
    )


def test_a_failed_upgrade_is_rejected_and_the_vat_goes_on() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "upgrade", FILES), subscribe("p+1"))
    driver.reply(vat)
    driver.reply(vat, error="Traceback: lost kind")
    told = outcome(driver)
    assert told.startswith("rejected: ")
    assert "was not upgraded and goes on as it was: Traceback: lost kind" in told
    assert driver.kernel.get_vat(vat).incarnation == 0
    assert len(rows(driver, "bundles")) == 1
    driver.reply("alice", send(ROOT, "work"))
    driver.handle(vat, message("o+0", "work"))


def test_a_vat_that_ends_while_it_is_upgraded_rejects_the_upgrade() -> None:
    driver = launch()
    vat = create(driver)
    driver.reply("alice", call(ADMIN, "upgrade", FILES), subscribe("p+1"))
    driver.query("terminateVat", vat=vat)
    assert f"{vat} was terminated before it was upgraded" in outcome(driver)


@pytest.mark.parametrize(
    "args, kwargs, reason",
    [
        ((), {}, "missing 1 required positional argument"),
        (("nobody",), {}, "there is no bundle 'nobody'"),
        (("worker",), {"options": 1}, "unexpected keyword argument 'options'"),
        (("worker",), {"message": 1}, "message is a text, not 1"),
        (("worker",), {"parameters": 1}, "parameters is a dict, not 1"),
    ],
)
def test_an_upgrade_that_is_wrong_is_rejected_with_the_reason(args: Any, kwargs: Any, reason: str) -> None:
    driver = launch()
    vat = create(driver)
    assert reason in do(driver, ADMIN, "upgrade", *args, **kwargs)
    assert driver.delivery(vat) is None
    assert rows(driver, "upgrades") == []


def test_one_upgrade_at_a_time() -> None:
    driver = launch()
    create(driver)
    driver.reply("alice", call(ADMIN, "upgrade", FILES, result=None), call(ADMIN, "upgrade", FILES), subscribe("p+1"))
    assert "is being upgraded already" in outcome(driver)


# --- everything at once -----------------------------------------------------------------------------

_ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-3, 3) | st.text(max_size=3) | st.binary(max_size=3)
    | st.sampled_from(["worker", "large", FILES]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(
    target=st.sampled_from([VAT_ADMIN, ADMIN]),
    method=st.sampled_from(["create", "upgrade", "terminate", "done", "change_options", "__class__", ""]),
    args=st.lists(_ARGUMENTS, max_size=3),
    kwargs=st.dictionaries(
        st.sampled_from(["name", "source", "parameters", "critical", "reap_interval", "message", "x"]),
        _ARGUMENTS,
        max_size=2,
    ),
)
def test_pitfall_04_whatever_vat_admin_is_called_with_it_is_answered(
    target: str, method: str, args: list[object], kwargs: dict[str, object]
) -> None:
    driver = launch()
    create(driver)
    driver.reply("alice", call(target, method, *args, **kwargs), subscribe("p+1"), fulfill("p-62", text("x")))
    while (busy := [vat for vat in driver.inflight if vat != "v1"]) != []:
        driver.reply(busy[0])
    if "v2" in driver.kernel.living_vats():
        driver.query("terminateVat", vat="v2")
    while driver.inflight:
        driver.reply("alice")
    assert driver.state_of("alice") == "running"
    assert driver.kernel._references.find_kref("v1", "p+1") is None, "never answered"


def test_an_unknown_configuration_is_refused_with_its_path() -> None:
    config = {"bootstrap": "a", "vats": {"a": {"source": "a.py"}}, "services": [{"vat_admin": {"x": 1}}]}
    with pytest.raises(RequestFailed, match="unknown field") as caught:
        Driver().query("launch", config=config, files={"a.py": ""})
    assert caught.value.path == "config.services[0].vat_admin.x"


def test_go_is_answered_all_the_while() -> None:
    """A creator that waits for its vat hangs nobody."""
    driver = launch()
    driver.reply("alice", call(VAT_ADMIN, "create", "worker"), subscribe("p+1"))
    asked = driver.ask("alice")
    driver.reply("alice", fulfill(GO, text("here")))
    assert driver.result(asked) is None
    assert driver.delivery("v2")[0] == "startVat"
