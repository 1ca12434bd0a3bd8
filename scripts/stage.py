"""An emulator and one agent on it, each a process of its own, in a folder in RAM."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

HANG = 60


def wait(what, ready, pause=0.05):
    """What `ready` gives in the end."""
    until = time.monotonic() + HANG
    while not (found := ready()):
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not come")
        time.sleep(pause)
    return found


class Stage:
    """Cleans up behind itself as a context."""

    def __init__(self, binary, *emulator):
        self.binary, self.started = os.path.abspath(binary), []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="apim-stage-", dir="/dev/shm"))
        (self.folder / "run").mkdir(mode=0o700)
        self.emulator = emulator

    def __enter__(self):
        ready_file = self.folder / "ready.json"
        try:
            self.start("emulator", "--ready-file", ready_file, *self.emulator)
            wait("the emulator", ready_file.exists)
            self.azure = json.loads(ready_file.read_text())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.started):
            process.terminate()
            process.wait(HANG)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *command):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        with open(self.folder / "log", "ab") as log:
            self.started.append(subprocess.Popen(
                [self.binary, *command], env=environment, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        return self.started[-1]

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def agent(self, credentials, *flags):
        """An agent with these credentials that has published."""
        azure, config = self.azure, self.folder / "apim-agent.toml"
        config.write_text(f"""workspace = "stage"
ca_file = "{azure['ca_file']}"
runtime_dir = "{self.folder / 'run'}"
[identity]
source = "ona"
url = "{azure['identity']}"
bearer_file = "{azure['identity_token_file']}"
[entra]
tenant_id = "{azure['tenant_id']}"
client_id = "{azure['client_id']}"
authority = "{azure['authority']}"
[arm]
url = "{azure['arm']}"
[gateway]
url = "{azure['gateway']}"
service = "/subscriptions/{azure['subscription_id']}/resourceGroups/{azure['resource_group']}\
/providers/Microsoft.ApiManagement/service/{azure['service_name']}"
probe = "/echo"
{credentials}""")
        agent = self.start("--config", config, *flags, "run")
        wait("the env file", lambda: agent.poll() is not None or self.published() is not None)
        if agent.poll() is not None:
            raise RuntimeError(f"the agent has ended with {agent.returncode}: {self.log()}")
        return agent

    def published(self):
        """The published variables; None while there is no file."""
        for file in (self.folder / "run").glob("*/env"):
            try:
                lines = file.read_text().splitlines()
            except FileNotFoundError:
                continue
            return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return None


KEY = """
[credentials.key]
kind = "subscription-key"
scope = "/products/starter"
env = "KEY"
"""

TOKEN = """
[credentials.token]
scope = "api://echo/.default"
env = "TOKEN"
"""
