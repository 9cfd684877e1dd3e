"""Where the numbers of a job lie in its two arrays, of int64 and of float64.

The first has whole numbers, and addresses of arrays.
"""

PLAN, LAYERS, PIECES, LOSS, FUNCTION, PARAMETERS, BLOCK, WORKSPACE, TEAM, THREADS = range(10)
BATCH_SIZE, OPTIMIZER, HYPER, RULES, DIVIDED, CLIPPING, SQUARES = range(10, 17)
AVERAGING, AVERAGE, SEED, COUNTERS, FIRST, SECOND, TRANSPOSED, GRADIENT, STOP = range(17, 26)
WHOLE_NUMBERS = 26

LOSS_PARAMETER, CLIP_NORM, DECAY, REALS = range(4)
