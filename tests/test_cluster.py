"""A scheduler and its workers on loopback: every photo comes back right and once, also when a worker dies."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_shoots import left_over, outputs, read_report, write_calibration, write_photo, write_shoot
from tiny_models import blur, make_model

from rawkd.batch.outcome import Outcome, Status
from rawkd.batch.queue import Batch
from rawkd.batch.settings import BatchOptions
from rawkd.batch.store import FileState, LocalStore
from rawkd.batch.task import Selection, find_tasks
from rawkd.batch.watch import Arrivals, poll_interval
from rawkd.batch.work import WorkerContext
from rawkd.cli import main
from rawkd.errors import NoiseError, RawkdError
from rawkd.files.read.raw import read_raw
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.installed_calibration import profile_folder
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare, restore

dask_config = pytest.importorskip("dask.config", reason="needs the extra `cluster`")
distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")
from rawkd.batch import cluster as cluster_module  # noqa: E402
from rawkd.batch.cluster import ClusterWorkers, fixed_for_cluster, pack_worker_files  # noqa: E402
from rawkd.batch.cluster_worker import RawkdPlugin, WorkerFiles, unpack_on_workers  # noqa: E402
from rawkd.batch.url_store import UrlStore  # noqa: E402

ENDING = "-denoised.dng"


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    make_model(directory / "tiny-low", blur, subrange=[1e-5, 1.05e-3])
    make_model(directory / "tiny-high", blur, subrange=[1.05e-3, 1e-1])
    return directory


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A scheduler and three worker processes on loopback, without a dashboard."""
    folder = tmp_path_factory.mktemp("dask")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        with distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, local_directory=str(folder)
        ) as running:
            yield running


def options_for(family: Path, **process: Any) -> BatchOptions:
    denoise = DenoiseOptions(model=family, threads=1)
    return fixed_for_cluster(BatchOptions(ProcessOptions(denoise, **process), ENDING))


