"""Small wrong changes of formulas and cache keys, each of which a test must notice.

    python benchmarks/mutations.py [NAME ...] [--list]

Each change is made in a temporary copy of the repository, and the tests named with it are run there. Prints what no
test noticed and exits with 1 if there is any. A text to change that does not occur exactly once is an error: the code
moved, and the list must follow.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutation_list import MUTATIONS, Mutation

REPOSITORY = Path(__file__).parent.parent


def main() -> None:
    options = parse()
    names = [mutation.name for mutation in MUTATIONS]
    if unknown := set(options.names) - set(names):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}")
    chosen = [mutation for mutation in MUTATIONS if mutation.name in options.names or not options.names]
    if problems := [problem for mutation in chosen if (problem := problem_of(mutation))]:
        raise SystemExit("\n".join(problems))
    if options.list:
        print("\n".join(f"{mutation.name}: {mutation.file}" for mutation in chosen))
        return
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_repository(Path(folder))
        for mutation in chosen:
            began = time.perf_counter()
            noticed = is_noticed(mutation, copy)
            verdict = "noticed" if noticed else "SURVIVED"
            print(f"{verdict:8}  {mutation.name}  ({time.perf_counter() - began:.0f} s)", flush=True)
            survivors += [] if noticed else [mutation]
    for mutation in survivors:
        print(f"\n{mutation.name}: {mutation.file}\n- {mutation.old}\n+ {mutation.new}\n  {' '.join(mutation.tests)}")
    print(f"\n{len(chosen) - len(survivors)} of {len(chosen)} noticed")
    sys.exit(1 if survivors else 0)


def problem_of(mutation: Mutation) -> str:
    """Why a mutation cannot be tried; empty if it can."""
    missing = [test for test in mutation.tests if not (REPOSITORY / test.partition("::")[0]).exists()]
    if missing:
        return f"{mutation.name}: there is no {missing[0]}"
    count = (REPOSITORY / mutation.file).read_text(encoding="utf-8").count(mutation.old)
    return "" if count == 1 else f"{mutation.name}: {mutation.file} has the text {count} times: {mutation.old!r}"


def copy_repository(folder: Path) -> Path:
    """A copy of the files that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    return folder


def is_noticed(mutation: Mutation, copy: Path) -> bool:
    """Whether a test fails in the changed copy; the copy is restored."""
    file = copy / mutation.file
    original = file.read_text(encoding="utf-8")
    file.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *mutation.tests]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    finally:
        file.write_text(original, encoding="utf-8")
    if done.returncode not in (0, 1):
        raise SystemExit(f"{mutation.name}: the tests could not be run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--list", action="store_true", help="print names and files, and check that all can be tried")
    return parser.parse_args()


if __name__ == "__main__":
    main()
