"""Compiled arithmetic of the row engine: a whole network forward in one call, and backward in another.

A tensor is laid out with images innermost: (channels, pixels) rows of `pitch` images, of which the first n are real and
the others 0. A convolution's output row is then a weighted sum of input rows, over those taps alone that lie inside the
map. Two micro-kernels written as LLVM vectors do this at the speed of the hardware, whatever the number of channels:
`_weighted_rows` and `_products`. Channels are taken four at a time: each tensor has rows for a multiple of four.

A network is a table of operations, one a row, whose columns are named below (plan.py makes it). Sizes are counted in
rows, so that a table serves every number of images. Numba needs no compiler on the user's machine, and keeps what it
compiled on disk, all in this file: it would not notice a change in another one.
"""

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

GROUP = 4  # channels that a micro-kernel takes at once
COLUMNS = (
    "KIND", "X", "R", "Z",  # the operation; its inputs' and output's first rows in `values` (R: what is added, or -1)
    "DX", "DR", "DZ",  # the first rows of their gradients in `slopes`, or -1 where none is needed
    "ADD_X", "ADD_R",  # whether the gradient is added to what is there already
    "INPUTS", "OUTPUTS", "BEFORE", "AFTER",  # channels, and pixels of a channel
    "W", "B", "GRAD_W", "GRAD_B",  # where weight and bias begin in `theta` (B -1: none); whether gradients are needed
    "STATS",  # where a norm's running mean and variance begin in `stats`, and what it used of a batch in `moments`
    "TRAINING", "RELU",  # whether a norm takes the batch's moments; whether a ReLU follows
    "TAPS", "INTO", "BACK", "SPANS",  # taps of a kernel; where `pointers` begin: by output pixel, input pixel, tap
)  # fmt: skip
(KIND, X, R, Z, DX, DR, DZ, ADD_X, ADD_R, INPUTS, OUTPUTS, BEFORE, AFTER, W, B, GRAD_W, GRAD_B, STATS, TRAINING, RELU,
 TAPS, INTO, BACK, SPANS) = range(len(COLUMNS))  # fmt: skip
CONVOLUTION, NORM, SUM, MEAN = range(4)

_FEATURES = cpu_target.target_context.codegen().magic_tuple()[2]
BITS = 512 if "+avx512f" in _FEATURES else 256 if "+avx2" in _FEATURES else 128  # of a vector register
_TILES = 2 if BITS == 256 else 4  # vectors of a row at once: 4 × 4 sums fill 32 registers, AVX2 has 16
LANES = {np.dtype(np.float32): BITS // 32, np.dtype(np.float64): BITS // 64}
_INT = ir.IntType(64)


def pitch_of(n: int, dtype: np.dtype) -> int:
    """The length of the rows that hold n images: a multiple of the vectors' lanes."""
    return -(-n // LANES[dtype]) * LANES[dtype]


@nb.njit
def grouped(channels: int) -> int:
    """The number of channels that memory is kept for."""
    return (channels + GROUP - 1) // GROUP * GROUP


# --- Micro-kernels ----------------------------------------------------------------------------------------------------


class _Writer:
    """Writes vector instructions for arrays of one element type."""

    def __init__(self, context, builder, signature, arguments, dtype):
        self.b = builder
        self.scalar = ir.FloatType() if dtype is types.float32 else ir.DoubleType()
        self.bytes = 4 if dtype is types.float32 else 8
        self.lanes = BITS // 8 // self.bytes
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.vector, [0.0] * self.lanes)
        self.values = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]

    def at(self, base, *offsets):
        for offset in offsets:
            base = self.b.gep(base, [offset])
        return base

    def load(self, pointer):
        return self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()), align=self.bytes)

    def store(self, vector, pointer):
        self.b.store(vector, self.b.bitcast(pointer, self.vector.as_pointer()), align=self.bytes)

    def splat(self, scalar):
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.b.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(first, undefined, everywhere)

    def multiply_add(self, x, y, z):
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        return self.b.call(self._llvm("fmuladd", kind), [x, y, z])

    def sum(self, vector):
        kind = ir.FunctionType(self.scalar, [self.scalar, self.vector])
        zero = ir.Constant(self.scalar, 0.0)
        return self.b.call(self._llvm("vector.reduce.fadd", kind), [zero, vector], fastmath=("reassoc",))

    def _llvm(self, name, kind):
        full = f"llvm.{name}.v{self.lanes}f{8 * self.bytes}"
        return cgutils.get_or_insert_function(self.b.module, kind, full)

    def loop(self, start, stop, step, vectors, body):
        """for i in range(start, stop, step), at least once: vectors = body(i, vectors). Gives the last vectors."""
        before, inside, after = self.b.block, self.b.append_basic_block("loop"), self.b.append_basic_block("done")
        self.b.branch(inside)
        self.b.position_at_end(inside)
        i = self.b.phi(_INT)
        i.add_incoming(start, before)
        carried = [self.b.phi(self.vector) for _ in vectors]
        for phi, vector in zip(carried, vectors, strict=True):
            phi.add_incoming(vector, before)
        found = body(i, carried)
        following = self.b.add(i, step)
        i.add_incoming(following, self.b.block)
        for phi, vector in zip(carried, found, strict=True):
            phi.add_incoming(vector, self.b.block)
        self.b.cbranch(self.b.icmp_signed("<", following, stop), inside, after)
        self.b.position_at_end(after)
        return found