def test_a_worker_that_dies_costs_nothing(
    dask: Any, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three workers is killed after the third photo: all outputs are right, each is published once."""
    count = 12
    write_shoot(tmp_path / "in", count)
    (tmp_path / "in" / "broken.dng").write_bytes(b"no photo")
    tasks = tuple(find_tasks([str(tmp_path / "in")], str(tmp_path / "out"), Selection(), ENDING))
    heard: list[Outcome] = []
    published: list[str] = []

    publish = LocalStore.publish

    def counting(store: LocalStore, staged: str, name: str) -> None:
        published.extend([name] if name.endswith(ENDING) else [])  # records are published, too
        publish(store, staged, name)

    monkeypatch.setattr(LocalStore, "publish", counting)
    victims = [worker.pid for worker in dask.workers.values()]

    def listen(outcome: Outcome) -> None:
        heard.append(outcome)
        if len(heard) == 3:
            os.kill(victims[0], signal.SIGKILL)

    options = options_for(family)
    workers = ClusterWorkers(dask.scheduler_address, options)
    try:
        Batch(options, workers).run(tasks, listen)
    finally:
        workers.close()
    assert sorted(str(outcome.status) for outcome in heard) == ["done"] * count + ["failed"]
    assert sorted(published) == [f"{index:02}{ENDING}" for index in range(count)]
    assert not left_over(tmp_path / "out")
    noise = next(outcome for outcome in heard if outcome.status is Status.DONE)
    assert noise.report is not None
    assert "mean of 8 photos" in noise.report["noise"]["source"]
    assert len({outcome.report["student"] for outcome in heard if outcome.report}) == 1

    command = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "local"), "--model", str(family), "-q"]
    assert main([*command, "--device", "cpu", "--jobs", "1"]) == 1
    assert outputs(tmp_path / "local") == outputs(tmp_path / "out")


def test_the_command_line(dask: Any, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_shoot(tmp_path / "in", 3)
    command = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", str(family)]
    command += ["--cluster", dask.scheduler_address, "--report", str(tmp_path / "r.json")]
    assert main(command) == 0
    assert read_report(tmp_path / "r.json")["counts"]["done"] == 3
    assert {photo["device"] for photo in read_report(tmp_path / "r.json")["photos"]} == {"cpu"}
    capfd.readouterr()
    assert main(command) == 0
    assert "0 denoised, 3 done before" in capfd.readouterr().err


def test_urls(dask: Any, family: Path, tmp_path: Path) -> None:
    """Photos and outputs at an fsspec URL: the same bytes as from folders, and the same resumption."""
    photo = write_photo(tmp_path / "in" / "deep" / "a b.dng")
    write_photo(tmp_path / "in" / "own.dng", software="rawkd 0.0.1")
    command = ["batch", (tmp_path / "in").as_uri(), "-o", (tmp_path / "out").as_uri(), "-r", "--model", str(family)]
    command += ["--per-photo-noise", "-q", "--cluster", dask.scheduler_address]
    report = ["--report", str(tmp_path / "r.json")]
    assert main([*command, *report]) == 0
    options = options_for(family).process
    process_file(photo, tmp_path / "single.dng", options)
    assert outputs(tmp_path / "out") == {"deep/a b-denoised.dng": (tmp_path / "single.dng").read_bytes()}
    assert read_report(tmp_path / "r.json")["counts"]["own output"] == 1
    assert main([*command, *report]) == 0
    assert read_report(tmp_path / "r.json")["counts"]["skipped"] == 1
    assert main([*command, "--strength", "0.5"]) == 1
    assert not left_over(tmp_path / "out")


def test_a_worker_without_room_is_no_lost_scheduler() -> None:
    """Dask raises what the plugin raised on a worker; a worker that unpacked nothing can still be closed."""

    class Full:
        def register_plugin(self, plugin: RawkdPlugin, name: str) -> None:  # noqa: ARG002 -- as Dask calls it
            plugin.teardown(None)
            raise OSError(errno.ENOSPC, "No space left on device")

    files = WorkerFiles({}, "0" * 64, "1")
    with pytest.raises(RawkdError, match=r"^a worker cannot unpack the models \(No space left on device\)\. Free some"):
        unpack_on_workers(Full(), files, "rawkd-0")  # type: ignore[arg-type]


def test_a_url_takes_a_name_too_long_for_a_sidecar(tmp_path: Path) -> None:
    name = "n" * 248 + ".dng"
    (tmp_path / name).write_bytes(b"photo")
    with UrlStore.at(tmp_path.as_uri()).local(name) as path:
        assert path.read_bytes() == b"photo"


def test_a_url_store_keeps_the_sidecar_and_hides_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in ("a.cr2", "a.xmp", "x/b.nef", ".hidden.dng"):
        (tmp_path / name).write_bytes(name.encode())
    store = UrlStore.at(tmp_path.as_uri() + "/")
    assert [name for name, _ in store.files(recursive=False)] == ["a.cr2", "a.xmp"]
    assert [name for name, _ in store.files(recursive=True)] == ["a.cr2", "a.xmp", "x/b.nef"]
    assert dict(store.files(recursive=True))["x/b.nef"] == store.state("x/b.nef")
    with store.local("a.cr2") as path:
        assert path.read_bytes() == b"a.cr2"
        assert path.with_suffix(".xmp").read_bytes() == b"a.xmp"
    assert store.state("none.dng") is None
    assert store.read("none.dng") is None


@pytest.fixture
def without_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that says nothing of a file but its size, as that of a plain server."""
    from fsspec.implementations.local import LocalFileSystem

    info = LocalFileSystem.info

    def plain(files: Any, path: Any, **words: Any) -> dict[str, Any]:
        return {name: value for name, value in info(files, path, **words).items() if name in ("name", "size", "type")}

    monkeypatch.setattr(LocalFileSystem, "info", plain)


@pytest.mark.usefixtures("without_stamps")
def test_another_file_of_equal_size_is_not_taken_for_done(family: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "in" / "a.dng")
    size = photo.stat().st_size
    command = ["batch", (tmp_path / "in").as_uri(), "-o", (tmp_path / "out").as_uri(), "--model", str(family), "-q"]
    command += ["--report", str(tmp_path / "r.json"), "--jobs", "1"]

    def ended() -> tuple[int, str]:
        code = main(command)
        (found,) = read_report(tmp_path / "r.json")["photos"]
        return code, found["status"]

    assert UrlStore.at((tmp_path / "in").as_uri()).state("a.dng") == FileState(size, "")
    assert ended() == (0, "done")
    assert ended() == (0, "skipped")
    write_photo(photo, 5)
    assert photo.stat().st_size == size
    assert ended() == (1, "failed")
    assert "another input" in read_report(tmp_path / "r.json")["photos"][0]["error"]["sentence"]


def test_a_look_at_a_url_is_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    (tmp_path / "in" / "folder.dng").mkdir(parents=True)
    for index in range(20):
        (tmp_path / "in" / f"{index}.dng").write_bytes(b"photo")
    asked: list[str] = []
    listing, state = LocalFileSystem.ls, UrlStore.state
    monkeypatch.setattr(LocalFileSystem, "ls", lambda *a, **k: asked.append("listing") or listing(*a, **k))
    monkeypatch.setattr(LocalFileSystem, "isfile", lambda *_: asked.append("file"))
    monkeypatch.setattr(UrlStore, "state", lambda *a: asked.append("state") or state(*a))
    arrivals, given = Arrivals(settle_s=2.0), []
    for look in range(5):
        states = find_tasks([(tmp_path / "in").as_uri()], None, Selection(), ENDING, UrlStore.at)
        given.append(len(arrivals.settled(states, 10.0 * look)))
    assert given == [0, 20, 0, 0, 0]
    assert asked == ["listing"] * 5
    assert poll_interval(["photos", "s3://bucket/shoot"]) >= 5
    assert poll_interval(["photos"]) < 1


def test_files_that_a_listing_does_not_describe_are_asked_for_until_they_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A web server's index names files and says neither size nor time."""
    (tmp_path / "a.dng").write_bytes(b"photo")
    monkeypatch.setattr(UrlStore, "files", lambda *_, **__: iter([("a.dng", None)]))
    asked: list[str] = []
    state = UrlStore.state
    monkeypatch.setattr(UrlStore, "state", lambda store, name: asked.append(name) or state(store, name))
    arrivals, given = Arrivals(settle_s=2.0), []
    for look in range(5):
        states = find_tasks([tmp_path.as_uri()], None, Selection(), ENDING, UrlStore.at)
        given.append(len(arrivals.settled(states, 10.0 * look)))
    assert given == [0, 1, 0, 0, 0]
    assert asked == ["a.dng"] * 2


def test_no_scheduler_answers(family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(cluster_module, "TIMEOUT_S", 0.5)
    write_photo(tmp_path / "a.dng")
    command = ["batch", str(tmp_path / "a.dng"), "--model", str(family), "--cluster", "tcp://127.0.0.1:9"]
    assert main(command) == 2
    assert "no Dask scheduler answers" in capfd.readouterr().err
    assert main(["batch", str(tmp_path / "a.dng"), "--model", str(family), "--cluster", "nonsense://x"]) == 2
    assert main(["batch", str(tmp_path / "a.dng"), "--model", str(family), "--cluster", "tls://127.0.0.1:9"]) == 2
    assert "certificate" in capfd.readouterr().err
    with dask_config.set({"distributed.comm.require-encryption": True}):
        assert main(command) == 2
    assert "tls://" in capfd.readouterr().err
    assert outputs(tmp_path).keys() == {"a.dng"}


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "http://x", "http://127.0.0.1:9", "inproc://x"])
def test_what_is_no_address_is_refused_at_once_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.setattr(distributed.Client, "__init__", lambda *_, **__: pytest.fail("half a client stays for __del__"))
    write_photo(tmp_path / "a.dng")
    begin_s = time.monotonic()
    assert main(["batch", str(tmp_path / "a.dng"), "--strength", "0", "--cluster", address]) == 2
    assert time.monotonic() - begin_s < cluster_module.TIMEOUT_S
    said = capfd.readouterr().err
    assert said.startswith(f"error: {address}: no Dask scheduler answers (")
    assert said.count("\n") == 1


