"""Which processor, and which version of fastbp, a benchmark runs on."""

import platform
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent


def commit():
    """The commit that is measured, with a + behind it if files have been changed since."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run([*command, "--dirty=+"], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def cpu():
    """The name of the processor."""
    try:
        with open("/proc/cpuinfo") as file:
            lines = [line for line in file if line.startswith("model name")]
        return lines[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
