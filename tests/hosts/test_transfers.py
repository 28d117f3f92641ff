"""The whole state of a host as an archive that a client gets, and sends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kernel_py.core import schema
from kernel_py.core.store import Delta
from kernel_py.hosts import transfers
from tests.hosts.realms import Asker, World
from tests.hosts.test_host import CELL, FILES, in_world


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "PIECE_CHARS", 300)


async def export(asker: Asker) -> list[str]:
    """What the client gets, in order."""
    asker.pieces.clear()
    key = asker.next_key
    answer = await asker.result("export")
    assert [(piece["id"], piece["index"]) for piece in asker.pieces] == [(key, n) for n in range(answer["pieces"])]
    assert answer["pieces"] > 3
    return [piece["text"] for piece in asker.pieces]


async def put(asker: Asker, pieces: list[str]) -> dict[str, Any]:
    """The whole response to an import."""
    for index, text in enumerate(pieces):
        asker.notify("archive", {"id": asker.next_key, "index": index, "text": text})
    return await asker.call("import", {"pieces": len(pieces)})


@in_world
async def test_what_was_exported_is_imported_in_place_of_what_is_there(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    assert await asker.send(cluster["root"], "relay", "'b', 1") == "[1, 1]"
    pieces = await export(asker)
    assert await asker.send(cluster["root"], "relay", "'b', 2") == "[2, 2]"
    await asker.launch(FILES, c=CELL)
    response = await put(asker, pieces)
    assert response["result"]["parts"] > 3
    assert [vat["name"] for vat in (await asker.result("status"))["vats"]] == ["a", "b"]
    assert await asker.send(cluster["root"], "relay", "'b', 3") == "[2, 2]"
    assert await asker.send(cluster["root"], "read") == "[1, 3]"
    assert sorted(world.realms) == ["v1", "v2"]


@in_world
async def test_another_host_goes_on_from_it(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL, b=CELL)
    await asker.send(cluster["root"], "relay", "'b', 1")
    pieces = await export(asker)
    other = World()
    await other.start()
    there = Asker(other)
    there.connect()
    await put(there, pieces)
    assert await there.send(cluster["root"], "relay", "'b', 2") == "[2, 2]"


@in_world
async def test_what_waits_for_the_old_kernel_is_told_and_what_comes_meanwhile_waits_for_the_new(
    world: World, asker: Asker
) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    pieces = await export(asker)
    send = {"target": cluster["root"], "method": "wait_for", "args": "'x'"}
    waiting = asyncio.ensure_future(asker.call("send", send))
    await asyncio.sleep(1)
    importing = asyncio.ensure_future(put(asker, pieces))
    await asyncio.sleep(0.001)
    read = await asker.send(cluster["root"], "read")
    assert "result" in await importing
    assert (await waiting)["error"]["message"] == (
        "the kernel's state was replaced by another, before this was answered"
    )
    assert read == "[]"


@in_world
async def test_a_damaged_archive_changes_nothing(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    await asker.send(cluster["root"], "add", "1")
    pieces = await export(asker)
    for damaged in (pieces[:-1], [*pieces, "more"], [pieces[0].replace("kernel_py", "other", 1), *pieces[1:]], []):
        assert "error" in await put(asker, damaged)
        assert await asker.send(cluster["root"], "read") == "[1]"
    assert sorted(world.realms) == ["v1"]


@in_world
async def test_an_import_whose_pieces_were_lost_says_so(world: World, asker: Asker) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    pieces = await export(asker)
    lost = [*pieces[:2], *pieces[3:]]
    for index, text in enumerate(lost):
        asker.notify("archive", {"id": asker.next_key, "index": index + (index >= 2), "text": text})
    response = await asker.call("import", {"pieces": len(pieces)})
    assert "0 of the archive's" in response["error"]["message"]
    response = await asker.call("import", {"pieces": len(pieces)})
    assert "begin again" in response["error"]["message"]
    assert await asker.send(cluster["root"], "read") == "[]"


@in_world
async def test_where_an_import_was_cut_off_the_kernel_says_so_and_another_import_mends_it(
    world: World, asker: Asker
) -> None:
    cluster = await asker.launch(FILES, a=CELL)
    pieces = await export(asker)
    world.kill_host()
    await world.backend.commit(Delta(puts={schema.store_key(schema.KERNEL, schema.VERSION): schema.IMPORTING}))
    await world.start()
    asker.connect()
    response = await asker.call("status")
    assert "import" in response["error"]["message"]
    assert "result" in await put(asker, pieces)
    assert await asker.send(cluster["root"], "add", "1") == "1"
