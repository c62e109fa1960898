"""Checks an installation: `checks` lists what is looked at, `findings` is what comes out of it."""
