import shutil
from pathlib import Path

import pytest

from conf.contract import Bundle, DataFile, ListsManifest, Vocabulary
from conf.errors import ConfigError, VersionError
from conf.runs.results import manifest_of
from conf.workspace.folders import emptied
from conf.workspace.hashes import hash_file
from conf.workspace.json_files import read_json, write_json
from conf.workspace.pointers import allow, current_version, publish, read_pointer, rollback
from conf.workspace.versions import (
    commit,
    find_version,
    new_folder,
    read_manifest,
    require_files,
    version_id,
)


def commit_model(workspace: Path, request: str, date: str = "2026-01-01") -> str:
    version = version_id("tiny", date, request)
    folder = new_folder(workspace, "models", version)
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"1234")
    file = DataFile(path=weights.name, bytes=4, sha256=hash_file(weights), rows=0)
    bundle = Bundle(
        id=version,
        request=request,
        logical_date=date,
        dataset_id="d",
        config={},
        algorithm="neural",
        model={},
        vocabularies={"item": Vocabulary(size=5, fingerprint="f")},
        files={"model": (file,)},
    )
    commit(workspace, "models", bundle)
    return version


def test_a_folder_without_manifest_is_no_version(tmp_path: Path) -> None:
    new_folder(tmp_path, "models", version_id("tiny", "2026-01-01", "a" * 64))

    assert find_version(tmp_path, "models", "a" * 64) is None
    with pytest.raises(VersionError, match="not a committed version"):
        read_manifest(tmp_path, "models", "tiny-2026-01-01-aaaaaaaaaaaa", Bundle)


def test_a_committed_version_is_found_by_its_request_and_never_written_again(
    tmp_path: Path,
) -> None:
    version = commit_model(tmp_path, "a" * 64)

    assert find_version(tmp_path, "models", "a" * 64) == version
    assert find_version(tmp_path, "models", "a" * 12 + "b" * 52) is None
    with pytest.raises(VersionError, match="never written again"):
        new_folder(tmp_path, "models", version)


@pytest.mark.parametrize("content", ["{}", '{"id": "another"}', None])
def test_a_manifest_of_another_version_is_no_reason_to_make_it_again(
    tmp_path: Path, content: str | None
) -> None:
    version, other = commit_model(tmp_path, "a" * 64), commit_model(tmp_path, "b" * 64)
    path = tmp_path / "models" / version / "bundle.json"
    path.write_text(content or (tmp_path / "models" / other / "bundle.json").read_text())
    with pytest.raises(VersionError, match=r"bundle\.json is not the manifest of this version"):
        find_version(tmp_path, "models", "a" * 64)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    version = commit_model(tmp_path, "a" * 64)
    (tmp_path / "models" / version / "weights.safetensors").write_bytes(b"123")

    with pytest.raises(VersionError, match=r"has 3 bytes, but its manifest says 4"):
        read_manifest(tmp_path, "models", version, Bundle)


def commit_lists(workspace: Path) -> Path:
    """Commit lists of two parts and a table of the users without a list; return their folder."""
    folder = new_folder(workspace, "lists", "day")
    files = []
    for name in ("part-0", "part-1", "absent"):
        (folder / name).write_bytes(b"1234")
        files.append(DataFile(path=name, bytes=4, sha256=hash_file(folder / name), rows=0))
    record = ListsManifest(
        id="day", request="r", logical_date="2026-01-01", dataset_id="d", model_id="m", config={},
        counts={}, short_lists={}, gates={}, files={"lists": tuple(files[:2])}, absent=files[2],
    )  # fmt: skip
    commit(workspace, "lists", record)
    return folder


@pytest.mark.parametrize("name", ["part-0", "part-1", "absent"])
def test_every_file_of_a_version_is_looked_at(tmp_path: Path, name: str) -> None:
    path = commit_lists(tmp_path) / name
    record = read_manifest(tmp_path, "lists", "day", ListsManifest)
    path.write_bytes(b"4321")
    with pytest.raises(VersionError, match=f"{name} has other content"):
        require_files(path.parent, record, by_content=True)
    path.write_bytes(b"12345")
    with pytest.raises(VersionError, match=f"{name} has 5 bytes"):
        read_manifest(tmp_path, "lists", "day", ListsManifest)
    path.unlink()
    with pytest.raises(VersionError, match=f"{name} is missing"):
        read_manifest(tmp_path, "lists", "day", ListsManifest)
    path.mkdir()  # is no file of the version, whatever its size
    with pytest.raises(VersionError, match=f"{name} is no plain file"):
        read_manifest(tmp_path, "lists", "day", ListsManifest)


def test_the_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    version = commit_model(tmp_path, "a" * 64)
    (tmp_path / "models" / version).rename(tmp_path / "models" / "copy")
    with pytest.raises(VersionError, match=f"copy/bundle.json is the manifest of {version}"):
        read_manifest(tmp_path, "models", "copy", Bundle)


