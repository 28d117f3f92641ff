"""The command line: ``kernel-py``.

Owns the commands, their options and the exit codes:

    0    done
    1    the answer is a failure: a message was rejected, a cluster not launched, a request refused
    2    the command line is wrong
    3    the store, or an archive, cannot be used
    4    a vat cannot be run: its worker does not start, or its replay differs from the record
    5    a message was sent, and nothing is left to do that would settle its answer
    130  stopped by Ctrl-C; what was printed is stored
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from kernel_py.core.archive import export_archive, import_archive
from kernel_py.core.cluster_config import CONFINED_KIND, PROCESS_KIND, PYODIDE_KIND, VAT_KINDS
from kernel_py.core.control import Call
from kernel_py.core.kernel import Kernel
from kernel_py.core.store import MemoryBackend
from kernel_py.core.trace import TraceWriter
from kernel_py.core.traffic import derive_log
from kernel_py.hosts.memory import RequestFailed, run_now
from kernel_py.hosts.native.cluster_files import read_cluster, read_sources
from kernel_py.hosts.native.native_host import NativeKernel
from kernel_py.hosts.native.node_program import make_realm_program
from kernel_py.hosts.native.past import Past, read_archive
from kernel_py.hosts.native.shown import Printer
from kernel_py.hosts.native.sqlite_store import SqliteBackend
from kernel_py.hosts.native.wasm_runtime import WasmRuntime
from kernel_py.hosts.native.workers import ANSWER_S_MAX, UNCONFINED_KINDS, ProcessWorkers
from kernel_py.hosts.replaying import Replayer, Report
from kernel_py.wire.errors import HostFault, KernelBug, KernelError, RequestError, StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS

FAILED = 1
STORE_UNUSABLE = 3
VAT_UNUSABLE = 4
UNSETTLED = 5
INTERRUPTED = 130

_CHUNK_BYTES = 1 << 20

_T = TypeVar("_T")


class Refusal(click.ClickException):
    """An error for people, with its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class, and reads it here


def _refuse(error: KernelError) -> NoReturn:
    match error:
        case StoreError():
            raise Refusal(str(error), STORE_UNUSABLE) from error
        case HostFault():
            raise Refusal(str(error), VAT_UNUSABLE) from error
        case KernelBug():
            raise error
        case _:
            raise Refusal(str(error), FAILED) from error


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Errors of this package become messages with an exit code."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except KernelError as error:
            _refuse(error)

    return run


def _path(**options: Any) -> click.Path:
    return click.Path(path_type=Path, dir_okay=False, **options)


