"""Accept or review: what a model's card vouches for, photo by photo."""

from dataclasses import dataclass, replace
from typing import Literal

from garmentcut.config import ConfigError, CutConfig
from garmentcut.model.card import ModelCard
from garmentcut.prediction.doubt import check_doubt, doubt_of, usual_doubt
from garmentcut.prediction.doubt_signs import observe_looks
from garmentcut.prediction.heat import heat_bytes
from garmentcut.prediction.looks import Looks
from garmentcut.prediction.reasons import reasons_of

Verdict = Literal["", "accept", "review"]
"""Empty: there is no threshold."""


@dataclass(frozen=True)
class Judgement:
    """What is thought of one cutout.

    Attributes:
        doubt: 1 - expected surface Dice at 2 px, in [0, 1]; None: the model cannot tell.
        verdict: of the doubt.
        reasons: why it is doubted, in words; none for accepted ones; without a verdict only what is unusual, of those
            that are doubted more than most.
        heat: an 8-bit gray PNG of where, for photos to review, or with reasons and no verdict; else None.
        looks: what the garment's other views are compared with.
    """

    doubt: float | None = None
    verdict: Verdict = ""
    reasons: tuple[str, ...] = ()
    heat: bytes | None = None
    looks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Judge:
    """Judges cutouts of one model by one threshold.

    Attributes:
        card: of the model.
        max_doubt: up to which photos are accepted; None: no verdict.
    """

    card: ModelCard
    max_doubt: float | None = None

    @classmethod
    def of(cls, card: ModelCard, accept_risk: float | None = None, *, cut: CutConfig | None = None) -> "Judge":
        """The judge of a model.

        Cutouts were calibrated as the card makes them: others are promised nothing, and of `fast` ones, which are
        another network's, no doubt is known either.

        Args:
            card: its card.
            accept_risk: share of the accepted garments that may fall short; None: what the card says.
            cut: effort and choke.

        Raises:
            ConfigError: the card vouches for nothing, or not for so little risk; says why.
            garmentcut.model.card.ModelError: the doubt on the card is of another version.
        """
        check_doubt(card)
        if (cut or CutConfig()) != CutConfig():
            if accept_risk is not None:
                raise ConfigError(
                    f"{card.label} vouches for normal effort and its own edge only: leave effort and choke out"
                )
            known = card.doubt if cut is not None and cut.effort != "fast" else None
            card = replace(card, doubt=known, acceptance=None)
        acceptance = card.acceptance if card.doubt is not None else None
        if acceptance is None:
            if accept_risk is not None:
                raise ConfigError(
                    f"{card.label} vouches for no photo: run `garmentcut calibrate` on photos of your own"
                )
            return cls(card)
        threshold = acceptance.threshold_of(acceptance.risk if accept_risk is None else accept_risk)
        if accept_risk is not None and (threshold is None or threshold.max_doubt is None):
            why = threshold.reason if threshold else f"the least risk it was calibrated for is {_least(card):g}"
            raise ConfigError(f"{card.label} cannot promise a risk of {accept_risk:g}: {why}")
        return cls(card, threshold.max_doubt if threshold else None)

    def verdict_of(self, doubt: float | None) -> Verdict:
        """The verdict on a doubt."""
        if doubt is None or self.max_doubt is None:
            return ""
        return "accept" if doubt <= self.max_doubt else "review"

    def __call__(self, looks: Looks) -> Judgement:
        """Judge the cutout that was made of some looks at a photo."""
        if self.card.doubt is None:
            return Judgement()
        observation = observe_looks(looks)
        if observation is None:
            return Judgement()
        # Rounded before it is compared: the row then says exactly what was decided on.
        doubt = round(doubt_of(self.card.doubt, observation), 4)
        verdict = self.verdict_of(doubt)
        is_doubted = verdict == "review" or (not verdict and doubt > usual_doubt(self.card.doubt))
        reasons = reasons_of(self.card.doubt, observation, at_least_one=bool(verdict)) if is_doubted else ()
        return Judgement(
            doubt=doubt,
            verdict=verdict,
            reasons=reasons,
            heat=heat_bytes(observation.maps) if verdict == "review" or reasons else None,
            looks=tuple(round(float(value), 4) for value in (*observation.looks, len(observation.maps.parts))),
        )


def _least(card: ModelCard) -> float:
    assert card.acceptance is not None
    return min((one.risk for one in card.acceptance.thresholds), default=1.0)