def test_a_manifest_may_not_name_files_outside_its_folder(tmp_path: Path) -> None:
    version = commit_model(tmp_path, "a" * 64)
    path = tmp_path / "models" / version / "bundle.json"
    record = read_json(path)
    record["files"]["model"][0]["path"] = "../../secret"
    write_json(path, record)

    with pytest.raises(ValueError, match="leads out of"):
        read_manifest(tmp_path, "models", version, Bundle)


def test_the_files_of_an_interrupted_writer_stay_until_they_are_emptied(tmp_path: Path) -> None:
    begun = new_folder(tmp_path, "models", "tiny") / "half.parquet"
    begun.write_bytes(b"half")

    assert new_folder(tmp_path, "models", "tiny") == begun.parent
    assert begun.read_bytes() == b"half"
    assert emptied(begun.parent) == begun.parent and list(begun.parent.iterdir()) == []
    below = tmp_path / "none" / "yet"
    assert emptied(below) == below and below.is_dir()


def published_models(workspace: Path, digits: str) -> list[str]:
    versions = [commit_model(workspace, digit * 64) for digit in digits]
    for version in versions:
        assert publish(workspace, "models", version, "2026-01-01") == "published"
    return versions


def test_the_pointers_number_only_grows(tmp_path: Path) -> None:
    first, second = commit_model(tmp_path, "a" * 64), commit_model(tmp_path, "b" * 64)

    assert publish(tmp_path, "models", first, "2026-01-01") == "published"
    assert publish(tmp_path, "models", second, "2026-01-01") == "published"
    assert publish(tmp_path, "models", second, "2026-01-01") == "current"
    third = commit_model(tmp_path, "c" * 64)
    with pytest.raises(VersionError, match="comes too late"):
        publish(tmp_path, "models", third, "2026-01-01", number=1)
    assert current_version(tmp_path, "models") == second


def test_an_older_day_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    newer = commit_model(tmp_path, "a" * 64, "2026-01-02")
    older = commit_model(tmp_path, "b" * 64, "2026-01-01")
    publish(tmp_path, "models", newer, "2026-01-02")

    assert publish(tmp_path, "models", older, "2026-01-01") == "older"
    assert current_version(tmp_path, "models") == newer


def test_rollback_is_not_undone_by_the_next_scheduled_run(tmp_path: Path) -> None:
    first, second = commit_model(tmp_path, "a" * 64), commit_model(tmp_path, "b" * 64)
    publish(tmp_path, "models", first, "2026-01-01")
    publish(tmp_path, "models", second, "2026-01-01")

    assert rollback(tmp_path, "models") == (first, second)
    assert publish(tmp_path, "models", second, "2026-01-01") == "withdrawn"
    assert current_version(tmp_path, "models") == first
    pointer = read_pointer(tmp_path, "models")
    assert pointer is not None and pointer["number"] == 3
    with pytest.raises(ConfigError, match="no earlier version"):
        rollback(tmp_path, "models")


def test_going_back_again_and_again_takes_the_versions_one_by_one(tmp_path: Path) -> None:
    a, b, c = published_models(tmp_path, "abc")

    assert rollback(tmp_path, "models") == (b, c)
    assert rollback(tmp_path, "models") == (a, b)
    with pytest.raises(ConfigError, match=f"those are: {b}, {c}"):
        allow(tmp_path, "models", a)


def test_a_version_whose_folder_was_removed_is_passed_over(tmp_path: Path) -> None:
    a, b, c = published_models(tmp_path, "abc")
    shutil.rmtree(tmp_path / "models" / b)

    assert rollback(tmp_path, "models") == (a, c)


def test_the_pointer_has_the_day_of_the_version_gone_back_to(tmp_path: Path) -> None:
    """Else no run of a day between the two could publish."""
    first, between, last = (
        commit_model(tmp_path, digit * 64, f"2026-01-0{day}")
        for digit, day in (("a", 1), ("b", 2), ("c", 3))
    )
    for version, date in ((first, "2026-01-01"), (last, "2026-01-03")):
        publish(tmp_path, "models", version, date)
    assert publish(tmp_path, "models", between, "2026-01-02") == "older"
    rollback(tmp_path, "models")

    assert publish(tmp_path, "models", between, "2026-01-02") == "published"


def test_a_writer_publishes_and_goes_back_under_its_own_number(tmp_path: Path) -> None:
    first, second = commit_model(tmp_path, "a" * 64), commit_model(tmp_path, "b" * 64)
    numbers = []
    for version, number in ((first, 5), (second, 5)):  # one writer may publish twice
        publish(tmp_path, "models", version, "2026-01-01", number)
        numbers.append((read_pointer(tmp_path, "models") or {})["number"])
    rollback(tmp_path, "models", 8)
    numbers.append((read_pointer(tmp_path, "models") or {})["number"])

    assert numbers == [5, 5, 8]
    third = commit_model(tmp_path, "c" * 64)
    with pytest.raises(VersionError, match="number 7 comes too late"):
        publish(tmp_path, "models", third, "2026-01-01", 7)


