"""Lets a started bot find the connector of these tests among its own; this folder stands on its PYTHONPATH."""

from pathlib import Path

import connectors.ci

connectors.ci.__path__.append(str(Path(__file__).parent / "platforms"))
