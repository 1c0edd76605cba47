# Compiled by cffi from build.py; its names are those of build.py's declarations.
from typing import Any

ffi: Any
lib: Any
