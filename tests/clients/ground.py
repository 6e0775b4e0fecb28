"""What the scripts of this directory stand on: where things are kept, a Node, a gateway."""
import json
import os
import re
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
CACHE = os.environ.get("CLIENTS_DIR", os.path.join(TARGET, "clients"))
BINARY = os.environ.get("TOOLGATE_BIN", os.path.join(TARGET, "release/toolgate"))
NODE = "24.21.0"


def npm(place, package, *options):
    """Installs one package in a directory of its own, once."""
    done = os.path.join(place, "installed")
    if os.path.exists(done):
        return
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    with open(os.path.join(place, "package.json"), "w") as out:
        json.dump({"private": True}, out)
    print(f"installing {package}", flush=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *options, package]
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
    open(done, "w").close()


def node():
    """The directory of a Node that the newest client takes."""
    have = shutil.which("node")
    if have:
        version = subprocess.run([have, "--version"], capture_output=True, text=True).stdout
        if [int(part) for part in re.findall(r"\d+", version)[:2]] >= [24, 16]:
            return os.path.dirname(have)
    # Its install script is what fetches the program, so this one may run it.
    npm(os.path.join(CACHE, "node"), f"node@{NODE}")
    return os.path.join(CACHE, "node/node_modules/node/bin")


class Gateway:
    """A gateway with a token, in a private directory, `place`, where others may put what they need beside it."""

    def __init__(self):
        # Not below a directory that others may write to: such a place is no place for a gateway's files.
        os.makedirs(CACHE, exist_ok=True)
        self.place = tempfile.mkdtemp(prefix="run-", dir=CACHE)
        state = os.path.join(self.place, "gateway")
        os.mkdir(state, 0o700)
        self.log_path = os.path.join(self.place, "gateway.log")
        command = [BINARY, "--state-dir", state, "run", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(self.log_path, "w"), cwd=state)
        self.port = int(self.process.stdout.readline().decode().rsplit(":", 1)[1])
        self.token = open(os.path.join(state, "token")).read().strip()

    def log(self):
        return open(self.log_path).read()

    def stop(self):
        """Stops it and takes its directory away; returns whether it ended well."""
        self.process.terminate()
        code = self.process.wait()
        shutil.rmtree(self.place, ignore_errors=True)
        return code == 0
