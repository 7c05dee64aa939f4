"""Imports a RAGFlow checkout without its hundred dependencies: what is not installed is a stand-in."""

import importlib.abc
import importlib.machinery
import sys
import types
from unittest.mock import MagicMock

OURS = {"agent", "api", "common", "conf", "deepdoc", "memory", "rag"}


class Stub(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        is_class = name[:1].isupper()  # others derive from it
        value = type(name, (Anything,), {}) if is_class else MagicMock(name=f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class Meta(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class Anything(Exception, metaclass=Meta):  # noqa: N818
    """Can be derived from, made with anything, raised and caught; has every attribute."""

    def __init__(self, *args, **kwargs):
        pass

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)

    def __call__(self, *args, **kwargs):
        return args[0] if len(args) == 1 and callable(args[0]) else self


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for what the checkout itself imports and nobody has installed."""

    def __init__(self):
        self.names = set()

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in OURS or top in sys.stdlib_module_names or not (top in self.names or self.wanted()):
            return None
        self.names.add(top)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def wanted(self):
        """Whether it is the checkout that imports."""
        frame = sys._getframe(2)
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if not name.startswith(("importlib", "ragmeter", "_frozen")) and name != __name__:
                return name.partition(".")[0] in OURS
            frame = frame.f_back
        return False

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


def use(path):
    """Make the checkout importable; what stands in for its dependencies."""
    stubs = Stubs()
    sys.path.insert(0, str(path))
    sys.meta_path.append(stubs)
    return stubs
