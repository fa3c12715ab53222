"""The command line: everything that is done to a deployment from its own machine."""

from service.cli.main import main

__all__ = ["main"]
