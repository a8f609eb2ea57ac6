"""
One fuzz target under atheris: `python tests/fuzz/fuzz_one.py CODEC [INPUT...] [-LIBFUZZER_OPTION...]`.

With the name of a file it runs that input alone. Lives here: the options of atheris and libFuzzer. Does not: the
targets; running all of them (`fuzz_all`).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "shared")]
ROOMS = ["metaproxy.codecs", "metaproxy.proxy", "metaproxy.message"]
"""What coverage is measured of."""
WORK = Path(__file__).parents[2] / ".fuzz"

with atheris.instrument_imports(include=ROOMS):
    from fuzz_path import SEPARATOR
    from fuzz_targets import CORPUS, MOST, TARGETS


def main(name: str, options: list[str]) -> None:
    work, findings = WORK / name, CORPUS / name
    work.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    words = WORK / f"{name}.dict"  # not one for all: another process could read it while it is empty
    words.write_text('"' + "".join(f"\\x{byte:02x}" for byte in SEPARATOR) + '"\n')
    for seed in TARGETS[name].seeds():
        (work / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    folders = [] if any(Path(option).is_file() for option in options) else [str(work), str(findings)]
    defaults = [
        f"-artifact_prefix={findings}/", f"-dict={words}", f"-max_len={MOST}", "-timeout=30", "-report_slow_units=30",
        "-rss_limit_mb=1024", "-print_final_stats=1",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *defaults, *options, *folders], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in TARGETS:
        sys.exit(f"name one of {', '.join(TARGETS)}")
    main(sys.argv[1], sys.argv[2:])
