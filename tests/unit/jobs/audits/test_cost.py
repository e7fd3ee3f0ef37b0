"""What testing takes, at most."""

from gfi.audit.candidates import Candidate
from gfi.audit.settings import AuditSettings
from gfi.domain.methods import PEERS
from gfi.domain.presets import PRESETS
from gfi.jobs.audits import cost


def test_each_image_is_removed_from_and_pasted_into_with_its_controls() -> None:
    candidates = [Candidate(0, "S1", None, 1.0, 0.5), Candidate(1, "S1", None, 1.0, 0.5)]
    assert cost.answers(candidates, 10, AuditSettings()) == 2 * 10 * (41 + 21)
    assert cost.answers([], 10, AuditSettings()) == 0


def test_seconds_follow_from_the_measured_rate_of_the_job() -> None:
    assert cost.seconds(600, None, 20.0, PRESETS["tuned"]) is None
    assert cost.seconds(600, 2.0, 20.0, PRESETS["tuned"]) == 600 / (2 * 20 * 3)
    # Grad-CAM has no steps; its rate counts 21 passes an image.
    assert cost.seconds(420, 2.0, 0.0, PEERS["grad-cam"]) == 10
