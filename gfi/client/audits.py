"""Audits through the client: what a job's model looks at, tested."""

import base64
import time
import uuid
from collections.abc import Sequence
from typing import Any

from gfi.client.connection import Connection
from gfi.client.tasks import TASK_POLL_S
from gfi.domain.states import AUDIT_OPEN


class Audits(Connection):
    """The methods of `Client` about audits and their findings."""

    def request_audit(
        self,
        job_id: str,
        *,
        dry_run: bool = False,
        classes: Sequence[str] = (),
        patch: bytes | None = None,
        seed: int = 0,
        training: str | None = None,
    ) -> dict[str, Any]:
        """Audit the masks of a job that has ended: does the model look at the wrong thing, where, and how sure is that?

        Parameters
        ----------
        job_id
            The job.
        dry_run
            Screen only, and say what testing the candidates takes; `confirm_audit` goes on.
        classes
            Test candidates of these classes only; none: of all.
        patch
            A PNG or JPEG of a mark: the hypothesis that it leads to the one class named.
        seed
            Of every draw.
        training
            The id of a job over the images that the model was trained on: a shortcut that none of them has is told as
            misleading, not as a shortcut.

        Returns
        -------
        dict
            ``{"audit", "created"}``; ``created`` is False where an audit that is the same is under way.
        """
        body: dict[str, Any] = {"dry_run": dry_run, "classes": list(classes), "seed": seed}
        if patch is not None:
            body["patch"] = base64.b64encode(patch).decode()
        if training is not None:
            body["training"] = training
        requested: dict[str, Any] = self.send("POST", f"/v1/jobs/{job_id}/audit", json=body).json()
        return requested

    def audit_until_settled(
        self,
        dataset: str,
        model: str = "efficientnet-lite0",
        *,
        classes: Sequence[str] = (),
        seed: int = 0,
        first: int = 40,
        margin: float | None = None,
        after: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Submit a job that explains a sample of a dataset, then more of it until every class of its audit is settled.

        Parameters
        ----------
        dataset, model, **options
            The options of the job, as for `submit`.
        classes
            Test candidates of these classes only; none: of all.
        seed
            Of every draw.
        first
            Images of each class on which candidates are fixed.
        margin
            A class without an effect of this change of probability is settled; None: .20.
        after
            The id of an audit until settled of the same question that has ended: its candidates go on with their
            evidence, and images that it used are not tested again. None: begin anew.
        idempotency_key
            As for `submit`.

        Returns
        -------
        dict
            ``{"audit", "created"}``; ``created`` is False where an audit that is the same is under way.
        """
        job = {"dataset": dataset, "model": model, **options}
        body = {"job": job, "classes": list(classes), "seed": seed, "first": first}
        body |= {name: value for name, value in (("margin", margin), ("after", after)) if value is not None}
        key = idempotency_key or uuid.uuid4().hex
        requested: dict[str, Any] = self.send(
            "POST", "/v1/audits", json=body, headers={"Idempotency-Key": key}
        ).json()
        return requested

    def audits(self, job_id: str) -> list[dict[str, Any]]:
        """The audits of a job, newest first."""
        listed: list[dict[str, Any]] = self.get(f"/v1/jobs/{job_id}/audits")
        return listed

    def audit(self, audit_id: str) -> dict[str, Any]:
        """One audit with its findings."""
        audit: dict[str, Any] = self.get(f"/v1/audits/{audit_id}")
        return audit

    def wait_for_audit(self, audit_id: str, wait_s: float | None = None) -> dict[str, Any]:
        """Wait until an audit goes on no more by itself: it is screened only, done, failed or cancelled.

        Parameters
        ----------
        audit_id
            Its id.
        wait_s
            Seconds, at most; None: as long as it takes.
        """
        ends = None if wait_s is None else time.monotonic() + wait_s
        while True:
            audit = self.audit(audit_id)
            over = ends is not None and time.monotonic() >= ends
            if over or audit["state"] not in AUDIT_OPEN:
                return audit
            time.sleep(TASK_POLL_S)

    def confirm_audit(self, audit_id: str) -> dict[str, Any]:
        """Test the candidates of an audit that was only screened, failed or was cancelled."""
        audit: dict[str, Any] = self.send("POST", f"/v1/audits/{audit_id}/confirm").json()
        return audit

    def cancel_audit(self, audit_id: str) -> dict[str, Any]:
        """Cancel an audit that is not done."""
        audit: dict[str, Any] = self.send("DELETE", f"/v1/audits/{audit_id}").json()
        return audit

    def verify_audit(self, audit_id: str, share: float = 0.01) -> dict[str, Any]:
        """Explain a share of the images again and compare the masks bit by bit.

        Returns the task; `wait_for_task` gives its result.
        """
        task: dict[str, Any] = self.send(
            "POST", f"/v1/audits/{audit_id}/verify", json={"share": share}
        ).json()
        return task

    def decide_finding(
        self,
        audit_id: str,
        finding_id: str,
        *,
        accepted: bool | None = None,
        dismissed: str | None = None,
        note: str | None = None,
        assignee: str | None = None,
    ) -> dict[str, Any]:
        """Accept a finding, dismiss it with a reason (an empty one takes that back), note or assign it."""
        body = {"accepted": accepted, "dismissed": dismissed, "note": note, "assignee": assignee}
        finding: dict[str, Any] = self.send(
            "PATCH",
            f"/v1/audits/{audit_id}/findings/{finding_id}",
            json={name: value for name, value in body.items() if value is not None},
        ).json()
        return finding

    def finding_picture(self, audit_id: str, finding_id: str, name: str = "crop.png") -> bytes:
        """A picture of a finding: ``1.jpg`` to ``6.jpg``, images with the place outlined, or ``crop.png``."""
        return self.bytes(f"/v1/audits/{audit_id}/findings/{finding_id}/pictures/{name}")
