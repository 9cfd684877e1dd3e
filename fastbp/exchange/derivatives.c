/* Derivatives and steps of training for exported networks: see arithmetic.c, which comes before.
 *
 * The arithmetic is that of src_cython/elementwise.pxi, losses.pxi, passes.pxi, gradients.pxi and
 * optimizers.pxi in float32, operation by operation. The derivatives of activations have two
 * arguments, s and h = the activation of s. */

static float sigmoid_slope(float s, float h)
{
    (void)s;
    return h * (1.0f - h);
}

static float hyperbolic_slope(float s, float h)
{
    (void)s;
    return 1.0f - opaque(h * h);
}

static float relu_slope(float s, float h)
{
    (void)s;
    if (0.0f < h)
        return 1.0f;
    return 0.0f;
}

static float leaky_slope(float s, float h)
{
    (void)s;
    if (0.0f < h)
        return 1.0f;
    return 0x1.47ae14p-7f;
}

static float elu_slope(float s, float h)
{
    (void)s;
    if (0.0f < h)
        return 1.0f;
    return h + 1.0f;
}

static float softplus_slope(float s, float h)
{
    (void)s;
    return -expm1_nonpositive(-h);
}

static float silu_slope(float s, float h)
{
    const float p = sigmoid(s);
    return p + opaque(h * (1.0f - p));
}

static float gelu_slope(float s, float h)
{
    (void)h;
    return normal_cdf(s) + opaque(s * gaussian(s) * 0x1.988454p-2f);
}

static float sine_slope(float s, float h)
{
    float n, r, z, a;
    (void)h;
    if (!(absolute(s) <= FLT_MAX))
        return s - s;
    r = quarter(s, &n);
    z = opaque(r * r);
    a = absolute(n);
    if (absolute(a - 1.0f) < 0.5f)
        return -n * sin_near(r, z);
    return (1.0f - a) * cos_near(z);
}

static float hard_tanh_slope(float s, float h)
{
    (void)s;
    if (absolute(h) < 1.0f)
        return 1.0f;
    return 0.0f;
}

static float selu_slope(float s, float h)
{
    (void)s;
    if (0.0f < h)
        return 0x1.0cfabep+0f;
    return h + 0x1.c212ccp+0f;
}

static float mish_slope(float s, float h)
{
    const float t = softplus_tanh(s);
    (void)h;
    return t + opaque(s * ((1.0f - opaque(t * t)) * sigmoid(s)));
}

static float exponential_slope(float s, float h)
{
    (void)s;
    return h;
}

/* The derivatives of losses by d = h - y. */
static float direction(float d)
{
    if (d < 0.0f)
        return -1.0f;
    if (0.0f < d)
        return 1.0f;
    return 0.0f;
}

static float huber(float d, float delta)
{
    if (d < -delta)
        return -delta;
    if (delta < d)
        return delta;
    return d;
}

static float quantile(float d, float above, float below)
{
    if (0.0f < d)
        return above;
    if (d < 0.0f)
        return below;
    return 0.0f;
}

/* From derivatives by a layer's s to those by its inputs, W ds, each one chain of sums. */
static void back_float32(const float *W, const float *ds, float *dh, size_t n_in, size_t n_out)
{
    size_t i, j;
    for (i = 0; i < n_in; i++, W += n_out) {
        float sum = 0.0f;
        for (j = 0; j < n_out; j++)
            sum = fused(ds[j], W[j], sum);
        dh[i] = sum;
    }
}

static void back_int8(const int8_t *W, const float *step, const float *ds, float *dh, size_t n_in,
                      size_t n_out)
{
    size_t i, j;
    for (i = 0; i < n_in; i++, W += n_out) {
        float sum = 0.0f;
        for (j = 0; j < n_out; j++)
            sum = fused(ds[j], step[j] * (float)W[j], sum);
        dh[i] = sum;
    }
}

/* The weights of unit k: the derivatives of its s by the layer's inputs. */
static void column_float32(const float *W, size_t k, float *dh, size_t n_in, size_t n_out)
{
    size_t i;
    for (i = 0; i < n_in; i++)
        dh[i] = W[i * n_out + k];
}

static void column_int8(const int8_t *W, const float *step, size_t k, float *dh, size_t n_in,
                        size_t n_out)
{
    size_t i;
    for (i = 0; i < n_in; i++)
        dh[i] = step[k] * (float)W[i * n_out + k];
}

/* The products of two arrays, in the place of the first. */
static void multiply(float *d, const float *slopes, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        d[i] *= slopes[i];
}

/* From derivatives by s of a layer to those by s of the layer below, which replace its slopes. */
static void deltas(const float *W, const float *ds, float *below, size_t n_in, size_t n_out)
{
    size_t i, j;
    for (i = 0; i < n_in; i++, W += n_out) {
        float sum = 0.0f;
        for (j = 0; j < n_out; j++)
            sum = fused(ds[j], W[j], sum);
        below[i] *= sum;
    }
}

/* A step of SGD for the layer: W - rate h ds, b - rate ds. */
static void step_sgd(float *W, float *b, const float *h, const float *ds, float rate, size_t n_in,
                     size_t n_out)
{
    size_t i, j;
    for (i = 0; i < n_in; i++, W += n_out)
        for (j = 0; j < n_out; j++)
            W[j] = fused(-rate, opaque(h[i] * ds[j]) + 0.0f, W[j]);
    for (j = 0; j < n_out; j++)
        b[j] = fused(-rate, ds[j] + 0.0f, b[j]);
}
