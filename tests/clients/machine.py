# SPDX-License-Identifier: Apache-2.0
"""A client process under test: its serial console as something to expect words from, and QEMU's monitor.

Everything is bounded: a case has a deadline, every wait ends there at the latest, and what a case started is killed when it
leaves the `with` block.
"""
import json
import os
import re
import select
import signal
import socket
import subprocess
import time

SHELL_PROMPT = "kuse# "


class Failed(Exception):
    pass


class Skipped(Exception):
    """The case cannot run here, for a reason that is not the client's."""


class Process:
    """A child with its output on a pipe; stderr goes to the same one."""

    def __init__(self, case, command, name="client", environment=None):
        self.case, self.command, self.name = case, command, name
        self.log, self.unread = "", ""
        case.processes.append(self)
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      start_new_session=True, cwd=case.folder,
                                      env={**os.environ, **(environment or {})})

    def read(self, seconds):
        """Takes in what comes within seconds; False at the end of output."""
        if not select.select([self.child.stdout], [], [], max(0, seconds))[0]:
            return True
        data = os.read(self.child.stdout.fileno(), 65536)
        text = data.decode(errors="replace").replace("\r", "")
        self.log += text
        self.unread += text
        return bool(data)

    def expect(self, pattern, seconds=None):
        """Waits for the regular expression in unread output; returns the match, what is before it is gone then."""
        end = min(self.case.end, time.monotonic() + (seconds or 1e9))
        while True:
            m = re.search(pattern, self.unread)
            if m:
                self.before, self.unread = self.unread[:m.start()], self.unread[m.end():]
                return m
            if time.monotonic() >= end:
                raise Failed(f"{self.name}: no {pattern!r} in time; output ends: {self.tail()}")
            if not self.read(end - time.monotonic()):
                raise Failed(f"{self.name}: ended ({self.status()}) before {pattern!r}; output ends: {self.tail()}")

    def send(self, text):
        try:
            os.write(self.child.stdin.fileno(), text.encode())
        except BrokenPipeError:
            raise Failed(f"{self.name}: takes no input ({self.status()}): {self.tail()}") from None

    def status(self):
        try:
            return self.child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            return "running"

    def tail(self):
        return " | ".join(line for line in self.log.splitlines()[-5:])[-500:]

    def finish(self, want=0):
        """Waits for the end of the process, which must have the status want."""
        while self.read(self.case.end - time.monotonic()):
            if time.monotonic() >= self.case.end:
                raise Failed(f"{self.name}: does not end: {self.tail()}")
        status = self.status()
        if status != want:
            raise Failed(f"{self.name}: exit status {status}, not {want}: {self.tail()}")

    def kill(self):
        if self.child.poll() is None:
            try:
                os.killpg(self.child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.child.wait()


class Guest(Process):
    """A process whose pipe is the guest's serial console, with our initramfs's shell on it."""

    def shell(self, seconds=None):
        self.expect(r"CLIENT init.*\n", seconds)
        self.expect(re.escape(SHELL_PROMPT), seconds)

    def run(self, command, seconds=None, status=0):
        """Runs a command line in the guest's shell and returns its output."""
        self.send(command + "; echo \"<<$?>>\"\n")
        m = self.expect(r"<<(\d+)>>\n", seconds)
        output = self.before.strip()
        self.expect(re.escape(SHELL_PROMPT), seconds)
        if int(m.group(1)) != status:
            raise Failed(f"{self.name}: `{command}` has status {m.group(1)}, not {status}: {output[-300:]}")
        return output

    def need(self, command, pattern, seconds=None):
        output = self.run(command, seconds)
        if not re.search(pattern, output):
            raise Failed(f"{self.name}: `{command}` gives {output[-300:]!r}, not {pattern!r}")

    def power_off(self):
        self.send("poweroff -f\n")
        self.finish()


class Monitor:
    """QEMU's QMP on a socket in the case's folder."""

    def __init__(self, case, path):
        self.case = case
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() >= case.end:
                    raise Failed("QEMU opens no monitor") from None
                time.sleep(0.05)
        self.file = self.socket.makefile("rw")
        self.line()
        self.do("qmp_capabilities")

    def line(self):
        self.socket.settimeout(max(0.1, self.case.end - time.monotonic()))
        try:
            text = self.file.readline()
        except OSError:
            text = ""
        if not text:
            raise Failed("QEMU's monitor says nothing more")
        return json.loads(text)

    def do(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = self.line()
            if "error" in answer:
                raise Failed(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def human(self, line):
        """A command of the human monitor; its answers are empty where it succeeds."""
        return self.do("human-monitor-command", **{"command-line": line}).strip()
