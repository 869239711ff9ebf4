"""Loaded by Python at the start of every process of the test server: lets SGLang be imported on a machine without CUDA.

`triton` becomes a package in which every name exists and `jit` leaves a function as it is; two of torchvision's
operators are declared before it is imported, because its published build cannot load its own beside a CPU torch.
"""

import importlib.abc
import importlib.machinery
import sys
import types


class Empty:
    def __init__(self, *_args, **_options):
        pass


class Anything(types.ModuleType):
    """A module and a value at once; what has a class's name is an empty class."""

    __path__ = ()
    __version__ = "3.9.0"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = type(name, (Empty,), {}) if name[0].isupper() else Anything(f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value

    def __call__(self, *args, **_options):
        return args[0] if len(args) == 1 and callable(args[0]) else lambda function: function

    def __getitem__(self, _key):
        return self

    def __mro_entries__(self, _bases):
        return (object,)

    def __or__(self, _other):
        return self

    __ror__ = __or__


def cdiv(a, b):
    return -(-a // b)


def next_power_of_2(n):
    return 1 << (n - 1).bit_length()


class TritonFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "triton":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = Anything(spec.name)
        if spec.name == "triton":
            module.cdiv, module.next_power_of_2 = cdiv, next_power_of_2
        return module

    def exec_module(self, module):
        pass


class TorchvisionFinder(importlib.abc.MetaPathFinder):
    """Declares the operators when torchvision is first looked for, and leaves the import to the others."""

    library = None

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision" and TorchvisionFinder.library is None:
            import torch  # noqa: PLC0415 -- only where it is needed: every process of the server starts with this file

            TorchvisionFinder.library = torch.library.Library("torchvision", "DEF")
            TorchvisionFinder.library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            TorchvisionFinder.library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path[:0] = [TritonFinder(), TorchvisionFinder()]
