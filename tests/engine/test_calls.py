"""`Engine.run`, through which all but a training's calls of a backend go."""

import os
import signal

import numpy as np
import pytest
from helpers import make_network, wait_until

pytestmark = [pytest.mark.serial, pytest.mark.skipif(os.name == "nt", reason="no SIGINT there")]
SHORT, LONG = 1, 10**12  # numbers of rows


@pytest.fixture
def engine():
    return make_network([3, 4, 1], "log_loss", None)._engine


@pytest.mark.parametrize("rows", [SHORT, LONG])
def test_a_call_gets_no_arguments(engine, rows):
    assert engine.run(lambda: 7, rows) == 7


def test_ctrl_c_sets_the_flag_that_the_call_reads(engine):
    stop = np.zeros(1, np.int64)

    def call():
        os.kill(os.getpid(), signal.SIGINT)
        wait_until(lambda: stop[0])

    with pytest.raises(KeyboardInterrupt):
        engine.run(call, LONG, stop)


def test_a_call_without_a_flag_ends_before_ctrl_c_is_raised(engine):
    ended = []

    def call():
        os.kill(os.getpid(), signal.SIGINT)
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        engine.run(call, LONG)
    assert ended
