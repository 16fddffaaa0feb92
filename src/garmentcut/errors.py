"""All errors, in one small tree, and the stable codes on which rows, retries, metrics and exit codes are based.

Messages are for people and may be reworded at any time. Codes are for programs and never change their meaning.

>>> PhotoError("truncated PNG; copy or export it again", code="truncated").code
'truncated'
"""

import errno
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any, NamedTuple, Self


class Failure(NamedTuple):
    """Meaning of a failure's code.

    Attributes:
        meaning: in words, for the documentation.
        is_permanent: the same photo would fail again with the same options, so it is not retried until either changes.
    """

    meaning: str
    is_permanent: bool = False


FAILURES = {
    "missing": Failure("the file no longer exists"),
    "unreadable": Failure("no permission, not a regular file, or a disk or share error"),
    "empty": Failure("the file is empty"),
    "truncated": Failure("the end of the file is missing", is_permanent=True),
    "damaged": Failure("the file cannot be decoded", is_permanent=True),
    "unsupported": Failure("a kind of file, page, depth or colour that is not supported", is_permanent=True),
    "color_profile": Failure("its colour profile cannot convert its colours", is_permanent=True),
    "too_large": Failure("exceeds a limit of the `read` settings", is_permanent=True),
    "too_small": Failure("too small or too narrow for a studio photo", is_permanent=True),
    "bad_name": Failure("its name cannot be used", is_permanent=True),
    "no_memory": Failure("not enough memory"),
    "no_garment": Failure("no garment was found", is_permanent=True),
    "nothing_visible": Failure("the cutout has no visible pixel to trim to or to place", is_permanent=True),
    "does_not_fit": Failure("the garment does not fit its canvas", is_permanent=True),
    "format_limit": Failure("the format cannot hold it", is_permanent=True),
    "no_path": Failure("no clipping path can be drawn around it", is_permanent=True),
    "changed": Failure("the photo was replaced while its garment was cut"),
    "late_view": Failure("its garment's other views were cut without it, at their own scale"),
    "bad_correction": Failure("its correction is damaged or has another size"),
    "output_exists": Failure("a file that garmentcut did not write is in the way"),
    "output_is_photo": Failure("its output would replace a photo"),
    "name_taken": Failure("the specification gives two photos one name"),
    "not_written": Failure("no permission, or an error of the output's disk or share"),
    "kills_run": Failure("it was being read when two runs died", is_permanent=True),
    "worker_killed": Failure("the process that cut it was killed each time"),
    "internal": Failure("anything else: a bug in garmentcut"),
}
"""Codes of the failures in rows of results.jsonl, in the order in which they can occur."""

FLAGS = {
    "soft_edge": "the edge is soft or sheer",
    "sheer": "the inside is sheer or unsure",
    "traces": "faint traces beside the garment",
    "low_contrast": "the garment looks like the background",
    "long_outline": "the outline is ragged or very long",
    "components": "the garment is in several pieces",
    "holes": "the garment has holes",
    "touches_frame": "the garment touches the frame",
    "pattern": "a strong pattern",
    "stages_disagree": "the stages of the model disagree",
    "foreign": "the photo looks unlike the studio that the model was trained on: do not use its cutout unchecked",
    "unlike_training": "unlike the photos that the model was trained on",
    "color_unlike_views": "its colour differs from the garment's other views",
    "length_unlike_views": "its length differs from the garment's other views",
    "components_unlike_views": "more or fewer pieces than in the garment's other views",
    "another_photo": "another photo of the same name was cut before, so this one got a name of its own",
    "sideways": "the garment lies on its side: turn the photo upright",
    "rescaled": "the garment was too large or too small in the photo, so it was cut at another scale",
    "cut_off": "something thin continues in the photo where the cutout ends",
    "moved": "it was moved or renamed since it was cut; its files keep their names",
    "replaced": "it replaced a photo of the same name that was cut before",
    "displaced": "another photo has taken its place; this one was cut before",
    "profile_dropped": "its colour profile was unusable: read as sRGB",
    "color_converted": "its colours were converted to sRGB",
    "color_approximate": "inks without a usable profile: its colours are approximate",
    "color_clipped": "values beyond black and white were clipped",
    "laid_on_white": "its transparent parts were flattened onto white",
    "channels_left_out": "saved channels were left out",
    "metadata_left_out": "EXIF, XMP or IPTC was unreadable, or is more than the format holds",
    "sidecar_left": "a sidecar file was not copied",
    "repaired": "a fault in its file that affects no pixel was ignored",
    "several_garments": "several garments were cut out, together or, with --each, each into files of its own",
    "specks_left_out": "specks outside the garment were left out",
    "too_small_for_canvas": "smaller than specified: it would be enlarged too much",
    "no_view": "the specification uses the view, but the photo's name has none",
    "not_moved": "its files could not be moved to the folder of its verdict",
}
"""Codes of the remarks about photos that were cut."""

SKIPPED = {
    "camera_raw": "a camera raw file: export it as TIFF or JPEG",
    "other_format": "a format that is not read: save it as PNG, JPEG, TIFF or WebP",
    "sidecar": "a sidecar file of Lightroom or Capture One: it is copied with its photo",
    "no_picture": "not an image, by its suffix",
    "link": "a link to a folder: name the folder itself",
    "hidden": "its name begins with a dot",
    "junk": "left by an operating system or a network drive",
    "cutouts": "the output folder of a run: to cut the images in it, name it",
}
"""Codes of the reasons why a file or folder among the photos was skipped, and what to do about it."""


