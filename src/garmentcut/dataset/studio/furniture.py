"""What stands and hangs in the studios, as tables: shapes in the frame, width and height both counted 0 to 1."""

from dataclasses import dataclass

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Piece:
    """One flat thing in the studio.

    Attributes:
        shape: `polygon` (corners), `curve` (a smooth closed outline), `line` (a smooth stroke), `disc` (two corners).
        points: x, y in fractions of the frame.
        top: sRGB at its upper end, 0 to 255.
        bottom: sRGB at its lower end.
        chance: How often it is there.
        jitter: How far it may be moved as a whole, in fractions of the frame.
        grain: Strength of its speckle (carpet, concrete), in [0, 1].
        width: Thickness of a line, in fractions of the frame's height.
        group: Pieces of one group are there together or not at all; 0 is a piece by itself.
        in_front: It stands before the turntable.
    """

    shape: str
    points: tuple[Point, ...]
    top: Colour
    bottom: Colour
    chance: float = 1.0
    jitter: float = 0.0
    grain: float = 0.0
    width: float = 0.003
    group: int = 0
    in_front: bool = False


def _box(left: float, top: float, right: float, bottom: float) -> tuple[Point, ...]:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


_EVERYWHERE = _box(-0.2, -0.2, 1.2, 1.2)
_BLACK_CARD = (
    Piece("polygon", ((-0.1, 0.953), (0.82, 0.918), (0.85, 1.1), (-0.1, 1.1)), (18, 18, 20), (12, 12, 14), 0.7, 0.012,
          group=1, in_front=True),
    Piece("line", ((-0.1, 0.963), (0.4, 0.944), (0.8, 0.9295), (0.812, 0.929)),
          (190, 190, 190), (150, 150, 150), 0.7, 0.012,
          group=1, in_front=True),
    Piece("line", ((0.812, 0.929), (0.76, 1.1)), (120, 120, 122), (90, 90, 92), 0.7, 0.012, width=0.002,
          group=1, in_front=True),
)  # fmt: skip
_CABLE = Piece(
    "line", ((0.58, 0.922), (0.7, 0.927), (0.82, 0.916), (0.93, 0.905), (1.1, 0.903)), (30, 30, 32), (30, 30, 32), 0.8,
    0.006, width=0.0035,
)  # fmt: skip
_LAMPS = (
    Piece("disc", ((-0.06, 0.405), (0.05, 0.455)), (150, 150, 152), (92, 92, 95), 0.7, 0.02),
    Piece("disc", ((0.955, 0.51), (1.06, 0.575)), (150, 150, 152), (92, 92, 95), 0.7, 0.02),
)
_STAND = (
    Piece("line", ((0.03, 0.62), (0.05, 0.93)), (36, 36, 38), (30, 30, 32), width=0.004),
    Piece("line", ((0.05, 0.8), (-0.02, 0.94)), (36, 36, 38), (30, 30, 32), width=0.004),
    Piece("line", ((0.05, 0.8), (0.11, 0.94)), (36, 36, 38), (30, 30, 32), width=0.004),
)
_STOOL = (
    Piece("line", ((0.86, 0.665), (0.835, 0.81)), (165, 158, 150), (120, 112, 102), 1.0, width=0.008),
    Piece("line", ((0.935, 0.665), (0.95, 0.84)), (172, 165, 155), (128, 118, 108), 1.0, width=0.009),
    Piece("line", ((0.985, 0.68), (0.99, 0.9)), (182, 175, 165), (138, 128, 118), 1.0, width=0.009),
    Piece("polygon", _box(0.85, 0.655, 1.05, 0.672), (188, 182, 174), (150, 142, 132)),
    Piece("curve", ((0.9, 0.6), (0.865, 0.645), (0.9, 0.665), (0.935, 0.645)), (228, 216, 190), (170, 152, 124), 0.8),
    Piece(
        "curve", ((0.95, 0.625), (0.92, 0.655), (0.955, 0.672), (0.99, 0.655)), (240, 234, 222), (186, 178, 164), 0.8
    ),
    Piece("polygon", _box(0.945, 0.6, 0.975, 0.64), (24, 92, 88), (16, 66, 64), 0.5, 0.01),
)
_BOXES = (
    Piece(
        "polygon",
        ((0.1, 0.81), (0.21, 0.8), (0.3, 0.815), (0.19, 0.828)),
        (246, 246, 248),
        (240, 240, 242),
        0.3,
        group=2,
    ),
    Piece(
        "polygon",
        ((0.1, 0.81), (0.19, 0.828), (0.19, 0.94), (0.1, 0.92)),
        (206, 207, 212),
        (192, 193, 198),
        0.3,
        group=2,
    ),
    Piece(
        "polygon",
        ((0.19, 0.828), (0.3, 0.815), (0.3, 0.92), (0.19, 0.94)),
        (226, 227, 231),
        (212, 213, 218),
        0.3,
        group=2,
    ),
)

