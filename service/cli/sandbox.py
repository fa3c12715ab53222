"""The sandbox EHR, with the personas that a deployment is tried against first."""

from sandbox import __main__ as sandboxes

sandbox = sandboxes.command(("plain", "epic"))
