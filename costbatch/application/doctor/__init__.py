"""Checks an installation: `checks` lists the checks, `findings` has their results."""
