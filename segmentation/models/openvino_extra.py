"""The extra `spanscan[openvino]`: imported where it is used, and told to send nothing home."""

import importlib
import sys
from typing import Any

from segmentation.errors import UsageError


def openvino_module(name: str = "openvino") -> Any:
    """OpenVINO, or another module of the extra such as ``nncf``; raises UsageError E_EXTRA where it is not installed.

    Both report their use to their maker unless the user has forbidden it elsewhere; without the package that sends,
    they go on in silence.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # the documented way to refuse an import
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            "E_EXTRA", name, f"the OpenVINO runtime needs {name}, got {error}", "pip install 'spanscan[openvino]'"
        ) from error
