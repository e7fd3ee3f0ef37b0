"""The constants of an audit, in one frozen record that is stored with its findings."""

from dataclasses import dataclass

FIRST_SAMPLE = 40
"""Images of each class on which an audit until settled fixes its candidates."""


@dataclass(frozen=True)
class AuditSettings:
    """What an audit does. Sides of places are shares of the side of the network's view."""

    seed: int = 0
    """Of every draw."""
    scales: tuple[int, ...] = (7, 14)
    """Cells along each side of the grids of S1."""
    peak_share_of_maximum: float = 0.3
    """A local peak has at least this share of the mask's maximum."""
    fewest_classes: int = 8
    """The class null needs this many classes …"""
    fewest_images: int = 20
    """… with this many images each in the screening half."""
    z_threshold: float = 2.0
    """A screen proposes what lies at least this many robust spreads above the classes' median …"""
    share_threshold: float = 0.08
    """… and is seen in at least this share of the class's images in the screening half."""
    candidates_per_class: int = 4
    most_candidates: int = 50
    controls: int = 19
    """Matched control places (or crops) beside each candidate's; 19 make the smallest rank p of an image .05."""
    most_images: int = 24
    """Images from which a candidate is removed, and hosts that it is pasted into."""
    fewest_used: int = 6
    """Below this many images in the confirmation half a candidate is undecided."""
    level: float = 0.05
    """Of the false discovery rate, and of every one-sided bound."""
    least_effect: float = 0.10
    """Δp of which the lower bound must show this much, or …"""
    least_flips: float = 0.05
    """… the share of foreign images that flip to the class."""
    match: float = 0.75
    """Two crops with this normalised cross-correlation have the same pixels. At .6 the round edges of discs were a
    repeated mark on a clean dataset; crops chosen because they match at .6 correlate by .55, planted marks by .94."""
    kept_per_class: int = 400
    """Images of a class that are looked at beyond the streaming screens, chosen by a keyed hash; prevalence is counted
    in those of the confirmation half. Of very many classes fewer are kept, 120,000 in all."""
    repeated_share: float = 0.25
    """S4 holds when the lower bound of the share of repeated crops reaches this."""
    training_images: int = 500
    """Images of a class's training set that are searched for the pixels of a shortcut, chosen by a keyed hash."""
    training_share: float = 0.01
    """A larger share of the class's training images with these pixels must be excluded to say that it has none."""
