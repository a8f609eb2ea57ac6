"""Objects in a folder are checked with the configuration that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mesh_objects import written
from mesh_stand import ENTRY, HOST

from metaproxy.app.start import check_file
from metaproxy.config.schema.nodes import ConfigErrors

ROUTER = f"{{hosts: [{HOST}], routes: [{{route: [{{destination: {{host: {HOST}, subset: v9}}}}]}}]}}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "hello.yaml").write_text(written("ServiceEntry", "hello", ENTRY))
    file = tmp_path / "proxy.yaml"
    file.write_text("crds: {folder: mesh}\nnode: {metadata: {NAMESPACE: demo}}\n")
    return file


def test_a_folder_that_is_right_is_nothing_to_be_said_of(config: Path) -> None:
    assert check_file(str(config), []) == f"{config}: 0 listeners, 0 clusters; nothing is wrong\n"


def test_an_object_that_is_wrong_is_an_error_with_its_place(config: Path) -> None:
    file = config.parent / "mesh" / "router.yaml"
    file.write_text(written("MetaRouter", "hello", ROUTER.replace("routes", "rotes")))
    with pytest.raises(ConfigErrors) as raised:
        check_file(str(config), [])
    assert f"{file}:9: MetaRouter demo/hello: spec.rotes: unknown field 'rotes'; did you mean" in str(raised.value)


def test_what_is_odd_in_what_is_made_of_objects_is_a_warning(config: Path) -> None:
    file = config.parent / "mesh" / "router.yaml"
    file.write_text(written("MetaRouter", "hello", ROUTER))
    text = check_file(str(config), [])
    assert text.startswith(
        f"warning: {file}:1: MetaRouter demo/hello: routes[0].route[0].destination: no DestinationRule"
    )


def test_a_folder_that_is_not_there_is_an_error(config: Path) -> None:
    config.write_text("crds: {folder: nowhere}\n")
    with pytest.raises(ConfigErrors, match="nowhere: No such file or directory"):
        check_file(str(config), [])
