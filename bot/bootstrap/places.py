"""Names of folders that the front process and the worker both know. Alone, so that neither loads the other's code."""

from typing import Final

TOOLCHAINS: Final = "toolchains"
