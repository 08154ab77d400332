"""Writes THIRD-PARTY-LICENSES: the licences of all crates of other people that are linked into a wheel, on any system.

    cargo fetch --locked
    python scripts/third-party-licences.py            # writes the file again
    python scripts/third-party-licences.py --check    # ends with an error where it is not what would be written

The texts are those in the crates' own archives. Where a crate may be taken under MIT, that text alone is in the file.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "THIRD-PARTY-LICENSES"

# The systems that have a wheel: those of .github/workflows/wheels.yml.
SYSTEMS = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "aarch64-pc-windows-msvc",
)
# These came without a text: it is that of another crate of the same repository and the same licence.
TEXT_OF = {"pulp-wasm-simd-flag": "pulp"}

LICENCE_FILE = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.I)
HEAD = """\
The compiled part of mimi-codec (mimi_codec/_core) is built from the crates below, each under the licence that is named
with it. Their texts follow. The crates of mimi-codec itself are under LICENSE-MIT or LICENSE-APACHE.

The standard library of Rust is part of it too: copyright The Rust Project contributors, MIT OR Apache-2.0, and so are
the crates that the standard library is built from.
"""
LINE = "=" * 80


def cargo(*arguments: str) -> str:
    """What cargo prints, without using a network or changing Cargo.lock."""
    command = ["cargo", *arguments, "--offline", "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def linked() -> set[tuple[str, str]]:
    """Names and versions of the crates that are in a wheel: no macros, and nothing that only builds or tests need."""
    systems = [argument for system in SYSTEMS for argument in ("--target", system)]
    form = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    printed = cargo("tree", "--package", "mimi-python", *systems, *form)
    words = [line.split() for line in printed.splitlines() if line]
    return {(name, version.removeprefix("v")) for name, version, *_ in words}


def texts_in(folder: Path) -> list[str]:
    """The licence texts in a crate's archive: the one of MIT alone if the crate names one."""
    files = sorted(path for path in folder.iterdir() if LICENCE_FILE.match(path.name))
    of_mit = [path for path in files if path.name.lower() == "license-mit"]
    lines = [path.read_text("utf-8").replace("\r\n", "\n").splitlines() for path in of_mit or files]
    return ["\n".join(line.rstrip() for line in text).strip("\n") for text in lines]


def written() -> str:
    """The whole file."""
    packages = json.loads(cargo("metadata", "--all-features", "--format-version=1"))["packages"]
    wanted = linked()
    folders = {package["name"]: Path(package["manifest_path"]).parent for package in packages}
    rows, crates_of = [], defaultdict(list)
    for package in sorted(packages, key=lambda package: (package["name"], package["version"])):
        name, version = package["name"], package["version"]
        if package["source"] is None or (name, version) not in wanted:
            continue
        other = TEXT_OF.get(name)
        found = texts_in(folders[other] if other else Path(package["manifest_path"]).parent)
        if not found:
            raise SystemExit(f"{name} {version} has no file with its licence: find its text and add it to TEXT_OF")
        rows.append(f"{name} {version}: {package['license']}")
        for text in found:
            crates_of[text].append(f"{name} {version}")
    parts = [f"{LINE}\n{', '.join(crates)}\n{LINE}\n\n{text}\n" for text, crates in crates_of.items()]
    return "\n".join([HEAD, *rows, "", *parts])


def main() -> int:
    """Writes the file, or says whether it is as it would be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    text = written()
    if arguments.check:
        if FILE.read_text("utf-8") == text:
            return 0
        print(f"{FILE.name} is not that of Cargo.lock: this script writes it", file=sys.stderr)
        return 1
    FILE.write_text(text, "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
