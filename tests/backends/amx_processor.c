/* The tile instructions of AMX on a processor that has none.
 *
 * Such a processor refuses them with SIGILL. The handler below reads the refused instruction, does
 * its work on tiles in memory, and continues behind it. So the compiled kernels run as they are:
 * their instructions, strides and operands. Semantics after Intel's Software Developer's Manual, which
 * defines TDPBF16PS as two chains of fused multiply-adds, of the even and the odd numbers of each
 * pair, whose sum is added to the destination; denormal numbers count as zeros.
 */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define TILES 8
#define MOST_ROWS 16
#define ROW_BYTES 64

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} configuration;

/* Each thread has tiles of its own. "initial-exec", since a signal handler must not allocate. */
#define OF_THREAD static __thread __attribute__((tls_model("initial-exec")))
OF_THREAD configuration shapes;
OF_THREAD unsigned char tiles[TILES][MOST_ROWS][ROW_BYTES];

/* How many products of tiles were computed, in all threads. */
static long products;

long products_of_tiles(void) { return __atomic_load_n(&products, __ATOMIC_RELAXED); }

static float without_denormal(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

static float widened(const unsigned char *row, int i)
{
    uint16_t half;
    uint32_t bits;
    float x;
    memcpy(&half, row + 2 * i, 2);
    bits = (uint32_t)half << 16;
    memcpy(&x, &bits, 4);
    return without_denormal(x);
}

static float multiply_add(float a, float b, float c) { return without_denormal(fmaf(a, b, c)); }

static void multiply(int c, int a, int b)
{
    const int rows = shapes.rows[c], columns = shapes.bytes[c] / 4, pairs = shapes.bytes[a] / 4;
    if (shapes.rows[a] != rows || shapes.rows[b] != pairs || shapes.bytes[b] != shapes.bytes[c])
        abort(); /* the processor raises an error as well */
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < columns; n++) {
            float even = 0, odd = 0, sum;
            for (int k = 0; k < pairs; k++) {
                even = multiply_add(widened(tiles[a][m], 2 * k), widened(tiles[b][k], 2 * n), even);
                odd = multiply_add(
                    widened(tiles[a][m], 2 * k + 1), widened(tiles[b][k], 2 * n + 1), odd);
            }
            memcpy(&sum, &tiles[c][m][4 * n], 4);
            sum = without_denormal(without_denormal(sum) + without_denormal(even + odd));
            memcpy(&tiles[c][m][4 * n], &sum, 4);
        }
    __atomic_fetch_add(&products, 1, __ATOMIC_RELAXED);
}

static int64_t register_of(const ucontext_t *context, int number)
{
    static const int places[16] = {
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    };
    return context->uc_mcontext.gregs[places[number]];
}

/* An operand in memory: where it begins, and the distance between rows of a tile. */
typedef struct {
    unsigned char *start;
    int64_t stride;
} operand;

/* Read ModRM and what follows at `p`; `extended` has the bits X and B of the prefix. Returns what
 * comes behind the instruction. */
static const unsigned char *memory_operand(
    const ucontext_t *context, const unsigned char *p, int x, int b, operand *found)
{
    const int mode = *p >> 6, base = *p & 7;
    int64_t address = 0;
    int relative = 0, is_long = mode == 2;
    p++;
    found->stride = 0;
    if (base == 4) {
        const int scale = *p >> 6, index = (*p >> 3 & 7) | x << 3, low = *p & 7;
        p++;
        if (index != 4) found->stride = register_of(context, index) * ((int64_t)1 << scale);
        if (low == 5 && mode == 0)
            is_long = 1;
        else
            address = register_of(context, low | b << 3);
    } else if (base == 5 && mode == 0) {
        relative = is_long = 1;
    } else {
        address = register_of(context, base | b << 3);
    }
    if (is_long) {
        int32_t shift;
        memcpy(&shift, p, 4);
        p += 4;
        address += shift;
    } else if (mode == 1) {
        address += (int8_t)*p++;
    }
    if (relative) address += (int64_t)p;
    found->start = (unsigned char *)address;
    return p;
}

static void on_refusal(int number, siginfo_t *info, void *given)
{
    ucontext_t *context = given;
    const unsigned char *p = (const unsigned char *)context->uc_mcontext.gregs[REG_RIP];
    (void)number, (void)info;
    if (p[0] != 0xc4 || (p[1] & 31) != 2 || p[2] & 0x84) abort(); /* VEX.128.0F38.W0 only */
    const int r = !(p[1] & 0x80), x = !(p[1] & 0x40), b = !(p[1] & 0x20);
    const int third = ~(p[2] >> 3) & 15, prefix = p[2] & 3, operation = p[3];
    const int in_registers = p[4] >> 6 == 3, tile = (p[4] >> 3 & 7) | r << 3;
    const unsigned char *next = p + 5;
    operand memory = {0, 0};
    if (!in_registers) next = memory_operand(context, p + 4, x, b, &memory);
    if (tile >= TILES) abort();
    if (operation == 0x49 && prefix == 0 && !in_registers) { /* LDTILECFG */
        memcpy(&shapes, memory.start, sizeof shapes);
        if (shapes.palette != 1) abort();
        memset(tiles, 0, sizeof tiles);
    } else if (operation == 0x49 && prefix == 0) { /* TILERELEASE */
        memset(&shapes, 0, sizeof shapes);
        memset(tiles, 0xff, sizeof tiles); /* what is read now is NaN */
    } else if (operation == 0x49 && prefix == 3) { /* TILEZERO */
        memset(tiles[tile], 0, sizeof tiles[tile]);
    } else if (operation == 0x4b && (prefix == 1 || prefix == 3)) { /* TILELOADDT1, TILELOADD */
        memset(tiles[tile], 0, sizeof tiles[tile]);
        for (int row = 0; row < shapes.rows[tile]; row++)
            memcpy(tiles[tile][row], memory.start + row * memory.stride, shapes.bytes[tile]);
    } else if (operation == 0x4b && prefix == 2) { /* TILESTORED */
        for (int row = 0; row < shapes.rows[tile]; row++)
            memcpy(memory.start + row * memory.stride, tiles[tile][row], shapes.bytes[tile]);
    } else if (operation == 0x5c && prefix == 2 && in_registers) { /* TDPBF16PS */
        multiply(tile, p[4] & 7, third);
    } else {
        abort();
    }
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)next;
}

int install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_refusal;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGILL, &action, NULL);
}