def _number(value):
    return ir.Constant(_INT, value)


def _make_weighted_rows(tiles):
    @intrinsic
    def weighted_rows(
        typing, x, x_0, x_step, channels, pixels, taps, first, last, w, w_0, w_step, pitch, y, y_0, y_step
    ):
        """y[i] = Σ_c Σ_j w[c, taps[j], i] x[c, pixels[j]] for four rows i, `tiles` vectors wide; j: first … last - 1."""
        n = types.int64
        signature = types.void(x, n, n, n, pixels, taps, n, n, w, n, n, n, y, n, n)

        def generate(context, builder, signature, arguments):
            k = _Writer(context, builder, signature, arguments, x.dtype)
            x_, x0, xs, cs, px, tp, j0, j1, w_, w0, ws, pt, y_, y0, ys = k.values
            b, one = k.b, _number(1)

            def over_taps(j, c, sums):
                row = k.at(x_, x0, b.mul(c, xs), b.mul(b.load(k.at(px, j)), pt))
                weights = k.at(w_, w0, b.mul(c, ws), b.mul(b.load(k.at(tp, j)), _number(GROUP)))
                vectors = [k.load(k.at(row, _number(k.lanes * t))) for t in range(tiles)]
                found = []
                for i in range(GROUP):
                    weight = k.splat(b.load(k.at(weights, _number(i))))
                    found += [k.multiply_add(weight, vectors[t], sums[tiles * i + t]) for t in range(tiles)]
                return found

            def over_channels(c, sums):
                return k.loop(j0, j1, one, sums, lambda j, inner: over_taps(j, c, inner))

            sums = k.loop(_number(0), cs, one, [k.zero] * (GROUP * tiles), over_channels)
            for i in range(GROUP):
                for t in range(tiles):
                    k.store(sums[tiles * i + t], k.at(y_, y0, b.mul(ys, _number(i)), _number(k.lanes * t)))
            return context.get_dummy_value()

        return signature, generate

    return weighted_rows


_wide_rows, _narrow_rows = _make_weighted_rows(_TILES), _make_weighted_rows(1)


@intrinsic
def _products(typing, d, d_0, d_step, x, x_0, x_step, spans, first, last, pitch, g):
    """g[4 i + l] = Σ over spans of <row i of d, row l of x>, i, l < 4. A span: (pixel of d, pixel of x, pixels)."""
    n = types.int64
    signature = types.void(d, n, n, x, n, n, spans, n, n, n, g)

    def generate(context, builder, signature, arguments):
        k = _Writer(context, builder, signature, arguments, d.dtype)
        d_, d0, ds, x_, x0, xs, sp, s0, s1, pt, g_ = k.values
        b, pairs = k.b, [(i, j) for i in range(GROUP) for j in range(GROUP)]

        def over_spans(s, sums):
            d_pixel, x_pixel, pixels = (b.load(k.at(sp, b.mul(s, _number(3)), _number(i))) for i in range(3))
            d_row, x_row = k.at(d_, d0, b.mul(d_pixel, pt)), k.at(x_, x0, b.mul(x_pixel, pt))

            def over_lanes(i, inner):
                left = [k.load(k.at(d_row, i, b.mul(ds, _number(r)))) for r in range(GROUP)]
                right = [k.load(k.at(x_row, i, b.mul(xs, _number(r)))) for r in range(GROUP)]
                return [k.multiply_add(left[r], right[c], inner[GROUP * r + c]) for r, c in pairs]

            return k.loop(_number(0), b.mul(pixels, pt), _number(k.lanes), sums, over_lanes)

        for i, vector in enumerate(k.loop(s0, s1, _number(1), [k.zero] * len(pairs), over_spans)):
            b.store(k.sum(vector), k.at(g_, _number(i)))
        return context.get_dummy_value()

    return signature, generate