class Refusal(NamedTuple):
    """The answer to a refused request: HTTP status, and seconds after which it may be retried; 0: do not retry."""

    status: int
    retry_after_s: int = 0


REFUSALS = {
    "bad_request": Refusal(400),
    "no_token": Refusal(401),
    "forbidden": Refusal(403),  # from another site, or without the page's token
    "not_found": Refusal(404),
    "too_slow": Refusal(408),
    "conflict": Refusal(409),  # somebody else was faster
    "too_large": Refusal(413),
    "not_a_photo": Refusal(415),
    "unfit": Refusal(422),  # the body is not valid
    "queue_full": Refusal(429, 10),
    "busy": Refusal(503, 2),
    "not_stored": Refusal(507),
    "not_settled": Refusal(507),  # stored, but the outcome could not be read, or files not written
}
"""Codes of the refusals of the review's server."""


class Note(str):
    """A remark about a photo, in words, with its code.

    Attributes:
        flag: a key of `FLAGS`.
    """

    def __new__(cls, text: str, flag: str = "") -> Self:  # default: copies are made from the text only
        """Create the text and attach the code."""
        note = super().__new__(cls, text)
        note.flag = flag
        return note

    flag: str


class GarmentcutError(Exception):
    """Any error that garmentcut raises on purpose; the message says what to do about it.

    Attributes:
        code: stable name of the kind of error; for a photo, one of `FAILURES`.
        exit_code: exit code of the command line.
    """

    code = "internal"
    exit_code = 1

    def __init_subclass__(cls, *, code: str = "", exit_code: int = 0) -> None:
        if code:
            cls.code = code
        cls.exit_code = exit_code or cls.exit_code

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message)
        if code:
            self.code = code


class UsageError(GarmentcutError, ValueError, code="usage", exit_code=2):
    """An option, file, folder or model that was given cannot be used."""


class ConfigError(UsageError, code="config"):
    """A configuration that cannot be used; the message names the settings and the fix.

    Its `template` is the message with the name of each of its `settings` in braces: `{section.key}`.
    """

    def __init__(self, template: str = "", settings: Iterable[str] = ()) -> None:
        self.template, self.settings = template, frozenset(settings)
        super().__init__(self.named({}))

    def named(self, names: Mapping[str, str]) -> str:
        """The message with other names of its settings, such as options."""
        return reduce(lambda text, key: text.replace(f"{{{key}}}", names.get(key, key)), self.settings, self.template)


class SourceError(UsageError, code="source"):
    """Photos, or an output folder, that cannot be used."""


class NoBatchError(SourceError, code="no_batch"):
    """A folder that holds no cutouts of `garmentcut cut`."""


class DatabaseError(UsageError, code="database"):
    """The review's database cannot be used; the message names it and says what to do."""


class ModelError(UsageError, code="model"):
    """A model file, a run or a checkpoint that cannot be used."""


class DatasetError(UsageError, code="dataset"):
    """A dataset that cannot be used."""


class EvaluationError(UsageError, code="evaluation"):
    """The requested figures cannot be measured on these photos."""


class TrainingError(UsageError, code="training"):
    """A training that cannot start or continue; the message says why and what to change."""


# Not named an error, because it is not a mistake of the caller's.
class TrainingStopped(TrainingError, code="training_stopped", exit_code=1):  # noqa: N818
    """A training that was aborted, and can continue once the problem is fixed."""


class PhotoError(GarmentcutError, ValueError, code="unsupported"):
    """A photo or cutout file that cannot be used; the message says why and what would fix it."""


class NoGarmentError(PhotoError, code="no_garment"):
    """A photo that shows no garment."""


class OutputError(GarmentcutError, ValueError, code="format_limit"):
    """A cutout that cannot be written as it was asked for."""


class RunError(GarmentcutError, RuntimeError, code="run"):
    """A run that cannot continue; what was finished stays finished. The message says what to fix."""


class FolderError(RunError, code="output_folder"):
    """The output folder is no longer writable, so no further photo can be written."""


class LockTakenError(RunError, code="lock_taken"):
    """Another process holds the lock."""


class ReviewError(UsageError, code="bad_request"):
    """A request to the review's server that cannot be met.

    Attributes:
        code: a key of `REFUSALS`.
        item: in a conflict, the photo's present state, for the page.
    """

    def __init__(self, message: str, *, code: str = "", item: dict[str, Any] | None = None) -> None:
        super().__init__(message, code=code)
        self.status, self.retry_after_s = REFUSALS[self.code]
        self.item = item


def counted(number: int, unit: str) -> str:
    """A number with its unit, for messages: `1 photo`, `2 photos`."""
    return f"{number} {unit}{'' if number == 1 else 's'}"


def code_of(error: BaseException, *, os_error: str = "unreadable") -> str:
    """The code, one of `FAILURES`, for an exception about a photo; `os_error` is that of errors of the file system."""
    if isinstance(error, GarmentcutError):
        return error.code if error.code in FAILURES else "internal"
    if isinstance(error, MemoryError):
        return "no_memory"
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):  # whatever was being done
            return "not_written"
        return "missing" if isinstance(error, FileNotFoundError) and os_error == "unreadable" else os_error
    return "internal"