def test_a_server_that_is_no_scheduler_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster_module, "TIMEOUT_S", 0.5)
    write_photo(tmp_path / "a.dng")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "tcp://{}:{}".format(*silent.getsockname())
        assert main(["batch", str(tmp_path / "a.dng"), "--strength", "0", "--cluster", address]) == 2
    assert capfd.readouterr().err.startswith(f"error: {address}: no Dask scheduler answers (what answers is ")


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a scheduler with one worker, and a function that kills it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    programs = [subprocess.Popen([*dask, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **quiet)]
    programs += [subprocess.Popen([*worker, "--no-dashboard", "--local-directory", str(tmp_path / "dask")], **quiet)]

    def kill() -> None:
        programs[0].kill()
        programs[0].wait()

    try:
        with distributed.Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        yield address, kill
    finally:
        for program in programs:
            program.kill()
            program.wait()


def test_a_lost_scheduler_is_one_sentence(
    mortal: tuple[str, Callable[[], None]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Killed when the first photo is done, and while none is computed, with a client that has given up."""
    monkeypatch.setattr(cluster_module, "TIMEOUT_S", 3.0)
    address, kill = mortal
    sentence = f"{address}: the scheduler was lost: start it, and run the command again"
    write_shoot(tmp_path / "in", 6)
    idle = ClusterWorkers(address, BatchOptions(ProcessOptions(DenoiseOptions(strength=0.0)), ENDING))
    published = LocalStore.publish

    def publish(store: LocalStore, staged: str, name: str) -> None:
        published(store, staged, name)
        if name.endswith(ENDING):
            kill()

    monkeypatch.setattr(LocalStore, "publish", publish)
    command = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--strength", "0", "--cluster", address]
    assert main(command) == 1
    said = capfd.readouterr().err
    assert said.splitlines()[-1] == f"error: {sentence}"
    assert "Traceback" not in said
    assert "ERROR" not in said
    assert 1 <= len(outputs(tmp_path / "out")) < 6
    assert not left_over(tmp_path / "out")
    with pytest.raises(RawkdError, match=re.escape(sentence)):
        list(idle.each(lambda _, item: item, [1, 2]))
    idle.close()


def test_other_versions_are_refused(
    dask: Any, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_photo(tmp_path / "a.dng")
    command = ["batch", str(tmp_path / "a.dng"), "--model", str(family), "--cluster", dask.scheduler_address]
    with monkeypatch.context() as patch:
        patch.setattr(cluster_module, "__version__", "99.0")
        assert main(command) == 2
    assert "this machine 99.0" in capfd.readouterr().err
    versions = distributed.Client.get_versions

    def older(client: Any, check: bool = False) -> Any:
        found = versions(client, check=check)
        found["scheduler"]["packages"]["distributed"] = "2020.1.0"
        return found

    with monkeypatch.context() as patch:
        patch.setattr(distributed.Client, "get_versions", older)
        assert main(command) == 2
    assert "scheduler has distributed 2020.1" in capfd.readouterr().err


def test_worker_files_are_identified_by_their_contents(family: Path, tmp_path: Path) -> None:
    one, two = pack_worker_files(options_for(family)), pack_worker_files(options_for(family, jpeg_quality=50))
    assert one.sha256 == two.sha256
    names = {f"models/{name}/{file}" for name in ("tiny-low", "tiny-high") for file in ("card.json", "network.onnx")}
    assert set(one.files) == names
    make_model(tmp_path / "tiny-low", blur, subrange=[1e-5, 1e-1], halo=4)
    assert pack_worker_files(options_for(tmp_path)).sha256 != one.sha256


def test_calibrations_are_those_of_the_machine_that_sends(
    dask: Any, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    installed = write_calibration(profile_folder() / "one.json", gain=2e-3)
    write_shoot(tmp_path / "in", 2)
    tasks = tuple(find_tasks([str(tmp_path / "in")], str(tmp_path / "out"), Selection(), ENDING))
    options = options_for(family)
    workers = ClusterWorkers(dask.scheduler_address, options)
    outcomes: list[Outcome] = []
    try:
        Batch(options, workers).run(tasks, outcomes.append)
    finally:
        workers.close()
    assert [outcome.report["noise"]["source"] for outcome in outcomes if outcome.report] == ["calibration"] * 2
    assert pack_worker_files(options).files["cameras/one.json"] == installed.read_bytes()

    worker = WorkerContext(calibrations=tmp_path / "nowhere")
    assert prepare(read_raw(tmp_path / "in" / "00.dng"), options.process.denoise).noise.source == "calibration"
    localised = worker.localised(options.process).denoise
    assert prepare(read_raw(tmp_path / "in" / "00.dng"), localised, worker.context).noise.source == "profile"


def test_a_worker_reports_a_faster_tier_in_place_of_the_one_asked_for(tmp_path: Path) -> None:
    """A worker has copies of the models, but warns about the tier that the user named."""
    make_model(tmp_path / "copies" / "tiny", blur, subrange=[1e-5, 1e-1], halo=4, tier="fast")
    write_shoot(tmp_path / "in", 1)
    worker = WorkerContext(tmp_path / "copies")
    denoise = worker.localised(ProcessOptions(DenoiseOptions(model="best"))).denoise
    found = restore(prepare(read_raw(tmp_path / "in" / "00.dng"), denoise, worker.context), denoise, worker.context)
    assert found.student == "tiny"
    assert "there is no best model for Bayer photos, so the fast one was used" in found.warnings


def test_a_calibration_that_cannot_be_read_is_named(family: Path, tmp_path: Path) -> None:
    denoise = DenoiseOptions(model=family, calibration=tmp_path / "none.json")
    with pytest.raises(NoiseError, match=r"none\.json"):
        pack_worker_files(BatchOptions(ProcessOptions(denoise)))