# --- Operations: arrays are flat, and begin at the first row that is meant --------------------------------------------

_OPTIONS = {
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz"},  # NaN and infinity stay what they are
}
_part = nb.njit(**_OPTIONS)


@_part
def _convolve(x, packed, y, inputs, taps, groups, pixels_in, pixels_out, begins, pixels, which, pitch, lanes):
    """Rows of x -> groups of four rows of y. packed: (groups, inputs, taps, 4) weights."""
    wide = _TILES * lanes
    for n in range(0, pitch, wide):
        for o in range(pixels_out):
            first, last = begins[o], begins[o + 1]
            for g in range(groups):
                at = (GROUP * g * pixels_out + o) * pitch + n
                if first == last:
                    for i in range(GROUP):
                        y[at + i * pixels_out * pitch : at + i * pixels_out * pitch + min(wide, pitch - n)] = 0
                elif n + wide <= pitch:
                    _wide_rows(x, n, pixels_in * pitch, inputs, pixels, which, first, last, packed,
                               g * inputs * taps * GROUP, taps * GROUP, pitch, y, at, pixels_out * pitch)  # fmt: skip
                else:
                    for m in range(0, pitch - n, lanes):
                        _narrow_rows(x, n + m, pixels_in * pitch, inputs, pixels, which, first, last, packed,
                                     g * inputs * taps * GROUP, taps * GROUP, pitch, y, at + m,
                                     pixels_out * pitch)  # fmt: skip


@_part
def _weight_slopes(d, x, g, inputs, outputs, taps, pixels_in, pixels_out, begins, spans, pitch):
    """g (outputs, inputs, taps) from the output's gradient d and the input x."""
    found = np.empty(GROUP * GROUP, d.dtype)
    d_step, x_step = pixels_out * pitch, pixels_in * pitch
    for t in range(taps):
        found[:] = 0
        for c in range(0, outputs, GROUP):
            for i in range(0, inputs, GROUP):
                if begins[t] < begins[t + 1]:
                    _products(
                        d, c * d_step, d_step, x, i * x_step, x_step, spans, begins[t], begins[t + 1], pitch, found
                    )
                for r in range(min(GROUP, outputs - c)):
                    for s in range(min(GROUP, inputs - i)):
                        g[((c + r) * inputs + i + s) * taps + t] = found[GROUP * r + s]


@_part
def _add_bias(y, bias, channels, pixels, n, pitch):
    for c in range(channels):
        for p in range(pixels):
            row = y[(c * pixels + p) * pitch : (c * pixels + p) * pitch + n]
            for i in range(n):
                row[i] += bias[c]


@_part
def _bias_slopes(d, g, channels, length):
    for c in range(channels):
        row = d[c * length : (c + 1) * length]
        total = d.dtype.type(0)
        for i in range(length):
            total += row[i]
        g[c] = total


