"""Records of finished photos: odd, pending, of another photo of the same name."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from batch_stub import StubWorkers, batch, options, sentence, statuses

from rawkd.batch.store import LocalStore
from rawkd.batch.task import Task, key_of
from rawkd.batch.url_store import UrlStore
from rawkd.errors import OutputError

NOT_FINITE = float("nan")
ODD: list[Any] = [None, "x", [], {}, 3, 3.5, True, NOT_FINITE]
"""Values of JSON; for each field all but those of its own type are odd."""
RIGHT = {
    "output": (str,), "settings": (dict,), "source": (str,), "size": (int,), "stamp": (str,), "sha256": (str,),
    "written": (str,), "written_bytes": (int,), "done": (bool,), "report": (dict,), "saved_s": (int, float),
}  # fmt: skip
IN_REPORT: list[dict[str, Any]] = [
    {"noise": "x"}, {"noise": None}, {"seconds": []}, {"seconds": None}, {"warnings": None}, {"warnings": "x"},
    {"warnings": [1]}, {"warnings": [[]]}, {"series": None}, {"series": []},
]  # fmt: skip


def odd_values(name: str) -> list[Any]:
    return [one for one in ODD if type(one) not in RIGHT[name] or one is NOT_FINITE]


def record_of(target: Path, output: str) -> Path:
    return target / ".rawkd" / "photos" / f"{key_of(output)}.json"


def photos(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("name", [*RIGHT, "in report", "without"])
def test_an_odd_record_costs_only_its_photo(name: str, tmp_path: Path) -> None:
    source, target = photos(tmp_path / "in", "s/a.CR2", "s/b.CR2"), tmp_path / "out"
    batch(source, target)
    path = record_of(target, "s/a-denoised.dng")
    whole = json.loads(path.read_text())
    if name == "in report":
        changed = [whole | {"report": whole["report"] | one} for one in IN_REPORT]
    elif name == "without":
        changed = [{key: whole[key] for key in whole if key != left_out} for left_out in whole]
    else:
        changed = [whole | {name: one} for one in odd_values(name)]
    assert len(changed) >= 5
    for content in changed:
        path.write_text(json.dumps(content))
        found = batch(source, target)
        assert statuses(found) == {"s/a.CR2": "failed", "s/b.CR2": "skipped"}
        assert "a-denoised.dng exists and its record is damaged; give --overwrite" in sentence(found["s/a.CR2"])
        kept = batch(source, target, options(keep_existing=True))
        assert statuses(kept) == {"s/a.CR2": "kept", "s/b.CR2": "skipped"}
        assert statuses(batch(source, target, options(overwrite=True))) == {"s/a.CR2": "done", "s/b.CR2": "skipped"}
        assert json.loads(path.read_text()).keys() == whole.keys()


def test_of_two_records_an_odd_one_does_not_count(tmp_path: Path) -> None:
    """Another batch wrote the same output to a folder below."""
    source, target = photos(tmp_path / "in", "s/a.CR2"), tmp_path / "out"
    batch(source, target)
    batch(source / "s", target / "s", options(overwrite=True, rows=True))
    path = record_of(target / "s", "a-denoised.dng")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"saved_s": None}))
    assert statuses(batch(source, target)) == {"s/a.CR2": "skipped"}


def test_a_record_of_endless_depth_is_damaged(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "in", "a.CR2"), tmp_path / "out"
    batch(source, target)
    record_of(target, "a-denoised.dng").write_text("[" * 100_000)
    assert "its record is damaged" in sentence(batch(source, target)["a.CR2"])


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("strange", [False, True])
def test_killed_while_an_output_is_replaced(
    below: bool, strange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output is still that of the first command, or one that nobody knows, which no command takes for its own."""
    source, target = photos(tmp_path / "in", "s/a.CR2"), tmp_path / "out"
    other = options(rows=True, overwrite=True)
    batch(source, target)
    publish = LocalStore.publish

    def dying(store: LocalStore, staged: str, name: str) -> None:
        if name.endswith(".dng"):
            if strange:
                Path(store.root, staged).write_bytes(b"other")
                publish(store, staged, name)
            raise KeyboardInterrupt
        publish(store, staged, name)

    for _ in range(2):  # the second pending record contains what the first did
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "publish", dying)
            places = (source / "s", target / "s") if below else (source, target)
            with pytest.raises(KeyboardInterrupt):
                batch(*places, other)
    found = batch(source, target)["s/a.CR2"]
    if strange:
        assert "exists and a run was killed while it was replaced; give --overwrite" in sentence(found)
    else:
        assert str(found.status) == "skipped"
    assert statuses(batch(source, target, other)) == {"s/a.CR2": "done"}
    assert "other settings" in sentence(batch(source, target)["s/a.CR2"])
    assert statuses(batch(source, target, other)) == {"s/a.CR2": "skipped"}


