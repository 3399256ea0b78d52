"""Is this tree fit for release? Builds it, looks into what was built, and tries every extra alone.

    python tools/release_check.py [EXTRA ...] [--constraints FILE]     # or: make release-check

1. Builds the sdist and the wheel (`python -m build`), and a wheel out of the sdist.
2. Checks what is in them: every file of the package and the licence in the wheel; tests, README
   and changelog in the sdist; the same files in both wheels.
3. Installs the wheel without extras into an empty environment: the base. Then makes one for each
   extra for users (not `dev`, `docs`), which sees the base and has that one extra of its own, and
   runs `release_smoke.py` in it. Nothing of other extras is in sight, which the smoke checks.

Ends with 1 if anything failed, after everything was tried; with the output of what failed. The
archives stay in dist/. Environments are made in a temporary folder (up to 5 GB) and removed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
SMOKE = ROOT / "tools" / "release_smoke.py"
PACKAGE = "nudge_integrations"
NOT_FOR_USERS = {"dev", "docs"}
COLLECTIONS = {"stores", "all"}  # of other extras, and nothing besides
AT_ONCE = 2
# What is never imported need not be compiled.
QUICKLY = ("--quiet", "--no-compile")
IN_SDIST = {"README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "CONTRIBUTING.md"}
IN_SDIST |= {"SECURITY.md", "Makefile", "pyproject.toml", "constraints.txt", "PKG-INFO"}
IN_SDIST |= {"constraints-oldest.txt", "mkdocs.yml", ".gitignore"}
FOLDERS_IN_SDIST = {"tests", "tools", "benchmarks", "notebooks", "docs", "examples", PACKAGE, ".ci"}


class StepError(Exception):
    """A step that did not pass; holds what to show."""


def run(*command: str | Path, constraints: Path, cwd: Path = ROOT) -> None:
    """Run quietly.

    Raises:
        StepError: It did not end with 0; holds its output.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        # Also for what `build` installs to build with.
        "PIP_CONSTRAINT": str(constraints),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "HF_HUB_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "NUDGE_CACHE_DIR": str(cwd / "cache"),
        "NUDGE_JOURNAL_DIR": str(cwd / "journals"),
    }
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepError(f"$ {' '.join(map(str, command))}\n{done.stdout}")


def build(constraints: Path) -> tuple[Path, Path, Path]:
    """The sdist, the wheel out of it, and the wheel straight from the tree."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST, constraints=constraints)
    direct = DIST / "direct"
    run(sys.executable, "-m", "build", "--wheel", "--outdir", direct, constraints=constraints)
    (sdist,), (wheel,), (other,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl"), direct.glob("*.whl")
    return sdist, wheel, other


def check_content(sdist: Path, wheel: Path, direct: Path) -> None:
    """What must be in the archives is, and nothing else.

    Raises:
        StepError: With every fault.
    """
    faults = []
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(direct) as other:
        names = set(archive.namelist())
        if names != set(other.namelist()):
            faults.append(f"wheels differ: {sorted(names ^ set(other.namelist()))}")
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    wanted = {f"{info}/licenses/LICENSE", f"{info}/entry_points.txt", f"{PACKAGE}/py.typed"}
    wanted |= {
        str(path.relative_to(ROOT))
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    faults += [f"not in the wheel: {name}" for name in sorted(wanted - names)]
    faults += [
        f"should not be in the wheel: {name}"
        for name in sorted(names)
        if name.split("/")[0] not in (PACKAGE, info) or "__pycache__" in name
    ]
    with tarfile.open(sdist) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames() if "/" in name}
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    faults += [f"not in the sdist: {name}" for name in sorted((IN_SDIST | tests) - inside)]
    tops = {name.split("/")[0] for name in inside} - IN_SDIST - FOLDERS_IN_SDIST
    faults += [f"should not be in the sdist: {name}" for name in sorted(tops)]
    if faults:
        raise StepError("\n".join(faults))


def extras_of(wheel: Path) -> dict[str, set[str]]:
    """Each extra for users, and the smokes to run with it: of all extras that lie within it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    needs: dict[str, set[str]] = {each: set() for each in metadata.get_all("Provides-Extra", [])}
    for requirement in metadata.get_all("Requires-Dist", []):
        if found := re.search(r"extra == ['\"]([^'\"]+)['\"]", requirement):
            needs[found[1]].add(requirement.partition(";")[0].strip())
    return {
        extra: {each for each in needs if needs[each] <= needs[extra]} - COLLECTIONS
        for extra in needs
        if extra not in NOT_FOR_USERS
    }


