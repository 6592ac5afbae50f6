"""Compiled arithmetic of the row engine: a whole network forward in one call, and backward in another.

A tensor is laid out with images innermost: (channels, pixels) rows of `pitch` images, of which the first n are real and
the others 0. A convolution's output row is then a weighted sum of input rows, over those taps alone that lie inside the
map. Two micro-kernels written as LLVM vectors do this at the speed of the hardware, whatever the number of channels:
`_weighted_rows` and `_products`. Channels are taken four at a time: each tensor has rows for a multiple of four.

A network is a table of operations, one a row, whose columns are named below (plan.py makes it). Sizes are counted in
rows, so that a table serves every number of images. Numba needs no compiler on the user's machine, and keeps what it
compiled on disk, all in this file: it would not notice a change in another one.
"""

from functools import cache
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.caching import NullCache
from numba.core.registry import cpu_target
from numba.extending import intrinsic

GROUP = 4  # channels that a micro-kernel takes at once
COLUMNS = (
    "KIND", "X", "R", "Z",  # the operation; the first rows of its input, of what is added (-1: nothing), of its output
    "TO_X", "TO_R", "SLOPE",  # what is done with the gradients of X and R; whether Z has one
    "INPUTS", "OUTPUTS", "BEFORE", "AFTER",  # channels, and pixels of a channel
    "W", "B", "GRAD_W", "GRAD_B",  # where weight and bias (-1: none) begin in `theta`; whether gradients are needed
    "STATS",  # where a norm's running mean and variance begin in `stats`, and what it used of a batch in `moments`
    "TRAINING", "RELU",  # whether a norm takes the batch's moments; whether a ReLU follows
    "TAPS", "INTO", "BACK", "SPANS",  # taps of a kernel; where `pointers` begin: by output pixel, input pixel, tap
)  # fmt: skip
(KIND, X, R, Z, TO_X, TO_R, SLOPE, INPUTS, OUTPUTS, BEFORE, AFTER, W, B, GRAD_W, GRAD_B, STATS, TRAINING, RELU,
 TAPS, INTO, BACK, SPANS) = range(len(COLUMNS))  # fmt: skip
CONVOLUTION, NORM, SUM, MEAN = range(4)  # kinds
WRITTEN, ADDED = 1, 2  # gradients: the first one, and others of the same tensor

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
        """y[i] = Σ_c Σ_j w[c, taps[j], i] x[c, pixels[j]] for 4 rows i, `tiles` vectors wide; j: first … last - 1."""
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

_OPTIONS: Any = {
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz"},  # NaN and infinity stay what they are
}
# Inlined by numba: as a function of its own, a part was linked from another module where the cache was empty than where
# it was full, and sums were then rounded otherwise.
_part = nb.njit(inline="always", **_OPTIONS)


