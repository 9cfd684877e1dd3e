# Learned inputs: vectors of categories, and numbers in place of missing ones.
#
# The samples X have columns of numbers and of codes of categories. The network's input h_0 has
# numbers only: a number is copied, and a code becomes its category's row of a table. Where a number
# may be missing (NaN), a learned one of its column takes its place. The marks of a row of the block
# say what was chosen: the row of the table, or 1 for a number that was missing.
#
# Back, ∂e/∂h_0 = ∂e/∂s_1 W_1ᵀ is added to what each row of the block has chosen, row by row. All
# tables lie one behind the other after the layers' parameters. For gradients and steps they are the
# parameters of layer 0, whose rows are pieces of TABLE_PIECE numbers. Threads share these, and each
# looks at all rows of the block. The parts of the input are those
# of fastbp/basis/inputs.py. The twin of fastbp/backends/numba_/embeddings.py.


cdef inline real *marks_of(Net *net) noexcept nogil:
    """The marks of the block's rows."""
    return net.workspace + net.block * parts_of(net)[MARKS]


cdef inline Py_ssize_t category_of(const int64_t *part, real x) noexcept nogil:
    """The row of a category's table for the code x; the last one if that is unknown, or NaN."""
    if x >= 0.0 and x < part[CATEGORIES]:
        return <Py_ssize_t>x
    return part[CATEGORIES]


cdef void prefetch_rows(Net *net, const real *x) noexcept nogil:
    """Prefetch the rows of tables for a sample x."""
    cdef const int64_t *part = parts_of(net)
    cdef Py_ssize_t k, j, at
    for k in range(parts_of(net)[PARTS]):
        part += PART_COLUMNS
        if part[KIND] == CATEGORY:
            at = part[TABLE] + category_of(part, x[part[COLUMN]]) * part[TABLE_STRIDE]
            for j from 0 <= j < part[WIDTH] by FBP_LANES:
                prefetch(net.parameters, at + j)


cdef void expand(Net *net, Data *data, Py_ssize_t start) noexcept nogil:
    """Write own rows of h_0 and their marks. `start` is the block's position in the order."""
    cdef const int64_t *header = parts_of(net)
    cdef const int64_t *part
    cdef Py_ssize_t width = header[X_WIDTH], stride = net.plan[STRIDE], n_in = net.plan[SIZE]
    cdef Py_ssize_t last = start + net.first + net.rows, r, k, j, code
    cdef const real *x
    cdef const real *table
    cdef real *own = net.workspace + net.first * stride
    cdef real *marks = marks_of(net) + net.first * header[MARKED]
    cdef real *h = own
    cdef real *chosen
    cdef real value
    check(h, net.rows * stride)
    check(marks, net.rows * header[MARKED])
    for r in range(start + net.first, last):
        x = data.X + row_of(data, r) * width
        check(x, width)
        if r + AHEAD < last:
            prefetch_rows(net, data.X + row_of(data, r + AHEAD) * width)
        part = header
        for k in range(header[PARTS]):
            part += PART_COLUMNS
            table = net.parameters + part[TABLE]
            chosen = marks + part[MARK]
            if part[KIND] == PLAIN:
                for j in range(part[WIDTH]):
                    h[part[PLACE] + j] = x[part[COLUMN] + j]
            elif part[KIND] == FILLED:
                check(table, part[WIDTH])
                for j in range(part[WIDTH]):
                    value = x[part[COLUMN] + j]
                    chosen[j] = 1.0 if value != value else 0.0
                    h[part[PLACE] + j] = table[j] if value != value else value
            else:
                code = category_of(part, x[part[COLUMN]])
                chosen[0] = <real>code
                table += code * part[TABLE_STRIDE]
                check(table, part[WIDTH])
                for j in range(part[WIDTH]):
                    h[part[PLACE] + j] = table[j]
        if single_output(net, 1):  # kept memory may hold NaN, which `dot` would multiply by 0
            for j in range(n_in, padded(n_in)):
                h[j] = 0.0
        h, marks = h + stride, marks + header[MARKED]
    if net.plan[DROPOUT] != 0:
        drop_units(net, 0, own, own)


cdef void back_to_inputs(Net *net, const real *transposed) noexcept nogil:
    """Own rows of ∂e/∂h_0, from the first place on that is learned."""
    cdef real *own
    pass_back(net, 1, transposed, of_block(net, 0, DH), parts_of(net)[LEARNED])
    if net.plan[DROPOUT] != 0:
        own = of_own(net, 0, DH)
        drop_units(net, 0, own, own)


cdef void scatter(
    Net *net, Py_ssize_t rows, Py_ssize_t first, Py_ssize_t last, real *target
) noexcept nogil:
    """Write numbers first..last - 1 of the tables' gradient to `target`, from all `rows`."""
    cdef const int64_t *header = parts_of(net)
    cdef const int64_t *part = header
    cdef Py_ssize_t stride = net.plan[STRIDE], width, begin, end, at, k, r, j
    cdef const real *d
    cdef const real *chosen
    check(target, last - first)
    check(of_block(net, 0, DH), rows * stride)
    check(marks_of(net), rows * header[MARKED])
    for j from 0 <= j < last - first by FBP_LANES:
        store(target, j, splat(0.0))
    for k in range(header[PARTS]):
        part += PART_COLUMNS
        if part[KIND] == PLAIN:
            continue
        width, begin = part[WIDTH], part[TABLE] - header[TABLES]
        end = begin + width
        if part[KIND] == CATEGORY:
            end += part[CATEGORIES] * part[TABLE_STRIDE]
        if end <= first or begin >= last:
            continue
        d, chosen = of_block(net, 0, DH) + part[PLACE], marks_of(net) + part[MARK]
        for r in range(rows):
            if part[KIND] == FILLED:
                for j in range(max(first - begin, 0), min(last - begin, width)):
                    if chosen[j] != 0.0:
                        target[begin + j - first] += d[j]
            else:
                at = begin + <Py_ssize_t>chosen[0] * part[TABLE_STRIDE] - first
                for j in range(max(-at, 0), min(last - first - at, width)):
                    target[at + j] += d[j]
            d, chosen = d + stride, chosen + header[MARKED]
