"""The tailor's tables: necklines, armholes, straps, silhouettes and lengths, in body units (see `tube`)."""

from dataclasses import dataclass

Curve = tuple[tuple[float, float], ...]

# Distance from the middle of the body -> height above which there is no cloth. An end at 0 leaves the shoulder whole.
NECKLINES: dict[str, tuple[Curve, float]] = {
    "crew": (((0, 0.074), (0.02, 0.072), (0.034, 0.062), (0.043, 0.046), (0.047, 0.0)), 3),
    "scoop": (((0, 0.112), (0.025, 0.108), (0.045, 0.088), (0.054, 0.058), (0.058, 0.0)), 3),
    "v": (((0, 0.15), (0.02, 0.112), (0.044, 0.062), (0.052, 0.0)), 3),
    "deep v": (((0, 0.205), (0.018, 0.155), (0.042, 0.085), (0.056, 0.0)), 1.2),
    "square": (((0, 0.108), (0.05, 0.106), (0.054, 0.1), (0.059, 0.0)), 1.2),
    "boat": (((0, 0.067), (0.04, 0.063), (0.06, 0.055), (0.066, 0.0)), 1.2),
    "slit": (((0, 0.118), (0.006, 0.1), (0.01, 0.076), (0.034, 0.06), (0.044, 0.0)), 0.7),
    "high": (((0, 0.026), (0.05, 0.024), (0.06, 0.0)), 0.8),
}
TOP_EDGES: dict[str, tuple[Curve, float]] = {  # of bodices that leave the shoulders bare
    "sweetheart": (((0, 0.142), (0.016, 0.13), (0.042, 0.116), (0.066, 0.122), (0.1, 0.146)), 1.5),
    "straight edge": (((0, 0.122), (0.05, 0.12), (0.078, 0.134), (0.1, 0.15)), 2),
    "camisole": (((0, 0.146), (0.025, 0.13), (0.048, 0.102), (0.062, 0.12), (0.1, 0.156)), 2),
}
BACK_NECKLINES: dict[str, tuple[Curve, float]] = {
    "crew": (((0, 0.06), (0.03, 0.056), (0.043, 0.046), (0.047, 0.0)), 4),
    "scoop": (((0, 0.105), (0.025, 0.1), (0.045, 0.08), (0.056, 0.0)), 1.5),
    "v": (((0, 0.19), (0.02, 0.13), (0.044, 0.066), (0.052, 0.0)), 1.0),
}
BARE_BACK: Curve = ((0, 0.158), (0.05, 0.156), (0.1, 0.152))
LOW_BACK: Curve = ((0, 0.225), (0.03, 0.22), (0.052, 0.19), (0.066, 0.158), (0.1, 0.154))

# Height -> how far from the middle the cloth reaches; beyond lies the armhole.
ARMHOLES: dict[str, tuple[Curve, float]] = {
    "": (((0.04, 0.094), (0.07, 0.088), (0.1, 0.081), (0.13, 0.081), (0.148, 0.087), (0.16, 0.1), (0.168, 0.2)), 4),
    "cut-in shoulders": (
        ((0.04, 0.074), (0.07, 0.071), (0.1, 0.068), (0.13, 0.074), (0.148, 0.083), (0.16, 0.099), (0.168, 0.2)),
        2,
    ),
    "halter shoulders": (
        ((0.03, 0.046), (0.06, 0.05), (0.09, 0.054), (0.12, 0.066), (0.145, 0.083), (0.158, 0.099), (0.166, 0.2)),
        0.8,
    ),
    "cap sleeve": (((0.0, 0.2), (0.1, 0.2), (0.125, 0.116), (0.132, 0.2)), 1.0),
}


@dataclass(frozen=True)
class Strap:
    """A band over the shoulder, mirrored on both sides: where it is at the top and at the bodice, and its width."""

    x_top: float
    x_bottom: float
    half_width: float
    in_front: bool


# Name -> (front, back) places of the strap: at the shoulder and at the bodice.
STRAPS: dict[str, tuple[tuple[float, float], tuple[float, float], float]] = {
    "spaghetti": ((0.060, 0.050), (0.060, 0.052), 3),
    "crossed": ((0.060, 0.050), (0.058, -0.045), 1.2),
    "halter": ((0.036, 0.046), (0.036, 0.036), 0.8),
    "wide": ((0.064, 0.054), (0.064, 0.056), 1.0),
}


@dataclass(frozen=True)
class Silhouette:
    """The outline below the bodice.

    Attributes:
        from_waist: The widths begin at the waist; otherwise at the bust and the waist is not fitted.
        half_widths: At even steps from there to the hem.
        fold: Height of the hanging folds at the hem.
        folds: Fewest and most hanging folds around.
        gathers: Height of the fine gathers where it begins.
    """

    from_waist: bool
    half_widths: tuple[float, ...]
    fold: float
    folds: tuple[int, int]
    gathers: float


SILHOUETTES: dict[str, tuple[Silhouette, float]] = {
    "pencil": (Silhouette(True, (0.076, 0.096, 0.102, 0.1, 0.094), 0.0010, (3, 6), 0.0), 2.5),
    "straight": (Silhouette(True, (0.077, 0.097, 0.104, 0.106, 0.108), 0.0028, (5, 9), 0.0), 1.5),
    "a-line": (Silhouette(True, (0.077, 0.1, 0.116, 0.13, 0.142), 0.0080, (7, 12), 0.0006), 2.5),
    "flared": (Silhouette(True, (0.077, 0.109, 0.134, 0.154, 0.17), 0.0125, (9, 15), 0.0012), 2.5),
    "full": (Silhouette(True, (0.078, 0.136, 0.165, 0.184, 0.198), 0.0150, (11, 18), 0.0024), 1.5),
    "gathered": (Silhouette(True, (0.08, 0.112, 0.124, 0.134, 0.142), 0.0080, (16, 26), 0.0030), 1.5),
    "mermaid": (Silhouette(True, (0.076, 0.098, 0.098, 0.094, 0.096, 0.118, 0.15), 0.0080, (8, 13), 0.0), 0.7),
    "shift": (Silhouette(False, (0.092, 0.093, 0.1, 0.106, 0.11), 0.0040, (4, 8), 0.0), 2.0),
    "trapeze": (Silhouette(False, (0.092, 0.106, 0.124, 0.142, 0.158), 0.0100, (7, 12), 0.0), 1.2),
}
LENGTHS: dict[str, tuple[float, float, float]] = {  # body y of the hem: from, to, how often
    "mini": (0.47, 0.54, 3),
    "knee": (0.55, 0.64, 4),
    "midi": (0.68, 0.78, 1.2),
    "maxi": (0.88, 0.955, 1.5),
}
WIDE_ONLY = frozenset({"a-line", "flared", "full", "gathered", "trapeze"})
