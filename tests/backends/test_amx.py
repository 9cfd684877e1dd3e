"""How matrices are packed for AMX tiles, on every processor: the tiles are computed in plain C.

What the processor's own tiles give is in test_bfloat16.py, where there are some.
"""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest
from building import ROOT, need_a_compiler
from helpers import SECONDS

# How setup.py compiles for processors that have fused multiply-adds.
FLAGS = {
    "avx512": ["-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mfma"],
    "avx2": ["-mavx2", "-mfma"],
}


@pytest.mark.parametrize("build", FLAGS)
def test_tiles_and_emulation_give_the_same_bits(cython, build, tmp_path):
    from fastbp.backends._cpu import supported

    need_a_compiler()
    if build not in supported():
        pytest.skip(f"the processor does not run {build}")
    program = tmp_path / "tiles"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))
    source = Path(__file__).with_name("tiles.c")
    options = ["-O2", "-ffp-contract=off", "-Wno-psabi", *FLAGS[build], f"-I{ROOT / 'src_cython'}"]
    subprocess.run(
        [*compiler, *options, str(source), "-o", str(program), "-lm"], check=True, timeout=SECONDS
    )
    done = subprocess.run([program], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