@_part
def _normalise(x, r, z, adds, relu, training, channels, pixels, n, pitch, gain, shift, stats, moments, momentum, eps):
    """z = relu(gain (x - mean) / √(variance + eps) + shift + r); moments: mean and 1 / √(variance + eps), saved."""
    count, zero, one = x.dtype.type(pixels * n), x.dtype.type(0), x.dtype.type(1)
    for c in range(channels):
        begin = c * pixels * pitch
        if training:
            total = zero
            for p in range(pixels):
                row = x[begin + p * pitch : begin + p * pitch + n]
                for i in range(n):
                    total += row[i]
            mean = total / count
            total = zero
            for p in range(pixels):
                row = x[begin + p * pitch : begin + p * pitch + n]
                for i in range(n):
                    total += (row[i] - mean) * (row[i] - mean)
            variance = total / count
            stats[c] += momentum * (mean - stats[c])
            stats[channels + c] += momentum * (total / (count - one) - stats[channels + c])
        else:
            mean, variance = stats[c], stats[channels + c]
        inverse = one / np.sqrt(variance + eps)
        moments[c], moments[channels + c] = mean, inverse
        factor = gain[c] * inverse
        summand = shift[c] - mean * factor
        for p in range(pixels):
            at = begin + p * pitch
            row, out = x[at : at + n], z[at : at + n]
            if adds:
                other = r[at : at + n]
                for i in range(n):
                    value = row[i] * factor + summand + other[i]
                    out[i] = zero if relu and value <= zero else value
            else:
                for i in range(n):
                    value = row[i] * factor + summand
                    out[i] = zero if relu and value <= zero else value
            for i in range(at + n, at + pitch):
                z[i] = zero


@_part
def _mask(d, z, length):
    """Where ReLU gave 0 there is no gradient."""
    zero = d.dtype.type(0)
    for i in range(length):
        d[i] = zero if z[i] <= zero else d[i]


@_part
def _norm_slopes(d, x, dx, training, channels, pixels, n, pitch, gain, moments, g_gain, g_shift, wanted):
    """Gradients of a norm from its output's; written to g_gain and g_shift where wanted."""
    count, zero = x.dtype.type(pixels * n), x.dtype.type(0)
    for c in range(channels):
        begin, mean, inverse = c * pixels * pitch, moments[c], moments[channels + c]
        total, along = zero, zero
        for p in range(pixels):
            at = begin + p * pitch
            slope, row = d[at : at + n], x[at : at + n]
            for i in range(n):
                total += slope[i]
                along += slope[i] * (row[i] - mean)
        along *= inverse
        if wanted:
            g_gain[c], g_shift[c] = along, total
        factor = gain[c] * inverse
        constant, linear = zero, zero
        if training:
            constant, linear = total / count, inverse * along / count
        for p in range(pixels):
            at = begin + p * pitch
            slope, row, out = d[at : at + n], x[at : at + n], dx[at : at + n]
            for i in range(n):
                out[i] = factor * (slope[i] - constant - (row[i] - mean) * linear)
            for i in range(at + n, at + pitch):
                dx[i] = zero


@_part
def _mean(x, z, channels, pixels, pitch):
    for c in range(channels):
        out = z[c * pitch : (c + 1) * pitch]
        out[:] = 0
        for p in range(pixels):
            row = x[(c * pixels + p) * pitch : (c * pixels + p + 1) * pitch]
            for i in range(pitch):
                out[i] += row[i]
        for i in range(pitch):
            out[i] /= x.dtype.type(pixels)


@_part
def _mean_slopes(d, dx, channels, pixels, pitch):
    for c in range(channels):
        slope = d[c * pitch : (c + 1) * pitch]
        for p in range(pixels):
            row = dx[(c * pixels + p) * pitch : (c * pixels + p + 1) * pitch]
            for i in range(pitch):
                row[i] = slope[i] / d.dtype.type(pixels)


@_part
def _accumulate(target, source, length, adds):
    if adds:
        for i in range(length):
            target[i] += source[i]
    else:
        target[:length] = source[:length]


# --- Whole networks ---------------------------------------------------------------------------------------------------


