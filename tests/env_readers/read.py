"""As read.sh, with python-dotenv: read.py FILE NAMES"""

import sys

from dotenv import dotenv_values

file, names = sys.argv[1:]
values = dotenv_values(file)
for name in open(names):
    value = values.get(name.rstrip("\n"))
    sys.stdout.buffer.write(b"-\0" if value is None else b"=" + value.encode() + b"\0")