def test_killed_between_the_new_name_and_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = photos(tmp_path / "in", "a.CR2"), tmp_path / "out"
    other = options(rows=True, overwrite=True)
    batch(source, target)
    publish = LocalStore.publish

    def dying(store: LocalStore, staged: str, name: str) -> None:
        publish(store, staged, name)
        if name.endswith(".dng"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "publish", dying)
        with pytest.raises(KeyboardInterrupt):
            batch(source, target, other)
    assert statuses(batch(source, target, other)) == {"a.CR2": "skipped"}
    assert "rows on, now off" in sentence(batch(source, target)["a.CR2"])


def test_killed_while_an_output_is_replaced_by_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--rows` changes nothing in a photo without row noise."""
    source, target = photos(tmp_path / "in", "a.CR2"), tmp_path / "out"
    batch(source, target)
    output, publish = target / "a-denoised.dng", LocalStore.publish
    path = record_of(target, "a-denoised.dng")
    whole = json.loads(path.read_text())

    def dying(store: LocalStore, staged: str, name: str) -> None:
        if name.endswith(".dng"):
            raise KeyboardInterrupt
        publish(store, staged, name)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "publish", dying)
        with pytest.raises(KeyboardInterrupt):
            batch(source, target, options(rows=True, overwrite=True))
    pending = json.loads(path.read_text())
    assert (pending["done"], pending["before"]) == (False, {key: whole[key] for key in whole if key != "version"})
    path.write_text(json.dumps(pending | {"written": whole["written"]}))
    assert output.read_bytes() == b"ofa.CR2"
    assert statuses(batch(source, target)) == {"a.CR2": "skipped"}


def test_settings_with_an_unknown_key_are_named_so(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "in", "a.CR2"), tmp_path / "out"
    batch(source, target)
    path = record_of(target, "a-denoised.dng")
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"settings": whole["settings"] | {"odd": 1}}))
    assert "another version (unknown settings)" in sentence(batch(source, target)["a.CR2"])


@pytest.mark.parametrize("rows", [False, True])
def test_a_rival_of_a_kept_photo_is_not_kept(rows: bool, tmp_path: Path) -> None:
    """Only a.CR2 was denoised; a.NEF stays failed with every command."""
    source, target = photos(tmp_path / "in", "a.CR2", "a.NEF", "b.CR2"), tmp_path / "out"
    batch(source, target, exclude=["*.NEF"])
    owner = "kept" if rows else "skipped"
    found = batch(source, target, options(keep_existing=True, rows=rows))
    assert statuses(found) == {"a.CR2": owner, "a.NEF": "failed", "b.CR2": owner}
    assert "would both be written to" in sentence(found["a.NEF"])
    alone = batch(source, target, options(keep_existing=True, rows=rows), exclude=["*.CR2"])
    assert statuses(alone) == {"a.NEF": "failed"}
    assert f"exists and was made of {source}/a.CR2; give -o" in sentence(alone["a.NEF"])
    assert "--exclude" in sentence(alone["a.NEF"])


def test_of_two_photos_and_an_output_that_nobody_knows_both_fail(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "in", "a.CR2", "a.NEF", "b.CR2"), tmp_path / "out"
    photos(target, "a-denoised.dng", "b-denoised.dng")
    found = batch(source, target, options(keep_existing=True))
    assert statuses(found) == {"a.CR2": "failed", "a.NEF": "failed", "b.CR2": "kept"}


@pytest.mark.parametrize("keep_existing", [False, True])
@pytest.mark.parametrize("url", [False, True])
def test_no_work_file_stays_where_an_output_appears(keep_existing: bool, url: bool, tmp_path: Path) -> None:
    if url:
        pytest.importorskip("fsspec")
    source, target = photos(tmp_path / "in", "a.CR2", "b.CR2"), tmp_path / "out"
    left: list[list[Path]] = []

    def appearing(task: Task) -> None:
        left.append(work_files(target))
        photos(target, task.output)

    found = batch(
        source,
        target.as_uri() if url else target,
        options(keep_existing=keep_existing),
        StubWorkers(before=appearing),
        open_store=UrlStore.at if url else LocalStore,
    )
    assert set(statuses(found).values()) == {"kept" if keep_existing else "failed"}
    assert keep_existing or "appeared while its photo was denoised" in sentence(found["a.CR2"])
    assert [len(one) for one in left] == [1, 1]  # that of the photo in work alone
    assert work_files(target) == []


def test_no_work_file_stays_at_a_url_that_refuses_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")

    def refusing(store: UrlStore, _staged: str, name: str) -> None:
        raise OutputError(store.shown(name))

    monkeypatch.setattr(UrlStore, "publish", refusing)
    source, target = photos(tmp_path / "in", "a.CR2"), tmp_path / "out"
    assert statuses(batch(source, target.as_uri(), open_store=UrlStore.at)) == {"a.CR2": "failed"}
    assert work_files(target) == []
    UrlStore.at(target.as_uri()).discard(".rawkd/work/gone.dng")  # says nothing


def work_files(target: Path) -> list[Path]:
    return list((target / ".rawkd" / "work").glob("*"))


def test_an_archive_that_was_moved_is_kept(tmp_path: Path) -> None:
    source, target = photos(tmp_path / "in", "a.CR2"), tmp_path / "out"
    batch(source, target)
    moved = source.rename(tmp_path / "moved")
    assert statuses(batch(moved, target, options(keep_existing=True, rows=True))) == {"a.CR2": "kept"}
    (moved / "a.CR2").write_bytes(b"another photo")
    assert statuses(batch(moved, target, options(keep_existing=True, rows=True))) == {"a.CR2": "failed"}
    moved.rename(source)  # the same photo, edited: what exists is left
    assert statuses(batch(source, target, options(keep_existing=True, rows=True))) == {"a.CR2": "kept"}


def test_a_done_photo_is_found_by_few_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network drive each look takes milliseconds: folders are looked up once, and each photo's record is read."""
    source, target = tmp_path / "in", tmp_path / "out"
    read, real, looks = LocalStore.read, os.path.realpath, Counter[str]()

    def reading(store: LocalStore, name: str) -> bytes | None:
        looks["read"] += 1
        return read(store, name)

    def resolving(path: Any, **words: Any) -> Any:
        looks["real path"] += 1
        return real(path, **words)

    counted = []
    for count in (4, 12):
        batch(photos(source, *(f"{index % 4}/{index}.CR2" for index in range(count))), target)
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "read", reading)
            patch.setattr(os.path, "realpath", resolving)
            assert set(statuses(batch(source, target)).values()) == {"skipped"}
        counted.append(dict(looks))
        looks.clear()
    assert [one["read"] for one in counted] == [4, 12]
    assert counted[0]["real path"] == counted[1]["real path"]