def test_nothing_published_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="no current version"):
        current_version(tmp_path, "lists")
    assert read_pointer(tmp_path, "lists") is None


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    version = commit_model(tmp_path, "a" * 64)
    path = tmp_path / "models" / version / "bundle.json"
    record = read_json(path)
    record["files"]["model"][0]["bytes"] = "many"
    write_json(path, record)

    with pytest.raises(VersionError, match=r"of another release: files\.model\.0\.bytes: "):
        read_manifest(tmp_path, "models", version, Bundle)
    path.write_text("{")
    with pytest.raises(VersionError, match=r"bundle\.json is damaged: "):
        read_manifest(tmp_path, "models", version, Bundle)


@pytest.mark.parametrize("content", ["", '{"id": "tin', "[]", "{}", "\x00\x00"])
def test_a_damaged_pointer_is_told_with_its_name(tmp_path: Path, content: str) -> None:
    publish(tmp_path, "models", commit_model(tmp_path, "a" * 64), "2026-01-01")
    (tmp_path / "models" / "CURRENT.json").write_text(content)
    for work in (current_version, rollback):
        with pytest.raises(
            VersionError, match=r"models/CURRENT\.json is damaged: .* run headrace train"
        ):
            work(tmp_path, "models")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../elsewhere"}, {"id": ".."}, {"id": ""}, {"id": "."}, {"id": None},
        {"id": ["a"]}, {"number": "3"}, {"number": True}, {"previous": "abc"},
        {"previous": ["a", "../b"]}, {"withdrawn": [1]}, {"logical_date": 20260101},
    ],
    ids=str,
)  # fmt: skip
def test_a_pointer_out_of_the_workspace_is_not_followed(
    tmp_path: Path, change: dict[str, object]
) -> None:
    publish(tmp_path, "models", commit_model(tmp_path, "a" * 64), "2026-01-01")
    path = tmp_path / "models" / "CURRENT.json"
    write_json(path, read_json(path) | change)
    (key,) = change
    with pytest.raises(VersionError, match=rf"models/CURRENT\.json is damaged: {key} is .*; "):
        current_version(tmp_path, "models")


def test_what_was_withdrawn_stays_withdrawn_until_a_person_says_otherwise(tmp_path: Path) -> None:
    a, b = commit_model(tmp_path, "a" * 64), commit_model(tmp_path, "b" * 64)
    for version in (a, b, a):
        assert publish(tmp_path, "models", version, "2026-01-01") == "published"
    assert rollback(tmp_path, "models") == (b, a)
    with pytest.raises(ConfigError, match="no earlier version"):
        rollback(tmp_path, "models")  # to a, which is withdrawn
    assert current_version(tmp_path, "models") == b

    (tmp_path / "models" / "CURRENT.json").unlink()  # as the message about a damaged one says
    with pytest.raises(VersionError, match=f"no current version, and {a} was rolled back"):
        publish(tmp_path, "models", a, "2026-01-01")
    with pytest.raises(ConfigError, match=rf"of .*models; those are: {a}"):
        allow(tmp_path, "models", b)
    allow(tmp_path, "models", a)
    assert publish(tmp_path, "models", a, "2026-01-01") == "published"


def test_either_of_two_files_knows_what_was_withdrawn(tmp_path: Path) -> None:
    _, second = published_models(tmp_path, "ab")
    rollback(tmp_path, "models")
    published_models(tmp_path, "c")
    (tmp_path / "models" / "WITHDRAWN.json").unlink()

    assert publish(tmp_path, "models", second, "2026-01-01") == "withdrawn"


@pytest.mark.parametrize("content", ["{}", '{"ids": "abc"}', '{"ids": [1]}', '{"ids": ["../a"]}'])
def test_a_damaged_list_of_withdrawn_versions_is_told_with_its_name(
    tmp_path: Path, content: str
) -> None:
    first, second = published_models(tmp_path, "ab")
    (tmp_path / "models" / "WITHDRAWN.json").write_text(content)
    with pytest.raises(VersionError, match=r"models/WITHDRAWN\.json is damaged: .* list of ids"):
        publish(tmp_path, "models", first, "2026-01-01")
    assert current_version(tmp_path, "models") == second


def test_the_content_of_files_is_compared_on_demand(tmp_path: Path) -> None:
    version = commit_model(tmp_path, "a" * 64)
    folder = tmp_path / "models" / version
    bundle = read_manifest(tmp_path, "models", version, Bundle)
    require_files(folder, bundle, by_content=True)
    (folder / "weights.safetensors").write_bytes(b"4321")
    require_files(folder, bundle)
    with pytest.raises(VersionError, match=r"weights.safetensors has other content"):
        require_files(folder, bundle, by_content=True)


def test_a_damaged_manifest_is_told_with_its_name(tmp_path: Path) -> None:
    version = commit_model(tmp_path, "a" * 64)
    path = tmp_path / "models" / version / "bundle.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(
        VersionError,
        match=r"bundle\.json is damaged: .* then remove /.*/models/tiny-.* and run headrace train",
    ):
        find_version(tmp_path, "models", "a" * 64)
    with pytest.raises(VersionError, match=r"bundle\.json is damaged"):
        manifest_of(tmp_path, "models", version)