_PAPER_ROLL = (
    Piece("polygon", _EVERYWHERE, (14, 14, 16), (24, 24, 26)),
    Piece("polygon", _box(-0.1, 0.757, 1.1, 1.1), (158, 140, 114), (188, 168, 138), grain=0.16),
    Piece(
        "polygon",
        ((-0.1, 0.085), (0.9, 0.095), (0.897, 0.7), (0.905, 0.755), (0.93, 0.8), (0.98, 0.84), (1.1, 0.88),
         (1.1, 0.907), (0.5, 0.907), (-0.1, 0.903)),
        (236, 237, 243), (230, 231, 238), jitter=0.004,
    ),
    Piece("polygon", ((-0.1, 0.069), (0.908, 0.082), (0.908, 0.107), (-0.1, 0.097)), (250, 250, 250), (206, 206, 212)),
    Piece("line", ((0.905, 0.093), (0.955, 0.094)), (190, 190, 190), (190, 190, 190), width=0.006),
    Piece("line", ((0.932, 0.1), (0.931, 0.56)), (132, 132, 132), (110, 110, 110), width=0.004),
    *_BOXES,
    _CABLE,
)  # fmt: skip
_LOFT = (
    Piece("polygon", _EVERYWHERE, (226, 221, 213), (238, 233, 228)),
    Piece("polygon", _box(-0.1, 0.19, 1.1, 0.78), (243, 240, 236), (235, 230, 223)),
    Piece("polygon", ((0.7, -0.1), (1.1, -0.1), (1.1, 0.19), (0.86, 0.175), (0.77, 0.12)),
          (206, 201, 193), (222, 217, 209)),
    Piece("polygon", ((0.7, -0.1), (0.9, -0.1), (0.96, 0.02), (0.78, 0.13)), (232, 228, 221), (214, 209, 201)),
    Piece("polygon", ((-0.1, 0.184), (1.1, 0.18), (1.1, 0.2), (-0.1, 0.204)), (248, 246, 242), (214, 208, 200)),
    Piece("polygon", ((0.075, -0.1), (0.64, -0.1), (0.637, 0.358), (0.08, 0.362)),
          (222, 221, 218), (234, 233, 231), 0.6, 0.03),
    Piece("line", ((0.03, -0.1), (0.035, 0.035)), (28, 28, 30), (28, 28, 30), 0.8, 0.01, width=0.012),
    Piece("line", ((0.636, -0.1), (0.636, 0.035)), (28, 28, 30), (28, 28, 30), 0.8, 0.01, width=0.007),
    *_LAMPS,
    Piece("line", ((0.02, 0.94), (0.3, 0.905), (0.32, 0.955)), (206, 194, 178), (190, 178, 162), 0.5, width=0.002),
    Piece("curve", ((0.2, 0.9), (0.24, 0.895), (0.26, 0.903), (0.22, 0.907)),
          (222, 208, 190), (206, 190, 170), 0.5, 0.04),
    *_STOOL,
    *_BLACK_CARD,
)  # fmt: skip
_WARM_WALL = (
    Piece("polygon", _EVERYWHERE, (250, 240, 224), (240, 226, 204)),
    Piece("polygon", _box(-0.1, -0.1, 1.1, 0.068), (216, 196, 164), (228, 208, 178), 0.8),
    Piece(
        "polygon", ((-0.1, 0.064), (1.1, 0.07), (1.1, 0.09), (-0.1, 0.085)), (172, 114, 68), (140, 86, 46), 0.9, 0.01
    ),
    Piece("polygon", _box(-0.1, 0.87, 1.1, 1.1), (242, 229, 209), (228, 213, 191), grain=0.012),
    _CABLE,
    *_BLACK_CARD,
)
_BRIGHT_SWEEP = (
    Piece("polygon", _EVERYWHERE, (238, 238, 236), (226, 226, 224)),
    Piece("polygon", _box(-0.1, 0.9, 1.1, 1.1), (62, 70, 84), (50, 56, 68), grain=0.1),
    Piece(
        "polygon",
        ((-0.1, 0.1), (0.93, 0.1), (0.94, 0.3), (0.925, 0.32), (0.935, 0.55), (0.92, 0.78), (0.96, 0.8), (0.985, 0.9),
         (0.7, 0.935), (0.2, 0.925), (0.06, 0.94), (-0.1, 0.9)),
        (252, 252, 252), (244, 244, 244), jitter=0.01,
    ),
    Piece("line", ((-0.1, 0.098), (0.5, 0.113), (0.93, 0.1)), (224, 224, 224), (214, 214, 214), width=0.004),
    Piece("curve", ((0.8, 0.15), (0.92, 0.105), (1.1, 0.12), (1.1, 0.19), (0.92, 0.185)),
          (16, 16, 18), (34, 34, 36), 0.8, 0.02),
    Piece("curve", ((-0.1, 0.395), (0.06, 0.4), (0.085, 0.43), (0.06, 0.46), (-0.1, 0.46)),
          (14, 14, 16), (40, 40, 42), 0.8, 0.02),
    Piece("polygon", _box(-0.1, 0.92, 0.03, 1.1), (212, 182, 30), (196, 166, 22), 0.4),
    Piece("line", ((-0.1, 0.93), (0.1, 0.96), (0.22, 0.945), (0.34, 0.975), (0.5, 0.965)),
          (22, 22, 24), (22, 22, 24), width=0.004),
    Piece("line", ((0.62, 0.955), (0.74, 0.985), (0.86, 0.96), (1.1, 0.975)), (22, 22, 24), (22, 22, 24), width=0.004),
    *_STAND,
)  # fmt: skip
_DARK_HALL = (
    Piece("polygon", _EVERYWHERE, (16, 15, 15), (30, 29, 29)),
    Piece("polygon",
          ((0.1, 0.11), (0.93, 0.135), (0.94, 0.7), (1.1, 0.86), (1.1, 0.95), (-0.1, 0.95), (-0.1, 0.86), (0.1, 0.72)),
          (240, 240, 248), (222, 222, 232), jitter=0.02),
    Piece("polygon", ((0.07, 0.098), (0.96, 0.122), (0.96, 0.14), (0.07, 0.116)), (120, 118, 116), (70, 68, 66), 0.8),
    Piece("line", ((-0.1, 0.06), (0.3, 0.045), (1.1, 0.07)), (58, 56, 54), (58, 56, 54), width=0.006),
    Piece("polygon", _box(-0.1, 0.31, 0.05, 0.46), (50, 48, 48), (28, 27, 27), 0.7, 0.02),
    *_STAND,
    *_BLACK_CARD,
)  # fmt: skip
_GREY_SWEEP = (
    Piece("polygon", _EVERYWHERE, (206, 207, 211), (226, 227, 231)),
    Piece("polygon", ((-0.1, -0.1), (1.1, -0.1), (1.1, 0.045), (-0.1, 0.075)), (26, 26, 28), (34, 34, 36), 0.7, 0.02),
    Piece("polygon", _box(0.955, -0.1, 1.1, 0.8), (30, 30, 32), (44, 44, 46), 0.5, 0.02),
    _CABLE,
    *_BOXES,
    *_BLACK_CARD,
)

STUDIOS = {
    "paper roll": (_PAPER_ROLL, 5.0),
    "loft": (_LOFT, 4.0),
    "warm wall": (_WARM_WALL, 2.5),
    "bright sweep": (_BRIGHT_SWEEP, 1.5),
    "dark hall": (_DARK_HALL, 1.0),
    "grey sweep": (_GREY_SWEEP, 1.0),
}
