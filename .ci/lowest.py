"""Prints the lowest versions that setup.cfg allows, as constraints for pip."""

import configparser
import re
import sys
from pathlib import Path

parser = configparser.ConfigParser()
parser.read(Path(__file__).parents[1] / "setup.cfg", encoding="utf-8")
needed = parser["options"]["install_requires"].split()
for extra in sys.argv[1:]:
    needed += parser["options.extras_require"][extra].split()
for line in needed:
    name, version = re.fullmatch(r"([\w.-]+)(?:>=|==)([\w.]+)(?:,.*)?", line).groups()
    print(f"{name}=={version}")
