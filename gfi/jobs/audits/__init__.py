"""Audits as a service: the steps of `gfi.audit` over the parts, photographs and tables of a job.

    request    somebody asks for one: a row and a task
    screen     the task without a network: reads masks and photographs, proposes candidates
    outcome    verdicts, findings, detection limits; the rows and files of a finished audit

The task that asks the network is `workers.audit_confirm`.
"""
