"""Exports of a job's results to other tools: one module a format, one table of formats (`gfi.exports.formats`).

A format turns a stretch of results into files, a *piece*, and assembles the pieces into what is handed out. Pieces are
kept until the export is whole, so that it goes on where it was interrupted, and memory holds one piece at a time.
Loads no torch.
"""