def _forward(table, rates, theta, stats, pointers, pixels, which, values, moments, packed, n, pitch, lanes):
    """Compute all values from the inputs, which stand in their rows, and update running statistics.

    table: (operations, columns) int64; rates: (operations, 2), momentum and eps of norms. theta: all parameters.
    packed: memory for the largest kernel's weights.
    """
    for op in range(len(table)):
        q = table[op]
        x, z, channels, after = values[q[X] * pitch :], values[q[Z] * pitch :], q[OUTPUTS], q[AFTER]
        if q[KIND] == CONVOLUTION:
            inputs, taps = q[INPUTS], q[TAPS]
            per_output = inputs * taps
            groups = grouped(channels) // GROUP
            packed[: groups * per_output * GROUP] = 0
            for c in range(channels):
                for k in range(per_output):
                    packed[((c // GROUP) * per_output + k) * GROUP + c % GROUP] = theta[q[W] + c * per_output + k]
            _convolve(x, packed, z, inputs, taps, groups, q[BEFORE], after, pointers[q[INTO] :], pixels, which, pitch,
                      lanes)  # fmt: skip
            if q[B] >= 0:
                _add_bias(z, theta[q[B] :], channels, after, n, pitch)
        elif q[KIND] == NORM:
            r = values[max(q[R], 0) * pitch :]
            _normalise(x, r, z, q[R] >= 0, q[RELU] == 1, q[TRAINING] == 1, channels, after, n, pitch, theta[q[W] :],
                       theta[q[B] :], stats[q[STATS] :], moments[q[STATS] :], rates[op, 0], rates[op, 1])  # fmt: skip
        elif q[KIND] == SUM:
            length, zero = channels * after * pitch, values.dtype.type(0)
            r = values[max(q[R], 0) * pitch :]
            for i in range(length):
                value = x[i] + r[i] if q[R] >= 0 else x[i]
                z[i] = zero if q[RELU] == 1 and value <= zero else value
        else:
            _mean(x, z, channels, q[BEFORE], pitch)


def _backward(
    table, theta, grad, pointers, pixels, which, spans, values, slopes, moments, packed, spare, n, pitch, lanes
):
    """Write the parameters' gradients into grad (as theta) from that of the output, which stands in its rows of slopes.

    After `_forward` with the same values and moments. spare: memory for the largest gradient.
    """
    for op in range(len(table) - 1, -1, -1):
        q = table[op]
        x, z, d = values[q[X] * pitch :], values[q[Z] * pitch :], slopes[q[DZ] * pitch :]
        channels, before, after = q[OUTPUTS], q[BEFORE], q[AFTER]
        if q[DZ] < 0:
            continue
        adds = q[ADD_X] == 1
        dx = spare if adds or q[DX] < 0 else slopes[q[DX] * pitch :]
        if q[RELU] == 1:
            _mask(d, z, channels * after * pitch)
        if q[KIND] == CONVOLUTION:
            inputs, taps = q[INPUTS], q[TAPS]
            if q[GRAD_B] == 1:
                _bias_slopes(d, grad[q[B] :], channels, after * pitch)
            if q[GRAD_W] == 1:
                _weight_slopes(d, x, grad[q[W] :], inputs, channels, taps, before, after, pointers[q[SPANS] :], spans,
                               pitch)  # fmt: skip
            if q[DX] >= 0:
                per_input = channels * taps
                groups = grouped(inputs) // GROUP
                packed[: groups * per_input * GROUP] = 0
                for c in range(channels):
                    for i in range(inputs):
                        for t in range(taps):
                            to = ((i // GROUP) * per_input + c * taps + t) * GROUP + i % GROUP
                            packed[to] = theta[q[W] + (c * inputs + i) * taps + t]
                _convolve(d, packed, dx, channels, taps, groups, after, before, pointers[q[BACK] :], pixels, which, pitch,
                          lanes)  # fmt: skip
        elif q[KIND] == NORM:
            _norm_slopes(d, x, dx, q[TRAINING] == 1, channels, after, n, pitch, theta[q[W] :], moments[q[STATS] :],
                         grad[q[W] :], grad[q[B] :], q[GRAD_W] == 1 or q[GRAD_B] == 1)  # fmt: skip
        elif q[KIND] == SUM:
            if q[DX] >= 0:
                _accumulate(slopes[q[DX] * pitch :], d, channels * after * pitch, adds)
            adds = False
        else:
            _mean_slopes(d, dx, channels, before, pitch)
        if q[DX] >= 0 and adds:
            _accumulate(slopes[q[DX] * pitch :], spare, q[INPUTS] * before * pitch, True)
        if q[R] >= 0 and q[DR] >= 0:
            _accumulate(slopes[q[DR] * pitch :], d, channels * after * pitch, q[ADD_R] == 1)


def _compiled(function):
    """With numba's cache on disk, if there is a folder for it that can be written."""
    try:
        return nb.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        return nb.njit(**_OPTIONS)(function)


forward, backward = _compiled(_forward), _compiled(_backward)
