"""Snapshots in the kernel's state: which are kept, what they share, and what becomes of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kernel_py.core.kernel import Incarnation
from kernel_py.core.schema import Mark
from kernel_py.wire.errors import HostFault
from kernel_py.wire.snapshots import HeapImage, dump_pages, pack_chunk
from tests.core.driver import ONE_BY_ONE, Driver, message


def make_image(*pieces: str, base: str = "base") -> HeapImage:
    packed = [pack_chunk(piece.encode()) for piece in pieces]
    pages = dump_pages((str(place), chunk) for place, (chunk, _) in enumerate(packed))
    return HeapImage(base, 1_000, pages, dict(packed))


def chunk_of(piece: str) -> str:
    return pack_chunk(piece.encode())[0]


@pytest.fixture
def driver() -> Driver:
    driver = Driver()
    driver.launch("alice", "bob")
    return driver


def take(driver: Driver, name: str, *pieces: str, base: str = "base") -> HeapImage:
    image = make_image(*pieces, base=base)
    driver.kernel.snapshot_taken(driver.vat(name), image)
    driver.turn()
    return image


def live(driver: Driver, name: str) -> None:
    """One delivery."""
    driver.acknowledge(driver.ask(name))
    driver.reply(name)


def test_a_snapshot_is_of_the_last_completed_delivery(driver: Driver) -> None:
    image = take(driver, "alice", "a", "b")
    vat = driver.vat("alice")
    snapshot = driver.kernel.find_snapshot(vat, "base")
    assert snapshot is not None
    assert (snapshot.delivered, snapshot.incarnation, snapshot.digest) == (2, 0, image.digest)
    assert snapshot.chain == driver.kernel.get_chain(vat)
    assert driver.kernel.find_snapshot(vat, "another") is None
    assert driver.kernel.find_snapshot(driver.vat("bob"), "base") is None


def test_chunks_are_shared_between_vats_and_snapshots_and_stored_once(driver: Driver) -> None:
    take(driver, "alice", "a", "b", "a")
    take(driver, "bob", "b", "c")
    assert set(driver.backend.chunks) == {chunk_of(piece) for piece in "abc"}
    driver.request("terminateVat", {"vat": driver.vat("alice")})
    assert set(driver.backend.chunks) == {chunk_of(piece) for piece in "bc"}
    assert dict(driver.kernel._state.view("chunks")) == {chunk_of("b"): 1, chunk_of("c"): 1}


def test_the_newest_are_kept_and_what_only_older_ones_need_goes(driver: Driver) -> None:
    for piece in "abc":
        take(driver, "alice", "all", piece)
        live(driver, "alice")
    vat = driver.vat("alice")
    assert driver.kernel.get_mark(vat).kept == (3, 4)
    assert set(driver.backend.chunks) == {chunk_of("all"), chunk_of("b"), chunk_of("c")}


def test_a_chunk_that_comes_back_in_the_same_commit_stays(driver: Driver) -> None:
    driver.limits = replace(ONE_BY_ONE, snapshots_kept=1)
    driver.reload()
    take(driver, "alice", "a")
    live(driver, "alice")
    driver.is_committing = False
    take(driver, "alice", "b")
    live(driver, "alice")
    take(driver, "alice", "a")
    driver.is_committing = True
    driver.turn()
    assert set(driver.backend.chunks) == {chunk_of("a")}


def test_snapshots_survive_the_kernel(driver: Driver) -> None:
    take(driver, "alice", "a")
    before = driver.kernel.find_snapshot(driver.vat("alice"), "base")
    driver.reload()
    assert driver.kernel.find_snapshot(driver.vat("alice"), "base") == before


def test_a_life_begins_at_a_snapshot(driver: Driver) -> None:
    vat = driver.vat("alice")
    bundle, main = driver.kernel.get_vat(vat).sources[0][1:]
    take(driver, "alice", "a")
    live(driver, "alice")
    driver.request("upgradeVat", {"vat": vat, "files": {"vat.py": "x = 2"}, "source": "vat.py"})
    driver.handle("alice", ["bringOutYourDead"])
    driver.reply("alice")
    live(driver, "alice")
    snapshot = driver.kernel.find_snapshot(vat, "base")
    old, new = driver.kernel.get_life(vat, snapshot)
    assert old == Incarnation(0, 3, 4, bundle, main)
    assert (new.number, new.first, new.last) == (1, 5, 6)
    take(driver, "alice", "b")
    assert driver.kernel.get_life(vat, driver.kernel.find_snapshot(vat, "base")) == [replace(new, first=7)]


def test_the_next_entry_says_where_the_heap_was_looked_at(driver: Driver) -> None:
    image = take(driver, "alice", "a")
    for _ in range(2):
        live(driver, "alice")
    marks = [json.loads(entry).get("s") for entry in driver.backend.transcripts[driver.vat("alice")].values()]
    assert marks == [None, None, ["base", image.digest], None]


def test_a_heap_that_was_looked_at_in_vain_is_marked_too(driver: Driver) -> None:
    driver.kernel.heap_marked(driver.vat("alice"), "no room")
    driver.turn()
    live(driver, "alice")
    assert driver.kernel.get_mark(driver.vat("alice")) == Mark(2, "", "", ())
    assert json.loads(driver.backend.transcripts[driver.vat("alice")][3])["s"] == ["", ""]


def test_a_second_look_at_the_same_heap_is_refused(driver: Driver) -> None:
    take(driver, "alice", "a")
    with pytest.raises(HostFault, match="after delivery 2 was looked at already"):
        take(driver, "alice", "b")


@pytest.mark.parametrize(
    "image, reason",
    [
        (replace(make_image("a"), chunks={}), "without its chunk"),
        (replace(make_image("a"), pages="0:abc"), "malformed"),
        (replace(make_image("a"), pages=make_image("a").pages + ","), "malformed"),
        (replace(make_image("a"), base="a b"), "malformed"),
        (replace(make_image("a"), memory_bytes=-1), "malformed"),
        (make_image(*map(str, range(30_000))), "malformed"),
    ],
)
def test_an_image_that_cannot_be_kept_changes_nothing(driver: Driver, image: HeapImage, reason: str) -> None:
    before = dict(driver.backend.texts)
    with pytest.raises(HostFault, match=reason):
        driver.kernel.snapshot_taken(driver.vat("alice"), image)
    driver.commit()
    assert driver.backend.texts == before
    assert not driver.backend.chunks


def test_a_damaged_chunk_takes_every_snapshot_that_needs_it_and_is_stored_anew(driver: Driver) -> None:
    take(driver, "alice", "a")
    live(driver, "alice")
    take(driver, "alice", "b", "shared")
    take(driver, "bob", "shared")
    driver.kernel.snapshot_unusable(driver.vat("alice"), 3, "it is damaged", chunk_of("shared"))
    driver.turn()
    assert set(driver.backend.chunks) == {chunk_of("a")}
    assert driver.kernel.get_mark(driver.vat("alice")).kept == (2,)
    assert driver.kernel.get_mark(driver.vat("bob")).kept == ()
    assert driver.kernel.get_mark(driver.vat("bob")).delivered == 1
    live(driver, "bob")
    take(driver, "bob", "shared")
    assert set(driver.backend.chunks) == {chunk_of("a"), chunk_of("shared")}


def test_an_image_of_a_vat_that_is_no_more_is_ignored(driver: Driver) -> None:
    driver.request("terminateVat", {"vat": driver.vat("bob")})
    take(driver, "bob", "a")
    driver.kernel.heap_marked(driver.vat("bob"), "gone")
    driver.turn()
    assert not driver.backend.chunks


def test_what_is_in_flight_is_not_in_a_snapshot(driver: Driver) -> None:
    driver.ask("alice")
    take(driver, "alice", "a")
    snapshot = driver.kernel.find_snapshot(driver.vat("alice"), "base")
    assert snapshot is not None
    assert snapshot.delivered == 2
    assert driver.delivery("alice") == message("o+0", "go", result="p-61")
    driver.reply("alice")
    assert json.loads(driver.backend.transcripts[driver.vat("alice")][3])["s"] == ["base", snapshot.digest]
