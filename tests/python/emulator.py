"""The emulator for the tests in this folder, which are called with the path of apim-agent."""

import json
import os
import subprocess
import sys
import tempfile

BINARY = os.path.abspath(sys.argv.pop(1))
DEADLINE = 60


class Emulator:
    """The emulator as a child process, from its ready file on."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        ready = os.path.join(self.folder.name, "ready.json")
        self.process = subprocess.Popen(
            [BINARY, "emulator", "--ready-file", ready, *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        # The ready file appears whole; the emulator says so on stdout.
        for line in self.process.stdout:
            if os.path.exists(ready):
                break
            print("emulator:", line, end="")
        with open(ready, encoding="utf-8") as file:
            self.ready = json.load(file)

    def assertion(self):
        with open(self.ready["assertion_file"], encoding="utf-8") as file:
            return file.read().strip()

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=DEADLINE)
        self.folder.cleanup()
