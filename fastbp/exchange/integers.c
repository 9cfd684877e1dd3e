/* Arithmetic of exported networks in whole numbers: see arithmetic.c, which comes before. The same
 * numbers come from integers.py. */

/* The whole number nearest to (x - center) factor, between -127 and 127; -127 for NaN. */
static void quantise_inputs(const float *x, const float *center, const float *factor, int8_t *q,
                            size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        float t = opaque((x[i] - center[i]) * factor[i]);
        if (!(-127.0f < t))
            t = -127.0f;
        if (127.0f < t)
            t = 127.0f;
        q[i] = (int8_t)((t + SHIFTER) - SHIFTER);
    }
}

/* sum multiplier / 2**shift + zero, rounded, between lowest and 127. */
static int8_t requantise(int32_t sum, int32_t multiplier, int shift, int32_t zero, int32_t lowest)
{
    /* Shifted as a positive number: what shifts make of negative ones depends on the compiler. */
    const int64_t product = (int64_t)sum * multiplier + (INT64_C(1) << 62);
    const uint64_t shifted = ((uint64_t)product + (UINT64_C(1) << (shift - 1))) >> shift;
    const int64_t q = (int64_t)shifted - (INT64_C(1) << (62 - shift)) + zero;
    if (q < lowest)
        return (int8_t)lowest;
    if (127 < q)
        return 127;
    return (int8_t)q;
}

/* b + W q; W has the weights of a unit behind each other. */
static int32_t sum_int8(const int8_t *W, int32_t b, const int8_t *q, size_t n_in)
{
    size_t i;
    for (i = 0; i < n_in; i++)
        b += (int32_t)W[i] * q[i];
    return b;
}

static void layer_int32(const int8_t *W, const int32_t *b, const int32_t *multipliers,
                        const uint8_t *shifts, int32_t zero, int32_t lowest, const int8_t *q,
                        int8_t *out, size_t n_in, size_t n_out)
{
    size_t j;
    for (j = 0; j < n_out; j++, W += n_in)
        out[j] = requantise(sum_int8(W, b[j], q, n_in), multipliers[j], shifts[j], zero, lowest);
}

/* An activation from its table, which begins with that of -128. */
static void look_up(int8_t *q, const int8_t *table, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        q[i] = table[q[i] + 128];
}

static void last_int32(const int8_t *W, const int32_t *b, const int8_t *q, int32_t *sums,
                       size_t n_in, size_t n_out)
{
    size_t j;
    for (j = 0; j < n_out; j++, W += n_in)
        sums[j] = sum_int8(W, b[j], q, n_in);
}

/* The float that whole numbers stand for. */
static void dequantise(const int32_t *sums, const float *steps, float *h, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        h[i] = opaque((float)sums[i] * steps[i]);
}
