"""`python -m service.cli.run`: the commands, for processes that other processes start."""

import sys

if __name__ == "__main__":
    try:
        from service.cli.main import main

        main()
    except KeyboardInterrupt:  # before there was anything to stop
        sys.exit(130)
