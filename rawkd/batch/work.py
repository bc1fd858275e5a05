"""The work on one photo, in a thread of this process or on another machine: look, measure, denoise."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rawkd.batch.outcome import Failure
from rawkd.batch.record import sha256_of_file
from rawkd.batch.store import FileState, LocalStore, work_name
from rawkd.batch.task import Task
from rawkd.cores import available_cores
from rawkd.errors import InputError, NoiseError, RawkdError
from rawkd.files.read.decode import Decoder
from rawkd.files.read.identify import Identity, identify
from rawkd.files.read.raw import read_raw
from rawkd.process import ProcessOptions, process_file
from rawkd.restore.context import Context
from rawkd.restore.pipeline import prepare
from rawkd.sensor.blind.recurring import Suspects
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.noise import NoiseModel


class StoppedError(RawkdError):
    """The run was interrupted while a photo was in work."""


class WorkerContext:
    """State that a worker keeps between photos: engines for all its threads, a decoder for each thread.

    Parameters
    ----------
    models : folder of models that were sent to this worker; None to use those of the options.
    calibration : calibration file that was sent; None to use that of the options.
    calibrations : folder of installed calibration files that were sent; None to use the user's own.
    jobs : photos at a time, at least 1; they share the cores when they are decoded.
    """

    def __init__(
        self,
        models: Path | None = None,
        calibration: Path | None = None,
        calibrations: Path | None = None,
        *,
        jobs: int = 1,
    ) -> None:
        self.context = Context(calibrations=calibrations, models=models)
        self.stopped = threading.Event()
        self._calibration, self._jobs = calibration, jobs
        self._of_thread = threading.local()
        self._decoders: list[Decoder] = []

    @property
    def decoder(self) -> Decoder:
        """The decoder of the calling thread; its process starts with the first photo."""
        if not hasattr(self._of_thread, "decoder"):
            self._of_thread.decoder = Decoder()
            self._decoders.append(self._of_thread.decoder)
        decoder: Decoder = self._of_thread.decoder
        return decoder

    def decode_threads(self, threads: int | None) -> int:
        """CPU threads to decode one photo: its share of the cores, at most `threads`."""
        share = max(available_cores() // self._jobs, 1)
        return share if threads is None else min(threads, share)

    def localised(self, options: ProcessOptions) -> ProcessOptions:
        """The options with the path of the calibration file that was sent to this worker."""
        if self._calibration is None:
            return options
        return replace(options, denoise=replace(options.denoise, calibration=self._calibration))

    def check(self, _part: float = 0.0) -> None:
        """Raise StoppedError if the run was interrupted."""
        if self.stopped.is_set():
            raise StoppedError("interrupted")

    def close(self) -> None:
        """End the processes of all decoders."""
        for decoder in self._decoders:
            decoder.close()


@dataclass(frozen=True, eq=False)
class Measured:
    """What one photo tells about its series.

    Attributes
    ----------
    noise : None if it could not be measured. warnings : about the noise. suspects : None if no defects are searched.
    """

    noise: NoiseModel | None
    warnings: tuple[str, ...] = ()
    suspects: Suspects | None = None


@dataclass(frozen=True, eq=False)
class Assignment:
    """A photo and how to denoise it.

    Attributes
    ----------
    noise : that of its series; None to measure its own. defects : maps of those that photos of its camera show.
    """

    task: Task
    options: ProcessOptions
    noise: NoiseModel | None = None
    defects: tuple[DefectMap, ...] = ()
    series: str = ""


@dataclass(frozen=True, eq=False)
class Staged:
    """A denoised photo in a work file, before it is renamed to its output.

    Attributes
    ----------
    name : of the work file. sha256 : of its bytes. source, source_sha256 : of the input. report : `Report.record`.
    """

    name: str
    sha256: str
    source: FileState
    source_sha256: str
    report: dict[str, Any]


def look(worker: WorkerContext, task: Task) -> Identity:
    """Camera, ISO and software of a photo; an empty identity if it cannot be read, since `denoise` reports why.

    LibRaw is asked for an ISO that no tag states, as when the photo is denoised.
    """
    worker.check()
    identity = Identity()
    try:
        with task.source.local(task.name) as path:
            identity = identify(path)
            if identity.iso is None and identity.make and not identity.is_own_output:
                identity = replace(identity, iso=worker.decoder.iso_of(path))
    except (RawkdError, OSError, ValueError):
        pass
    return identity


def measure(worker: WorkerContext, assignment: Assignment) -> Measured | Failure:
    """The noise of one photo, or the failure of a photo that cannot be read."""
    task = assignment.task
    try:
        worker.check()
        with task.source.local(task.name) as path:
            denoise = worker.localised(assignment.options).denoise
            photo = read_raw(path, decoder=worker.decoder, threads=worker.decode_threads(denoise.threads))
            try:
                prepared = prepare(photo, denoise, worker.context)
                if not prepared.noise.known:
                    return Measured(None, prepared.noise_warnings)
                searches = denoise.defects == "auto"
                suspects = Suspects.of(prepared.photo, prepared.noise) if searches else None
                return Measured(prepared.noise, prepared.noise_warnings, suspects)
            except NoiseError:
                return Measured(None)
    except Exception as error:  # one bad photo must not cost the others
        return Failure.of(error, task.input_shown)


def denoise(worker: WorkerContext, assignment: Assignment) -> Staged | Failure:
    """Denoise one photo into a work file."""
    task = assignment.task
    try:
        worker.check()
        source = _state(task)
        with task.source.local(task.name) as path:
            staged = work_name(task.key, Path(task.output).suffix)
            with task.target.staging(staged) as work:
                report, source_sha256 = _denoise(worker, assignment, path, work)
                sha256 = sha256_of_file(work)
        known = {**report, "input": task.input_shown, "output": task.output_shown}
        return Staged(staged, sha256, source, source_sha256, known)
    except Exception as error:  # one bad photo must not cost the others
        return Failure.of(error, task.input_shown)


def _state(task: Task) -> FileState:
    """The state of an input; an unknown state if it cannot be seen, so that the next run compares the bytes."""
    return task.source.state(task.name) or FileState(-1, "")


def _state_of(path: Path) -> FileState | None:
    """The state of the file that is read: the input itself, or its copy on this machine."""
    return LocalStore(str(path.parent)).state(path.name)


def _denoise(worker: WorkerContext, assignment: Assignment, path: Path, work: Path) -> tuple[dict[str, Any], str]:
    """Write the work file; return the report and the hash of the photo. Messages name the output in its place.

    Raises
    ------
    InputError: also if the photo changed meanwhile, since its hash may then be of other bytes than were read.
    """
    options = replace(worker.localised(assignment.options), overwrite=True)
    before = _state_of(path)
    try:
        report = process_file(
            path,
            work,
            options,
            worker.check,
            decoder=worker.decoder,
            context=worker.context,
            noise=assignment.noise,
            defects=assignment.defects,
            decode_threads=worker.decode_threads(options.denoise.threads),
        )
    except RawkdError as error:
        raise type(error)(str(error).replace(str(work), assignment.task.output_shown)) from error
    source_sha256 = sha256_of_file(path)
    if _state_of(path) != before:
        shown = assignment.task.input_shown
        raise InputError(f"{shown}: the photo changed while it was denoised. Run the command again.")
    return report.record(), source_sha256