def environment(folder: Path, base: Path | None) -> Path:
    """An empty environment, or one that sees the base's packages; its Python."""
    venv.create(folder, with_pip=base is None, symlinks=os.name != "nt")
    if base is not None:
        (theirs,), (ours,) = (
            list(each.glob("lib/python*/site-packages")) for each in (base, folder)
        )
        (ours / "base.pth").write_text(f"{theirs}\n", encoding="utf-8")
    return folder / "bin" / "python"


def try_base(wheel: Path, folder: Path, constraints: Path) -> None:
    python = environment(folder / "base", None)
    run(python, "-m", "pip", "install", *QUICKLY, wheel, constraints=constraints)
    run(python, "-m", "pip", "check", constraints=constraints)
    smoke(python, ["none"], folder / "work-none", constraints)


def try_extra(
    extra: str, parts: set[str], wheel: Path, folder: Path, constraints: Path
) -> tuple[str, float, str]:
    """Install one extra beside the base and use it: its name, seconds, and what failed."""
    began = time.perf_counter()
    fault = ""
    home = folder / f"env-{extra}"
    try:
        python = environment(home, folder / "base")
        pip = (folder / "base" / "bin" / "python", "-m", "pip", "--python", python)
        run(*pip, "install", *QUICKLY, f"{wheel}[{extra}]", constraints=constraints)
        run(*pip, "check", constraints=constraints)
        smoke(python, sorted(parts), folder / f"work-{extra}", constraints)
    except StepError as failed:
        fault = str(failed)
    shutil.rmtree(home, ignore_errors=True)
    return extra, time.perf_counter() - began, fault


def smoke(python: Path, parts: list[str], work: Path, constraints: Path) -> None:
    work.mkdir()
    run(python, "-I", SMOKE, *parts, constraints=constraints, cwd=work)


def report(name: str, seconds: float, fault: str) -> bool:
    """One line for what was tried, and all that it said where it failed; whether it passed."""
    print(f"{'FAILED' if fault else 'ok':<8}{name:<28}{seconds:6.1f} s", flush=True)
    if fault:
        print(fault, flush=True)
    return not fault


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="only these (default: all)")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    args = parser.parse_args()
    constraints = args.constraints.resolve()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="release-check-") as name:
        folder = Path(name)
        try:
            sdist, wheel, direct = build(constraints)
            report("build", time.perf_counter() - began, "")
            check_content(sdist, wheel, direct)
            report("content", 0.0, "")
            known = extras_of(wheel)
            if unknown := set(args.extras) - set(known):
                raise StepError(f"no such extra: {', '.join(sorted(unknown))}")
            started = time.perf_counter()
            try_base(wheel, folder, constraints)
            report("no extra", time.perf_counter() - started, "")
        except StepError as failed:
            report("build, content, no extra", time.perf_counter() - began, str(failed))
            return 1
        finally:
            shutil.rmtree(DIST / "direct", ignore_errors=True)
        chosen = {each: parts for each, parts in known.items() if each in (args.extras or known)}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [
                pool.submit(try_extra, extra, parts, wheel, folder, constraints)
                for extra, parts in chosen.items()
            ]
            passed = [report(*job.result()) for job in as_completed(jobs)]
    print(f"{sum(passed)} of {len(passed)} extras, {time.perf_counter() - began:.0f} s")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