@_part
def _pack(weights, packed, outputs, inputs, taps, back):
    """(outputs, inputs, taps) as (groups, others, taps, 4): groups of four outputs, or on the way back of inputs."""
    packed[: grouped(inputs if back else outputs) * (outputs if back else inputs) * taps] = 0
    for c in range(outputs):
        for i in range(inputs):
            row, other, others = (i, c, outputs) if back else (c, i, inputs)
            at = ((row // GROUP) * others + other) * taps * GROUP + row % GROUP
            for t in range(taps):
                packed[at + t * GROUP] = weights[(c * inputs + i) * taps + t]


@_part
def _convolve(x, packed, y, inputs, outputs, taps, pixels_in, pixels_out, begins, pixels, which, pitch, lanes):
    wide, x_step, y_step, w_step = _TILES * lanes, pixels_in * pitch, pixels_out * pitch, taps * GROUP
    for n in range(0, pitch, wide):
        for o in range(pixels_out):
            first, last = begins[o], begins[o + 1]
            for g in range(0, outputs, GROUP):
                at, w = (g * pixels_out + o) * pitch + n, g * inputs * taps
                if first == last:
                    for i in range(GROUP):
                        y[at + i * y_step : at + i * y_step + min(wide, pitch - n)] = 0
                elif n + wide <= pitch:
                    _wide_rows(
                        x, n, x_step, inputs, pixels, which, first, last, packed, w, w_step, pitch, y, at, y_step
                    )
                else:
                    for m in range(0, pitch - n, lanes):
                        _narrow_rows(x, n + m, x_step, inputs, pixels, which, first, last, packed, w, w_step, pitch,
                                     y, at + m, y_step)  # fmt: skip


@_part
def _weight_slopes(d, x, g, inputs, outputs, taps, pixels_in, pixels_out, begins, spans, pitch):
    """g (outputs, inputs, taps) from the output's gradient d and the input x."""
    found = np.empty(GROUP * GROUP, d.dtype)
    d_step, x_step = pixels_out * pitch, pixels_in * pitch
    for t in range(taps):
        first, last = begins[t], begins[t + 1]
        found[:] = 0
        for c in range(0, outputs, GROUP):
            for i in range(0, inputs, GROUP):
                if first < last:
                    _products(d, c * d_step, d_step, x, i * x_step, x_step, spans, first, last, pitch, found)  # type: ignore[call-arg]
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
def _pass_on(source, target, length, how):
    if how == WRITTEN:
        target[:length] = source[:length]
    elif how == ADDED:
        for i in range(length):
            target[i] += source[i]


# --- Whole networks ---------------------------------------------------------------------------------------------------


def _forward(table, rates, theta, stats, pointers, pixels, which, values, moments, packed, n, pitch, lanes):
    """Compute all values from the inputs, which stand in their rows, and update running statistics.

    table: (operations, columns) int64. rates: (operations, 2), momentum and eps of norms. theta: all parameters.
    packed: memory for the largest kernel
    """
    zero = values.dtype.type(0)
    for op in range(len(table)):
        q = table[op]
        x, z, r = values[q[X] * pitch :], values[q[Z] * pitch :], values[max(q[R], 0) * pitch :]
        inputs, outputs, before, after = q[INPUTS], q[OUTPUTS], q[BEFORE], q[AFTER]
        if q[KIND] == CONVOLUTION:
            _pack(theta[q[W] :], packed, outputs, inputs, q[TAPS], False)
            _convolve(x, packed, z, inputs, outputs, q[TAPS], before, after, pointers[q[INTO] :], pixels, which, pitch,
                      lanes)  # fmt: skip
            if q[B] >= 0:
                _add_bias(z, theta[q[B] :], outputs, after, n, pitch)
        elif q[KIND] == NORM:
            _normalise(x, r, z, q[R] >= 0, q[RELU] == 1, q[TRAINING] == 1, outputs, after, n, pitch, theta[q[W] :],
                       theta[q[B] :], stats[q[STATS] :], moments[q[STATS] :], rates[op, 0], rates[op, 1])  # fmt: skip
        elif q[KIND] == SUM:
            for i in range(outputs * after * pitch):
                value = x[i] + r[i] if q[R] >= 0 else x[i]
                z[i] = zero if q[RELU] == 1 and value <= zero else value
        else:
            _mean(x, z, outputs, before, pitch)


def _backward(
    table, theta, grad, pointers, pixels, which, spans, values, slopes, moments, packed, spare, n, pitch, lanes
):
    """Write the parameters' gradients into grad (as theta) from that of the output, which stands in its rows of slopes.

    After `_forward` with the same values and moments. slopes: as values. spare: memory for the largest tensor
    """
    for op in range(len(table) - 1, -1, -1):
        q = table[op]
        if q[SLOPE] != 1:
            continue
        x, z, d = values[q[X] * pitch :], values[q[Z] * pitch :], slopes[q[Z] * pitch :]
        inputs, outputs, before, after = q[INPUTS], q[OUTPUTS], q[BEFORE], q[AFTER]
        target = slopes[q[X] * pitch :]
        dx = target if q[TO_X] == WRITTEN else spare
        if q[RELU] == 1:
            _mask(d, z, outputs * after * pitch)
        if q[KIND] == CONVOLUTION:
            if q[GRAD_B] == 1:
                _bias_slopes(d, grad[q[B] :], outputs, after * pitch)
            if q[GRAD_W] == 1:
                _weight_slopes(d, x, grad[q[W] :], inputs, outputs, q[TAPS], before, after, pointers[q[SPANS] :], spans,
                               pitch)  # fmt: skip
            if q[TO_X] > 0:
                _pack(theta[q[W] :], packed, outputs, inputs, q[TAPS], True)
                _convolve(d, packed, dx, outputs, inputs, q[TAPS], after, before, pointers[q[BACK] :], pixels, which,
                          pitch, lanes)  # fmt: skip
        elif q[KIND] == NORM:
            _norm_slopes(d, x, dx, q[TRAINING] == 1, outputs, after, n, pitch, theta[q[W] :], moments[q[STATS] :],
                         grad[q[W] :], grad[q[B] :], q[GRAD_W] == 1 or q[GRAD_B] == 1)  # fmt: skip
        elif q[KIND] == SUM:
            dx = d
            if q[TO_X] == WRITTEN:
                _pass_on(d, target, outputs * after * pitch, WRITTEN)
        else:
            _mean_slopes(d, dx, outputs, before, pitch)
        if q[TO_X] == ADDED:
            _pass_on(dx, target, inputs * before * pitch, ADDED)
        if q[R] >= 0:
            _pass_on(d, slopes[q[R] * pitch :], outputs * after * pitch, q[TO_R])


def _compiled(function):
    """With numba's cache on disk, if there is a folder for it that can be written."""
    try:
        return nb.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:
        return nb.njit(**_OPTIONS)(function)


forward, backward = _compiled(_forward), _compiled(_backward)


@cache
def compile_for(dtype: np.dtype) -> None:
    """Compile for this type of numbers, which takes seconds, or load what was compiled on this machine before."""
    element = nb.from_dtype(dtype)
    numbers, integers, n = element[::1], nb.int64[::1], nb.int64
    table, rates = nb.int64[:, ::1], element[:, ::1]
    forth = (table, rates, numbers, numbers, *[integers] * 3, *[numbers] * 3, n, n, n)
    back = (table, numbers, numbers, *[integers] * 4, *[numbers] * 5, n, n, n)
    for function, signature in ((forward, forth), (backward, back)):
        try:
            function.compile(signature)
        except OSError:  # numba's cache can no longer be read or written
            function._cache = NullCache()
            function.compile(signature)