_store_option = functools.partial(
    click.option, "--store", required=True, envvar="KERNEL_PY_STORE", show_envvar=True, help="The kernel's file."
)
_new_store = _store_option(type=_path())
_old_store = _store_option(type=_path(exists=True))
_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")
_log = click.option("--log", "is_logged", is_flag=True, help="Print the messages that this sets going.")
_commands = click.option(
    "--allow-commands",
    is_flag=True,
    help="Let vats be programs of this machine (kind: command), which are not confined.",
)
_pyodide = click.option(
    "--pyodide",
    is_flag=True,
    help="Run vats of kinds iframe and worker in the realms that a browser has, in Node: with the same heaps.",
)
_unconfined = click.option(
    "--unconfined",
    is_flag=True,
    help="Run Python vats as plain processes, which may do whatever you may: for debugging.",
)
_answer_s = click.option(
    "--answer-s",
    type=click.FloatRange(min=0.1),
    default=ANSWER_S_MAX,
    show_default=True,
    help="Seconds after which a vat that does not answer is killed, and its delivery tried again.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="kernel_py")
def program() -> None:
    """An object-capability kernel: clusters of vats, and the messages between them, kept in one file."""


# --- running ------------------------------------------------------------------------------------


class _Stopped(Exception):
    """Ctrl-C, a termination, or nobody reads what is printed."""


def _run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `main`, which is given an event that is set when it is to stop; end with code 130 if it was."""

    async def watch() -> bool:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await main(stop)
        return stop.is_set()

    if asyncio.run(watch()):
        raise Refusal("stopped; everything that was printed is stored", INTERRUPTED)


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`, unless `stop` comes first.

    Raises:
        _Stopped: it did. `work` was cancelled.
    """
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
        raise _Stopped
    return working.result()


def _on_event(printer: Printer, stop: asyncio.Event) -> Callable[[dict[str, Any]], None]:
    def show(event: dict[str, Any]) -> None:
        try:
            printer.event(event)
        except OSError:  # nobody reads any more
            stop.set()

    return show


@program.command()
@click.argument("cluster", type=click.Path(path_type=Path, exists=True), required=False)
@_new_store
@_json
@click.option("--stay", is_flag=True, help="Go on when nothing is left to do and no timer is set, until Ctrl-C.")
@click.option(
    "--serve",
    is_flag=True,
    help="Take requests of the control interface on standard input, and answer on standard output.",
)
@click.option("--quiet", is_flag=True, help="Do not print the messages.")
@_commands
@_pyodide
@_unconfined
@_answer_s
@_command
def run(cluster: Path | None, store: Path, **options: Any) -> None:
    """Launch CLUSTER (a folder with a cluster.json, or such a file), or go on with it where it was.

    Prints the messages as they happen, and ends when nothing is left to do.
    """
    if cluster is None and not (options["serve"] or options["stay"]):
        raise click.UsageError("name a CLUSTER, or use --serve or --stay")
    launch = None if cluster is None else read_cluster(cluster)
    printer = Printer(is_json=options["is_json"] or options["serve"])
    is_logged = not (options["quiet"] or options["serve"])

    async def main(stop: asyncio.Event) -> None:
        kernel = NativeKernel.open(
            store,
            on_event=_on_event(printer, stop) if is_logged else None,
            commands_allowed=options["allow_commands"],
            pyodide=options["pyodide"],
            unconfined=options["unconfined"],
            on_note=printer.note,
            answer_s_max=options["answer_s"],
        )
        async with kernel:
            try:
                served = _serve(kernel, printer, stop) if options["serve"] else None
                if launch is not None:
                    await _until(stop, _launch(kernel, launch, printer))
                if served is not None:
                    await _until(stop, served.wait())
                await _until(stop, kernel.finished())
                if options["stay"]:
                    await stop.wait()
            except _Stopped:
                pass

    _run(main)


async def _launch(kernel: NativeKernel, launch: dict[str, Any], printer: Printer) -> None:
    """Launch a cluster, unless one of its name lives in the store already."""
    config = launch["config"]
    name = config.get("name") or config.get("bootstrap") if isinstance(config, dict) else ""
    key = f"run-{hashlib.sha256(str(name).encode()).hexdigest()[:16]}"
    clusters = (await kernel.request("status"))["clusters"]
    known = next((item for item in clusters if item["name"] == name and item["state"] == "running"), None)
    if known is not None:
        printer.note(f"cluster {name} ({known['cluster']}) goes on")
        return
    # With one key for the name, a launch that was interrupted goes on instead of being made again.
    launched = await kernel.request("launch", launch, key=key)
    result = launched["result"]
    shown = f"cluster {name} ({launched['cluster']}) is launched; its root is {launched['root']}: {result['value']}"
    printer.value({"class": "Launched", **launched}, shown)


def _serve(kernel: NativeKernel, printer: Printer, stop: asyncio.Event) -> asyncio.Event:
    """Take requests from standard input. The event is set when it has ended."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def show(text: str) -> None:
        try:
            printer.line(text)
            sys.stdout.flush()
        except OSError:
            stop.set()

    client = kernel.host.connect(show)

    def read() -> None:
        for line in sys.stdin:
            if line.strip():
                loop.call_soon_threadsafe(client.receive, line)
        loop.call_soon_threadsafe(ended.set)

    # Not a thread of asyncio's: that one could not be left behind while it reads.
    threading.Thread(target=read, daemon=True).start()
    return ended


@program.command(context_settings={"ignore_unknown_options": True})  # such as -3, an argument of the message
@click.argument("target")
@click.argument("method")
@click.argument("args", default="")
@_old_store
@_json
@_log
@_commands
@_pyodide
@_unconfined
@_answer_s
@click.option("--key", default="", help="The request's own name: one that was sent before is not sent again.")
@_command
def send(target: str, method: str, args: str, store: Path, **options: Any) -> None:
    """Send a message to an object, and print the answer.

    TARGET is a reference such as ko20; ARGS are Python literals and references: "3, 'x', ko23, amount=5".
    """
    printer = Printer(is_json=options["is_json"])
    settled: dict[str, Any] = {}
    key = options["key"] or secrets.token_hex(8)

    async def main(stop: asyncio.Event) -> None:
        async with _open(store, printer, stop, options) as kernel:
            params = {"target": target, "method": method, "args": args}
            asking = asyncio.ensure_future(kernel.request("send", params, key=key))
            try:
                await _until(stop, _answer_or_idle(kernel, asking))
                settled.update(asking.result() if asking.done() else {"status": "pending", "value": "", "key": key})
            except _Stopped:
                pass
            finally:
                asking.cancel()

    _run(main)
    match settled["status"]:
        case "fulfilled":
            printer.value(settled, settled["value"])
        case "rejected":
            if options["is_json"]:
                printer.value(settled, "")
            raise Refusal(f"rejected: {settled['value']}", FAILED)
        case _:
            if options["is_json"]:
                printer.value(settled, "")
            raise Refusal(f"not settled yet; ask again with --key {key}", UNSETTLED)


async def _answer_or_idle(kernel: NativeKernel, asking: asyncio.Future[Any]) -> None:
    """Wait until nothing is left to do; fail if `asking` has."""
    await kernel.idle()
    if asking.done():
        asking.result()


def _open(store: Path, printer: Printer, stop: asyncio.Event, options: dict[str, Any]) -> NativeKernel:
    return NativeKernel.open(
        store,
        on_event=_on_event(printer, stop) if options["is_logged"] else None,
        commands_allowed=options["allow_commands"],
        pyodide=options["pyodide"],
        unconfined=options["unconfined"],
        on_note=printer.note,
        answer_s_max=options["answer_s"],
    )


def _request(
    store: Path, options: dict[str, Any], method: str, params: dict[str, Any], done: Callable[[dict[str, Any]], str]
) -> None:
    """Make a request, let happen what it sets going, and print what `done` makes of the answer."""
    printer = Printer(is_json=options["is_json"])
    answer: dict[str, Any] = {}

    async def main(stop: asyncio.Event) -> None:
        async with _open(store, printer, stop, options) as kernel:
            with contextlib.suppress(_Stopped):
                answer.update(await _until(stop, kernel.request(method, params)))
                await _until(stop, kernel.idle())

    _run(main)
    printer.value(answer, done(answer))


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """The options of commands that run the kernel."""
    for option in (_answer_s, _unconfined, _pyodide, _commands, _log, _json, _old_store):
        function = option(function)
    return function


@program.command()
@click.argument("target")
@click.option("--reason", default="terminated from the command line", help="Shown in the status.")
@_options
@_command
def terminate(target: str, store: Path, reason: str, **options: Any) -> None:
    """End a vat (v3) or a cluster (c1)."""
    method, name = ("terminateCluster", "cluster") if target.startswith("c") else ("terminateVat", "vat")
    _request(store, options, method, {name: target, "reason": reason}, lambda _: f"{target} is terminated")


@program.command()
@click.argument("vat")
@click.argument("sources", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--source", default=None, help="The file that defines build_root_object, if it is another than before.")
@click.option("--parameters", default=None, help="New parameters, as a JSON object.")
@click.option("--message", default=None, help="Told to those who wait for what the old incarnation owed.")
@_options
@_command
def upgrade(vat: str, sources: Path, store: Path, **options: Any) -> None:
    """Give a vat new code: the Python files in the folder SOURCES. What is durable in it stays."""
    params: dict[str, Any] = {"vat": vat, "files": read_sources(sources)}
    if options["parameters"] is not None:
        try:
            params["parameters"] = json.loads(options["parameters"])
        except ValueError as error:
            raise RequestError(f"is not JSON: {error}", "parameters") from None
    params |= {name: options[name] for name in ("source", "message") if options[name] is not None}
    _request(store, options, "upgradeVat", params, lambda answer: f"{vat} is incarnation {answer['incarnation']}")


@program.command()
@click.option("--vat", default=None, help="Only this vat.")
@_options
@_command
def collect(store: Path, vat: str | None, **options: Any) -> None:
    """Have the vats drop what they do not use any more."""
    params = {} if vat is None else {"vat": vat}
    _request(store, options, "collectGarbage", params, lambda answer: f"asked {', '.join(answer['vats'])}")


@program.command()
@click.argument("reference")
@_options
@_command
def pin(reference: str, store: Path, **options: Any) -> None:
    """Keep an object (ko23), also if no vat holds it any more."""
    _request(store, options, "pin", {"object": reference}, lambda _: f"{reference} is pinned")


@program.command()
@click.argument("reference")
@_options
@_command
def unpin(reference: str, store: Path, **options: Any) -> None:
    """Undo a pin."""
    _request(store, options, "unpin", {"object": reference}, lambda _: f"{reference} is not pinned")


@program.command()
@click.argument("reference")
@_options
@_command
def revoke(reference: str, store: Path, **options: Any) -> None:
    """Let no message reach an object (ko23) any more."""
    _request(store, options, "revoke", {"object": reference}, lambda _: f"{reference} is revoked")


# --- looking ------------------------------------------------------------------------------------


def _query(store: Path, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask a kernel that does not run: no vat is started for it."""
    backend = SqliteBackend(store)
    try:
        texts = run_now(backend.load())
    finally:
        run_now(backend.close())
    if not texts:
        raise StoreError(f"{store}: the store is empty")
    kernel = Kernel(texts, seed="")
    kernel.request(Call("query", method, params or {}), {})
    (response,) = kernel.take_commit().responses
    message = json.loads(response.text)
    if "error" in message:
        raise RequestFailed(message["error"])
    return dict(message["result"])


@program.command()
@_old_store
@_json
@_command
def status(store: Path, *, is_json: bool) -> None:
    """Print clusters, and what the kernel holds."""
    found = _query(store, "status")
    printer = Printer(is_json=is_json)
    if not is_json:
        printer.line(", ".join(f"{count:,} {name}" for name, count in found["kernel"].items()))
    rows = [{**cluster, "vats": len(cluster["vats"])} for cluster in found["clusters"]]
    printer.table(found, ("cluster", "name", "state", "vats", "bootstrap", "reason"), rows)


@program.command()
@_old_store
@_json
@_command
def vats(store: Path, *, is_json: bool) -> None:
    """Print the vats."""
    found = _query(store, "status")["vats"]
    columns = ("vat", "name", "cluster", "kind", "state", "root", "deliveries", "queued", "inflight", "reason")
    rows = [{**each, "kind": _describe_kind(each["kind"])} for each in found]
    Printer(is_json=is_json).table(found, columns, rows)


def _describe_kind(kind: str) -> str:
    return f"{kind} (not confined)" if kind in UNCONFINED_KINDS else kind


@program.command()
@click.option("--vat", default=None, help="Only those of this vat.")
@click.option("--offset", type=int, default=0, help="Skip so many.")
@click.option("--limit", type=int, default=100, show_default=True, help="Print so many at most.")
@_old_store
@_json
@_command
def objects(store: Path, vat: str | None, *, is_json: bool, **page: int) -> None:
    """Print the objects that vats have exported."""
    found = _query(store, "objects", {**page, **({} if vat is None else {"vat": vat})})
    printer = Printer(is_json=is_json)
    printer.table(found, ("kref", "vat", "iface", "reachable", "recognizable"), found["objects"])
    if len(found["objects"]) < found["total"]:
        printer.note(f"{len(found['objects']):,} of {found['total']:,}; see --offset and --limit")


@program.command()
@click.option("--vat", default=None, help="Only what this vat sent, got and settled.")
@click.option(
    "--trace", type=_path(), default=None, help="Write a trace for Perfetto (ui.perfetto.dev) into this file."
)
@_old_store
@_json
@_command
def log(store: Path, vat: str | None, trace: Path | None, *, is_json: bool) -> None:
    """Print the messages of all cranks, made afterwards from the transcripts of the vats that live."""
    names = {item["vat"]: item["name"] for item in _query(store, "status")["vats"] if item["state"] != "terminated"}
    printer = Printer(is_json=is_json)
    with contextlib.ExitStack() as stack:
        if trace is None:
            take = printer.event
        else:
            try:
                file = stack.enter_context(trace.open("w", encoding="utf-8"))
            except OSError as error:
                raise StoreError(f"{trace} cannot be written: {error.strerror}") from None
            writer = TraceWriter(file.write, names)
            stack.callback(writer.finish)
            take = writer.take
        backend = SqliteBackend(store)
        stack.callback(lambda: run_now(backend.close()))
        run_now(derive_log(backend, lambda event: take(event) if vat in {None, event["vat"]} else None))


@program.command()
@click.argument("file", metavar="EXPORT", type=_path(exists=True))
@click.argument("vat")
@click.argument("delivery", type=int)
@click.argument("expression", default="")
@click.option("--compare", type=int, default=None, help="List what is different after this delivery instead.")
@_unconfined
@_json
@_command
def travel(file: Path, vat: str, delivery: int, expression: str, **options: Any) -> None:
    """Look at a vat as it was after a DELIVERY: evaluate a Python EXPRESSION there, or list what there was.

    EXPORT is what `export` has written. The expression sees the main file's globals, root, baggage and objects. Nothing
    leaves that heap, and the vat that runs knows nothing of it.
    """
    printer = Printer(is_json=options["is_json"])
    params: dict[str, Any] = {"vat": vat, "delivery": delivery}
    method = "travel"
    if options["compare"] is not None:
        method, params["other"] = "compareTravels", options["compare"]
    elif expression:
        params["expression"] = expression

    async def main() -> dict[str, Any]:
        past = Past(*await read_archive(file), unconfined=options["unconfined"], note=printer.note)
        try:
            return await past.ask(method, params)
        finally:
            await past.close()

    found = asyncio.run(main())
    if found["note"]:
        printer.note(found["note"])
    if "value" in found:
        printer.value(found, "\n".join(filter(None, (found["console"], found["error"] or found["value"]))))
    elif options["compare"] is not None:
        rows = [*found["objects"], *({**row, "name": f"store {row['name']}"} for row in found["store"])]
        printer.table(found, ("change", "name", "before", "after"), rows)
    else:
        names = ("group", "name", "type", "value")
        printer.table(found, names, [dict(zip(names, row, strict=True)) for row in found["objects"]])


# --- archives -----------------------------------------------------------------------------------


@program.command("export")
@click.argument("file", type=_path())
@_old_store
@_json
@_command
def export_store(file: Path, store: Path, *, is_json: bool) -> None:
    """Write the whole store into FILE, from which a kernel elsewhere can go on, also in a browser."""
    backend = SqliteBackend(store)
    unfinished = file.with_name(f"{file.name}.part")
    try:
        with unfinished.open("wb") as out:
            parts = run_now(export_archive(backend, out.write))
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(file)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
        run_now(backend.close())
    Printer(is_json=is_json).value({"parts": parts, "bytes": file.stat().st_size}, f"{parts} parts written to {file}")


@program.command("import")
@click.argument("file", type=_path(exists=True))
@_new_store
@_json
@_command
def import_store(file: Path, store: Path, *, is_json: bool) -> None:
    """Make a new store from FILE, which `export` has written."""
    is_new = not store.exists()
    backend = SqliteBackend(store)
    try:
        with file.open("rb") as source:
            chunks = iter(lambda: source.read(_CHUNK_BYTES), b"")
            parts = run_now(import_archive(backend, chunks, DEFAULT_LIMITS))
    except BaseException as error:
        run_now(backend.close())
        if is_new:
            store.unlink()
        if isinstance(error, OSError):
            raise RequestError(f"{file} cannot be read: {error.strerror}") from None
        raise
    run_now(backend.close())
    Printer(is_json=is_json).value({"parts": parts}, f"{parts} parts read from {file}")


@program.command("replay")
@click.argument("file", type=_path(exists=True))
@click.option("--vat", help="Only this one.")
@_commands
@_unconfined
@_json
@_command
def replay_export(file: Path, vat: str | None, *, allow_commands: bool, unconfined: bool, is_json: bool) -> None:
    """Carry out again what the vats in FILE, an export, have ever done, and compare it with the record.

    Nothing is changed, and no message leaves. Ends with code 4 if anything differs.
    """
    backend = MemoryBackend()
    run_now(import_archive(backend, file.read_bytes(), DEFAULT_LIMITS))
    kernel = Kernel(backend.texts, seed="")
    if vat is not None and not kernel.is_alive(vat):
        raise RequestError(f"there is no living vat {vat}")
    printer = Printer(is_json=is_json)
    living = kernel.living_vats() if vat is None else [vat]
    for each in living:
        if kernel.get_vat(each).command and not allow_commands:
            raise HostFault(f"{each} runs a program ({' '.join(kernel.get_vat(each).command)}): allow commands")
    reports = asyncio.run(_replay(kernel, backend, living, printer, unconfined=unconfined))
    if any(report.differences for report in reports):
        raise SystemExit(VAT_UNUSABLE)


async def _replay(
    kernel: Kernel, backend: MemoryBackend, vats: list[str], printer: Printer, *, unconfined: bool
) -> list[Report]:
    tasks: list[asyncio.Task[None]] = []
    can_compare = not unconfined and _can_compare_heaps(printer)
    workers = ProcessWorkers(
        find_command=lambda vat: kernel.get_vat(vat).command,
        spawn=lambda coroutine: tasks.append(asyncio.ensure_future(coroutine)),
        runtime=WasmRuntime(None, say=printer.note),
        read_chunk=backend.read_chunk,
        python_kind=PROCESS_KIND if unconfined else CONFINED_KIND,
    )
    replayer = Replayer(kernel, backend, workers, on_progress=functools.partial(_show_progress, printer))
    workers.listener = replayer
    reports = []
    for vat in vats:
        has_heaps = kernel.get_vat(vat).kind in VAT_KINDS and kernel.get_mark(vat).digest
        report = await replayer.replay(vat, PYODIDE_KIND if has_heaps and can_compare else "")
        printer.value(dataclasses.asdict(report), _describe_report(report))
        reports.append(report)
    workers.close()
    await asyncio.gather(*tasks)
    return reports


def _can_compare_heaps(printer: Printer) -> bool:
    try:
        make_realm_program()
    except HostFault as fault:
        printer.note(f"heaps are not compared: {fault}")
        return False
    return True


def _show_progress(printer: Printer, vat: str, given: int, deliveries: int) -> None:
    if given < deliveries:
        printer.note(f"{vat}: {given:,} of {deliveries:,} deliveries")


def _describe_report(report: Report) -> str:
    head = f"{report.vat} ({report.name}): {report.deliveries} deliveries"
    if report.differences:
        return "\n".join([f"{head}: not as recorded", *(f"  {difference}" for difference in report.differences)])
    heaps = f", {report.heaps} heaps" if report.heaps else ""
    others = f" ({report.unchecked} heaps cannot be compared here)" if report.unchecked else ""
    return f"{head}{heaps}: as recorded{others}"
