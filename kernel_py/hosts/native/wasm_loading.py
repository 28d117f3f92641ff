"""From an instrumented module to one that can run, in the process that runs it.

An artifact that is there is loaded, after its digest was checked; else the module is compiled here, which is slower, or
not at all where guests run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_py.hosts.native.artifacts import ArtifactStore, make_key
from kernel_py.hosts.native.wasm_config import EngineConfig
from kernel_py.hosts.native.wasm_engine import Compile, compile_now
from kernel_py.wasm.faults import FaultClass, GuestFault
from kernel_py.wasm.metering import Metered

if TYPE_CHECKING:
    import wasmtime


def compile_nothing(_engine: wasmtime.Engine, _module: Metered) -> wasmtime.Module:
    """For processes in which guests run: what takes long and much is done elsewhere, under other limits."""
    raise GuestFault(FaultClass.TRANSIENT, "the module's compiled form is not there any more")


class ModuleLoader:
    """Loads modules for one engine, as `kernel_py.hosts.native.wasm_engine.Compile`; each once."""

    def __init__(
        self, store: ArtifactStore | None, config: EngineConfig, *, compile_missing: Compile = compile_now
    ) -> None:
        """Make a loader for the engine that has these settings; without a store it compiles each module once."""
        self._store = store
        self._compile_missing = compile_missing
        self._config = config
        self._loaded: dict[str, wasmtime.Module] = {}

    def __call__(self, engine: wasmtime.Engine, module: Metered) -> wasmtime.Module:
        loaded = self._loaded.get(module.digest)
        if loaded is None:
            loaded = self._loaded[module.digest] = self._load(engine, module) or self._compile_missing(engine, module)
        return loaded

    def _load(self, engine: wasmtime.Engine, module: Metered) -> wasmtime.Module | None:
        import wasmtime  # noqa: PLC0415 (lazy)

        path = None if self._store is None else self._store.find(make_key(module.digest, self._config.digest))
        if path is None:
            return None
        try:
            return wasmtime.Module.deserialize_file(engine, str(path))
        except wasmtime.WasmtimeError:
            path.unlink(missing_ok=True)  # wasmtime knows better than our key whether it fits
            return None
