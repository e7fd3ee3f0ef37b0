"""The code of a model file's factory: loaded as a private package, and known byte by byte.

`file:net.py:build` names a function of net.py. net.py and the modules beside it that it imports are read once, and the
bytes that were read are what is hashed and what is executed: no `.pyc`, nothing that an earlier load left behind. Each
load is a package of its own, so two models may have modules of the same name, and a file that was changed is another
model at its next load.

Beside it: `import blocks`, `from blocks import Block` and `from .blocks import Block` find blocks.py, or the folder
blocks, in the folder of net.py. Other imports are the interpreter's. The standard library and the packages in INSTALLED
are never looked for beside the file.
"""

import ast
import builtins
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from gfi.domain.errors import MethodError

INSTALLED = frozenset({"gfi", "numpy", "PIL", "safetensors", "timm", "torch", "torchvision"})
"""Packages that no file beside the factory replaces, so that a model file may be called timm.py."""

_PREFIX = "gfi_model_code_"
_count = itertools.count()
_loaded: "weakref.WeakValueDictionary[str, ModelCode]" = weakref.WeakValueDictionary()


class ModelCode:
    """One load of a factory's code. Create one with `load_code`."""

    def __init__(self, file: Path) -> None:
        self.folder = file.parent.resolve()
        self.package = f"{_PREFIX}{next(_count)}"
        self._sources: dict[str, bytes] = {}
        self._sealed = False

    def digests(self) -> dict[str, str]:
        """SHA-256 (hex) of each file, by its path within the folder."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(self._sources.items())}

    def sources(self) -> Mapping[str, bytes]:
        """The bytes of each file, by its path within the folder."""
        return dict(self._sources)

    def seal(self) -> None:
        """From now on nothing is read: an import that was not seen before fails."""
        self._sealed = True

    def forget(self) -> None:
        """Take the modules out of the interpreter's table, so that they end with the network."""
        for name in [n for n in sys.modules if n == self.package or n.startswith(f"{self.package}.")]:
            sys.modules.pop(name, None)

    def find(self, dotted: str) -> tuple[str, bool] | None:
        """(path within the folder, whether it is a package) of a module; None if it is not beside the factory.

        The path of a package without `__init__.py` is "".
        """
        place = dotted.replace(".", "/")
        for name, package in ((f"{place}/__init__.py", True), (f"{place}.py", False)):
            if self._read(name) is not None:
                return name, package
        folder = self.folder / place
        if self._inside(folder) and folder.is_dir() and any(folder.glob("*.py")):
            return "", True
        return None

    def source(self, name: str) -> bytes:
        """The bytes of a file that `find` found."""
        return self._sources[name] if name else b""

    def collect(self, dotted: str) -> None:
        """Read a module and all that it imports beside it, also within functions and under conditions."""
        found = self.find(dotted)
        if found is None or not found[0]:
            return
        parent = dotted if found[1] else dotted.rpartition(".")[0]
        for wanted, relative in _imports(ast.parse(self.source(found[0]), found[0]), parent):
            if relative or self.beside(wanted, dotted):
                parts = wanted.split(".")
                for depth in range(1, len(parts) + 1):
                    name = ".".join(parts[:depth])
                    known = set(self._sources)
                    self.find(name)
                    if set(self._sources) - known:
                        self.collect(name)

    def beside(self, dotted: str, importer: str) -> bool:
        """Whether `import dotted` in the module `importer` means a file of this folder."""
        top = dotted.partition(".")[0]
        if top in sys.stdlib_module_names or top in INSTALLED or top == importer:
            return False
        return self.find(top) is not None

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.folder)

    def _read(self, name: str) -> bytes | None:
        if name in self._sources or self._sealed:
            return self._sources.get(name)
        path = self.folder / name
        if not path.is_file() or not self._inside(path):
            return None
        self._sources[name] = path.read_bytes()
        return self._sources[name]

    def import_for(self, importer: str) -> Callable[..., Any]:
        """`__import__` of a module of this package: absolute names may be files beside it."""

        def import_(
            name: str,
            globals: Mapping[str, Any] | None = None,
            locals: Mapping[str, Any] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> Any:
            if level or not self.beside(name, importer):
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            whole = f"{self.package}.{name}"
            builtins.__import__(whole, globals, locals, tuple(fromlist or ("__name__",)), 0)
            return sys.modules[whole if fromlist else f"{self.package}.{name.partition('.')[0]}"]

        return import_


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, bool]]:
    """(name from the folder on, whether it was written relative) of what a module imports and may be beside it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".") if package else []
                above = above[: len(above) - (node.level - 1)]
                base = ".".join([*above, *([base] if base else [])])
            names = [f"{base}.{alias.name}" if base else alias.name for alias in node.names]
            yield from ((name, node.level > 0) for name in ([base, *names] if base else names))


class _Loader(importlib.abc.InspectLoader):
    """Compiles and executes the bytes that a `ModelCode` holds."""

    def __init__(self, code: ModelCode, dotted: str, file: str) -> None:
        self._code, self._dotted, self._file = code, dotted, file

    def get_source(self, fullname: str) -> str:
        """The text of the module, for tracebacks and for torch.jit."""
        return importlib.util.decode_source(self._code.source(self._file))

    def get_code(self, fullname: str) -> CodeType:
        """The compiled module. Its file name is not that on disk, whose text may be another one by now."""
        name = f"{self._code.package}/{self._file or '__init__.py'}"
        return compile(self._code.source(self._file), name, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module with an `__import__` of its own."""
        if self._file:
            module.__file__ = str(self._code.folder / self._file)
        own = {**vars(builtins), "__import__": self._code.import_for(self._dotted)}
        module.__dict__["__builtins__"] = own
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of all private packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a private module; None for all other names."""
        if not fullname.startswith(_PREFIX):
            return None
        package, _, dotted = fullname.partition(".")
        code = _loaded.get(package)
        if code is None:
            return None
        found = ("", True) if not dotted else code.find(dotted)
        if found is None:
            return None
        return importlib.util.spec_from_loader(fullname, _Loader(code, dotted, found[0]), is_package=found[1])


def load_code(file: Path) -> tuple[ModelCode, ModuleType]:
    """Load a Python file and what it imports beside it, fresh.

    Raises MethodError if the code fails.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    code = ModelCode(file)
    _loaded[code.package] = code
    try:
        code.collect(file.stem)
        return code, importlib.import_module(f"{code.package}.{file.stem}")
    except Exception as error:
        code.forget()
        raise MethodError(f"{file.name} fails: {error}") from error


def code_files(file: Path) -> list[str]:
    """A Python file and what it imports beside it, by their paths within its folder; nothing is executed.

    A file that is not valid Python is named alone.
    """
    code = ModelCode(file)
    try:
        code.collect(file.stem)
    except (SyntaxError, ValueError):
        return [file.name]
    return sorted(code.sources())
