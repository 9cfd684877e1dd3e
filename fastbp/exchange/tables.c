/* The columns of a table as inputs of networks, and the mean of networks: see arithmetic.c. The
 * formulas are those of fastbp/tabular/preparation.py, in double as there. */

/* The square root of x >= 1, by Newton's method, which comes from above. */
static double square_root(double x)
{
    double before, y = x;
    do {
        before = y;
        y = 0.5 * (y + x / y);
    } while (y < before);
    return before;
}

static double limited(double x, double limit)
{
    if (x > limit)
        return limit;
    if (x < -limit)
        return -limit;
    return x;
}

/* Numbers x, NaN as the median, scaled to z and clipped smoothly: z / sqrt(1 + (z / clip)^2). Beyond
 * 1e9 that is the limit already. */
static void scale_numbers(const double *x, const double *medians, const double *scales, double clip,
                          float *inputs, size_t n)
{
    const double largest = 1.7976931348623157e308; /* differences that overflow count as this */
    size_t i;
    for (i = 0; i < n; i++) {
        double z = 0.0;
        if (x[i] == x[i])
            z = limited(limited(x[i] - medians[i], largest) * scales[i], 1e9);
        inputs[i] = (float)(z / square_root(1.0 + z / clip * (z / clip)));
    }
}

/* 1 for each of the listed numbers that is NaN, else 0. */
static void mark_missing(const double *x, const int *listed, float *inputs, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        inputs[i] = (float)(x[listed[i]] != x[listed[i]]);
}

/* How much of each bin between two edges lies below x, from 0 to 1. */
static void encode_bins(double x, double median, const double *edges, float *inputs, size_t n)
{
    size_t i;
    if (x != x)
        x = median;
    for (i = 0; i < n; i++) {
        const double part = (x - edges[i]) / (edges[i + 1] - edges[i]);
        inputs[i] = 0.0f;
        if (part > 0.0)
            inputs[i] = (float)limited(part, 1.0);
    }
}

/* 1 for the code among first, ..., last, else 0; larger codes than `most` count as that one. */
static void encode_category(int code, int first, int last, int most, float *inputs)
{
    int i;
    if (code > most)
        code = most;
    for (i = first; i <= last; i++)
        inputs[i - first] = (float)(code == i);
}

/* -1 and 1 for the codes 0 and 1, else 0. */
static void encode_two(int code, float *inputs)
{
    inputs[0] = (float)((code == 1) - (code == 0));
}

/* The row of the table for a code below n; the last two rows are for unknown and missing values. */
static void encode_by_means(int code, const float *table, float *inputs, int n, size_t width)
{
    size_t i, row = (size_t)n;
    if (0 <= code && code < n)
        row = (size_t)code;
    if (code == -1)
        row = (size_t)n + 1;
    for (i = 0; i < width; i++)
        inputs[i] = table[row * width + i];
}

static void select_inputs(const float *inputs, const int *used, float *x, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        x[i] = inputs[used[i]];
}

static void add_share(double share, const float *output, double *h, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        h[i] += share * (double)output[i];
}

static void divide_by_sum(double *h, size_t n)
{
    double sum = 0.0;
    size_t i;
    for (i = 0; i < n; i++)
        sum += h[i];
    for (i = 0; i < n; i++)
        h[i] /= sum;
}

static void standardise_back(const double *mean, const double *spread, double *h, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        h[i] = h[i] * spread[i] + mean[i];
}
