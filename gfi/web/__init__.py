"""The dashboard: page shells, style and scripts, served by the same application as the API. No build step.

Pages hold no data: their scripts ask the API, with the session cookie, for what they show. Everything comes from this
host and nothing is inline, so the content security policy forbids all else.
"""
