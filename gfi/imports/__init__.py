"""Masks that were made elsewhere, as a finished job: reading them safely, and writing them as results.

Nothing that arrives is trusted: no pickle is loaded, no archive is unpacked, no path leaves its folder, sizes are
bounded. The job says `imported, not verified` wherever it shows. Loads torch only for files of `torch.save`.
"""
