"""Stands in for SGLang's compiled kernels, which need CUDA: every name is there, and calling one fails.

A dense model on torch's own attention calls none of them.
"""

__version__ = "0.4.10"


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*_args, **_options):
        raise NotImplementedError(f"sgl_kernel.{name} needs a GPU")

    return missing
