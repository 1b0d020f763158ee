"""Run the command line: ``python -m crosshaul`` is the command ``crosshaul``."""

from crosshaul.cli.main import main

if __name__ == "__main__":
    main()
