#!/usr/bin/env python3
"""Make the package of the functions: `python3 infra/scripts/package.py PACKAGE.zip`.

Only what runs goes into it, by a list of what may: a file that somebody left in the checkout does not. It needs nothing
but Python 3.9, and the same sources make the same bytes.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ("function_app.py", "host.json", "requirements.txt")
FOLDERS = {"functions": {".py"}, "shared": {".py", ".toml", ".html"}}
_EPOCH = (1980, 1, 1, 0, 0, 0)


def contents(root: Path) -> list[str]:
    """What belongs in the package.

    Returns:
        Paths relative to `root`, with slashes, sorted; such as `shared/mappings/document.toml`.
    """
    found = list(FILES)
    for folder, endings in FOLDERS.items():
        for path in (root / folder).rglob("*"):
            parts = path.relative_to(root).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if path.is_file() and path.suffix in endings and not hidden:
                found.append("/".join(parts))
    return sorted(found)


def write(root: Path, package: Path) -> list[str]:
    """Write the package anew; whatever was at its place is replaced.

    Returns:
        What is in it.

    Raises:
        FileNotFoundError: One of the files that every package has is missing.
    """
    names = contents(root)
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (root / name).read_bytes())
    return names


def main(arguments: list[str]) -> int:
    """Returns: The exit code."""
    if len(arguments) != 1:
        sys.stderr.write("Usage: package.py PACKAGE.zip\n")
        return 2
    names = write(ROOT, Path(arguments[0]))
    sys.stdout.write(f"{arguments[0]}: {len(names)} files\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
