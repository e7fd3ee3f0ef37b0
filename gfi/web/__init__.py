"""The dashboard: HTML pages, style and scripts, served by the application of the API. There is no build step.

Pages contain no data: their scripts request it from the API with the session cookie. Everything is loaded from this
host and nothing is inline, so that the content security policy can forbid everything else.
"""
