"""Modules of one vat: source files that see each other, and nobody else's.

Owns the import of a vat's files. Each vat has its own table of modules; ``import purse`` in one of its files finds
``purse.py`` beside the main file, or from the top of the files, or in one of the vat's packages, before anything that
Python itself has. Nothing is installed: a package's files are among the vat's. All else is imported as usual, except
for the modules that the host replaces (`replace`): the clock and entropy, where they cannot be replaced for the whole
process.

Modules are also entered in ``sys.modules`` under ``<vat>.<name>``, where dataclasses and typing look.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from posixpath import dirname, join, normpath
from types import ModuleType
from typing import Any

_import = builtins.__import__


class VatModules:
    """The modules of one vat.

    Args:
        packages: the folders of the vat's packages.
        replace: what to give a file that imports a module of Python's.
    """

    def __init__(
        self,
        vat: str,
        files: Mapping[str, str],
        main: str,
        *,
        replace: Callable[[ModuleType], ModuleType],
        packages: Sequence[str] = (),
    ) -> None:
        self._vat = vat
        self._files = {normpath(path): text for path, text in files.items()}
        self._main = normpath(main)
        folder = dirname(self._main)
        self._folders = [*([folder] if folder else []), "", *packages]
        self._replace = replace
        self._modules: dict[str, ModuleType] = {}
        self._top = ModuleType(vat)  # what "from . import" at the top level imports from
        self._builtins = {**vars(builtins), "__import__": self._import}
        self._importlib = ModuleType("importlib")
        self._importlib.__dict__.update(
            import_module=self._import_module, __getattr__=lambda name: getattr(importlib, name)
        )
        self.sources: dict[str, str] = {}

    def load_main(self) -> ModuleType:
        """Run the main file.

        Raises:
            ImportError: there is no such file.
            Exception: what it raised; SyntaxError if it does not parse.
        """
        if self._main not in self._files:
            raise ImportError(
                f"the vat's source {self._main!r} is not among its files: {', '.join(sorted(self._files))}"
            )
        name = self._main.removeprefix(f"{self._folders[0]}/").removesuffix(".py").replace("/", ".")
        return self._run(name, self._main, is_package=False)

    def close(self) -> None:
        """Take the modules out of ``sys.modules``."""
        for name, module in self._modules.items():
            if sys.modules.get(f"{self._vat}.{name}") is module:
                del sys.modules[f"{self._vat}.{name}"]

    def _import(
        self,
        name: str,
        importer: Mapping[str, Any] | None = None,
        scope: Mapping[str, Any] | None = None,
        wanted: tuple[str, ...] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an import statement in a vat's file calls."""
        if level > 0:
            package = (importer or {}).get("__package__") or ""
            parents = package.split(".") if package else []
            if level - 1 > len(parents):
                raise ImportError("attempted relative import beyond the vat's files")
            prefix = ".".join(parents[: len(parents) - (level - 1)])
            name = f"{prefix}.{name}" if prefix and name else prefix or name
            leaf = self._provide(name) if name else self._top
            if leaf is None:
                raise ModuleNotFoundError(f"no module named {name!r} among the vat's files", name=name)
        else:
            leaf = self._provide(name)
        if leaf is None:
            return self._import_other(name, importer, scope, wanted)
        if not wanted:
            return leaf if level > 0 else self._modules[name.partition(".")[0]]
        for item in wanted:
            if item != "*" and not hasattr(leaf, item):
                self._provide(f"{name}.{item}" if name else item)
        return leaf

    def _import_other(
        self,
        name: str,
        importer: Mapping[str, Any] | None,
        scope: Mapping[str, Any] | None,
        wanted: tuple[str, ...] | None,
    ) -> ModuleType:
        module = _import(name, importer, scope, wanted or (), 0)
        return self._importlib if module is importlib else self._replace(module)

    def _import_module(self, name: str, package: str | None = None) -> ModuleType:
        """What a vat's file gets as ``importlib.import_module``. Modules know themselves as ``<vat>.<name>``."""
        resolved = importlib.util.resolve_name(name, package).removeprefix(f"{self._vat}.")
        found = self._provide(resolved)
        return self._replace(importlib.import_module(resolved)) if found is None else found

    def _provide(self, name: str) -> ModuleType | None:
        """The vat's own module of that dotted name, run if it has not been; None if no file has it."""
        module = self._modules.get(name)
        if module is not None:
            return module
        parent_name, _, leaf_name = name.rpartition(".")
        parent = self._provide(parent_name) if parent_name else None
        if parent_name and parent is None:
            return None
        found = self._find(name.replace(".", "/"))
        if found is None:
            return None
        module = self._run(name, *found)
        setattr(parent or self._top, leaf_name, module)
        return module

    def _find(self, stem: str) -> tuple[str | None, bool] | None:
        """The file of a module, and whether it is a package; no file for a folder without ``__init__.py``."""
        for folder in self._folders:
            package, plain = join(folder, stem, "__init__.py"), join(folder, stem + ".py")
            if package in self._files:
                return package, True
            if plain in self._files:
                return plain, False
        for folder in self._folders:
            if any(path.startswith(join(folder, stem) + "/") for path in self._files):
                return None, True
        return None

    def _run(self, name: str, path: str | None, is_package: bool) -> ModuleType:  # noqa: FBT001
        module = ModuleType(f"{self._vat}.{name}")
        module.__package__ = name if is_package else name.rpartition(".")[0]
        module.__spec__ = ModuleSpec(module.__name__, None, is_package=is_package)
        module.__dict__["__builtins__"] = self._builtins
        self._modules[name] = sys.modules[module.__name__] = module
        if path is None:
            return module
        file_name = f"{self._vat}/{path}"
        module.__file__ = file_name
        self.sources[file_name] = self._files[path]
        try:
            code = compile(self._files[path], file_name, "exec", dont_inherit=True, optimize=0)
            exec(code, module.__dict__)  # noqa: S102 (running a vat's code is what this is for)
        except BaseException:
            del self._modules[name]
            sys.modules.pop(module.__name__, None)
            raise
        return module
