"""
Makes metaproxy/codecs/kafka/schemas.json, by hand, from the message definitions of Kafka.

    python tools/kafka_schemas.py LIB VERSION

LIB: a folder with the jars of org.apache.kafka:kafka-clients:VERSION and what it needs, as Maven's
dependency:copy-dependencies makes it. The definitions lie in the first of them as common/message/*.json (Apache
License 2.0); the names and numbers of errors are asked of its class Errors, so a JDK has to be there.

What definitions leave out is added here: which texts are names of topics and groups where no entityType says so, and
what FindCoordinator and the requests about configurations are about.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "metaproxy" / "codecs" / "kafka" / "schemas.json"
ERRORS = """
import org.apache.kafka.common.protocol.Errors;
class Print {
    public static void main(String[] a) {
        for (Errors e : Errors.values()) System.out.println(e.name() + " " + e.code());
    }
}
"""
LAST = 999
"""The version that stands for no end."""
ABOUT = {
    ("FindCoordinator", "Key"): "coordinatorKey",
    ("FindCoordinator", "CoordinatorKeys"): "coordinatorKey",
    ("FindCoordinator", "KeyType"): "coordinatorType",
    ("DescribeConfigs", "ResourceType"): "resourceType",
    ("DescribeConfigs", "ResourceName"): "resourceName",
    ("AlterConfigs", "ResourceType"): "resourceType",
    ("AlterConfigs", "ResourceName"): "resourceName",
    ("IncrementalAlterConfigs", "ResourceType"): "resourceType",
    ("IncrementalAlterConfigs", "ResourceName"): "resourceName",
}


def versions(text: str) -> list[int]:
    """First and last version; [] for none."""
    if text == "none":
        return []
    first, dash, last = text.partition("-")
    if first.endswith("+"):
        return [int(first[:-1]), LAST]
    return [int(first), int(last) if dash else int(first)]


def entity(api: str, parent: str, field: dict[str, Any]) -> str:
    name, plain = field["name"], field["type"] in ("string", "[]string")
    if (api, name) in ABOUT:
        return ABOUT[api, name]
    if "entityType" in field:
        return str(field["entityType"])
    if plain and name in ("GroupId", "Groups", "GroupIds"):
        return "groupId"
    if plain and "TopicRegex" in name:
        return "topicRegex"
    if plain and ("Topic" in name or (name == "Name" and "Topic" in parent and "Config" not in parent)):
        return "topicName"
    return ""


def made(api: str, parent: str, fields: list[dict[str, Any]], common: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The fields with what counts of them: n(ame), t(ype), v(ersions), and what few of them have."""
    for field in fields:
        kind = field["type"].removeprefix("[]")
        one: dict[str, Any] = {"n": field["name"], "t": field["type"], "v": versions(field["versions"])}
        inner = field.get("fields") or common.get(kind)
        if inner:
            one["t"] = "[]struct" if field["type"].startswith("[]") else "struct"
            one["f"] = list(made(api, field["name"] + kind, inner, common))
        if null := versions(field.get("nullableVersions", "none")):
            one["z"] = null
        if "tag" in field:
            one["g"] = [field["tag"], *versions(field["taggedVersions"])]
        if str(field.get("default", "")) not in ("", "0", "false", "False"):
            one["d"] = field["default"]
        if about := entity(api, parent, field):
            one["e"] = about
        yield one


def definitions(jar: Path) -> Iterator[dict[str, Any]]:
    with zipfile.ZipFile(jar) as packed:
        for name in sorted(packed.namelist()):
            if re.fullmatch(r"common/message/\w+(Request|Response)\.json", name):
                text = packed.read(name).decode()
                yield json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))


def apis(jar: Path) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for definition in definitions(jar):
        if not (valid := versions(definition["validVersions"])):
            continue
        side = definition["type"]
        api = definition["name"].removesuffix(side.title())
        common = {one["name"]: one["fields"] for one in definition.get("commonStructs", [])}
        one = found.setdefault(definition["apiKey"], {"name": api, "key": definition["apiKey"], "versions": valid})
        one["flexible"] = (versions(definition["flexibleVersions"]) or [LAST])[0]
        one[side] = list(made(api, "", definition["fields"], common))
    return [found[key] for key in sorted(found)]


def errors(lib: Path) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "Print.java"
        source.write_text(ERRORS)
        said = subprocess.run(
            ["java", "-cp", f"{lib}/*", str(source)], check=True, capture_output=True, text=True
        ).stdout
    return {name: int(code) for name, code in (line.split() for line in said.splitlines())}


def main(lib: str, version: str) -> None:
    jar = Path(lib) / f"kafka-clients-{version}.jar"
    lines = ",\n".join(json.dumps(api, separators=(",", ":")) for api in apis(jar))
    named = json.dumps(errors(Path(lib)), separators=(",", ":"))
    source = f"common/message of org.apache.kafka:kafka-clients:{version}, by tools/kafka_schemas.py"
    TARGET.write_text(f'{{"source":"{source}",\n"errors":{named},\n"apis":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
