"""Vector instructions that a compiler does not find by itself, for kernels whose neighbours are few and scattered.

numba's intrinsics are written in LLVM's language of vectors, which every processor's compiler cuts to the width of its
own registers. No fast-math: a sum has one order of its terms, and the same bits on every run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from stfusion.fusion._compile import shared

#: Neighbours that are compared at a time: one bit each of a 64-bit word.
LANES = 64
#: Columns that are added at a time; rows of numbers to add have a multiple of it.
ADDED = 16

_INDEX, _WORD, _SHORT = ir.IntType(64), ir.IntType(32), ir.IntType(16)
_FLOAT, _DOUBLE = ir.FloatType(), ir.DoubleType()
Codegen = Callable[..., Any]


def _array(context: Any, builder: Any, signature: Any, args: Any, number: int) -> Any:
    return context.make_array(signature.args[number])(context, builder, args[number])


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    """A vector with the same value in every lane."""
    vector = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(vector, value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, vector, ir.Constant(ir.VectorType(_WORD, lanes), [0] * lanes))


def _vector_at(builder: Any, pointer: Any, element: Any, lanes: int) -> Any:
    return builder.bitcast(pointer, ir.PointerType(ir.VectorType(element, lanes)))


def _less_floats(builder: Any, a: Any, b: Any) -> Any:
    """Negative as an integer in the lanes where a < b: the sign of their difference."""
    return builder.bitcast(builder.fsub(a, b), ir.VectorType(_WORD, LANES))


def _less_words(builder: Any, a: Any, b: Any) -> Any:
    """Not 0 in the lanes where a < b, for numbers without sign: what is left of b - a, cut at 0."""
    subtract = ir.FunctionType(b.type, [b.type, b.type])
    name = f"llvm.usub.sat.v{LANES}i16"
    return builder.call(cgutils.get_or_insert_function(builder.module, subtract, name), [b, a])


@intrinsic
def within(typing: Any, images: Any, row: Any, column: Any, low: Any, high: Any) -> tuple[Any, Codegen]:
    """Bits of the :data:`LANES` pixels from (row, column) on that lie within their limits in all images.

    ``images`` (images, rows, columns) of float32 without NaN or of uint16, with as many columns; ``low`` and ``high``
    (images) of the same type.
    """
    real = isinstance(images.dtype, types.Float)
    element, less = (_FLOAT, _less_floats) if real else (_SHORT, _less_words)
    size = images.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, below, above = (_array(context, builder, signature, args, number) for number in (0, 3, 4))
        images, rows, columns = cgutils.unpack_tuple(builder, pixels.shape)
        zeros = ir.Constant(ir.VectorType(ir.IntType(8 * size), LANES), [0] * LANES)
        outside = cgutils.alloca_once_value(builder, zeros)
        start = builder.add(builder.mul(args[1], columns), args[2])
        plane = builder.mul(rows, columns)
        with cgutils.for_range(builder, images) as loop:
            pointer = builder.gep(pixels.data, [builder.add(start, builder.mul(loop.index, plane))])
            there = builder.load(_vector_at(builder, pointer, element, LANES), align=size)
            least = _splat(builder, builder.load(builder.gep(below.data, [loop.index])), LANES)
            most = _splat(builder, builder.load(builder.gep(above.data, [loop.index])), LANES)
            beyond = builder.or_(less(builder, there, least), less(builder, most, there))
            builder.store(builder.or_(builder.load(outside), beyond), outside)
        inside = builder.icmp_signed(">=" if real else "==", builder.load(outside), zeros)
        return builder.bitcast(inside, _INDEX)

    return types.uint64(images, types.intp, types.intp, low, high), codegen


@intrinsic
def lowest_bit(typing: Any, bits: Any) -> tuple[Any, Codegen]:
    """Position of the lowest bit that is set in a word that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), codegen


@shared
def add_rows(table: Any, rows: Any, weights: Any, first: int, last: int, column: int, sums: Any) -> None:
    """Add weights[i] x table[rows[i]] for i from first to last (left out) to the float64 sums.

    :data:`ADDED` columns from ``column`` on are added, in float32, and then as a whole to ``sums`` (columns). ``table``
    (rows, columns) and ``weights`` hold float32, ``rows`` whole numbers.
    """
    for k in range(column, column + ADDED):
        total = np.float32(0)
        for i in range(first, last):
            total += weights[i] * table[rows[i], k]
        sums[k] += total


@overload(add_rows, target="cpu")
def _add_rows_on_processor(
    table: Any, rows: Any, weights: Any, first: Any, last: Any, column: Any, sums: Any
) -> Callable[..., None]:
    def add(table: Any, rows: Any, weights: Any, first: Any, last: Any, column: Any, sums: Any) -> None:
        _add_vectors(table, rows, weights, first, last, column, sums)

    return add


@intrinsic
def _add_vectors(
    typing: Any, table: Any, rows: Any, weights: Any, first: Any, last: Any, column: Any, sums: Any
) -> tuple[Any, Codegen]:
    """The same with a vector of the columns, for contiguous arrays and rows that are intp."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers, chosen, weight, sums = (_array(context, builder, signature, args, number) for number in (0, 1, 2, 6))
        first, last, column = args[3:6]
        columns = cgutils.unpack_tuple(builder, numbers.shape)[1]
        total = cgutils.alloca_once_value(builder, ir.Constant(ir.VectorType(_FLOAT, ADDED), [0.0] * ADDED))
        with cgutils.for_range_slice(builder, first, last, ir.Constant(_INDEX, 1)) as (index, _):
            row = builder.load(builder.gep(chosen.data, [index]))
            pointer = builder.gep(numbers.data, [builder.add(builder.mul(row, columns), column)])
            part = builder.load(_vector_at(builder, pointer, _FLOAT, ADDED), align=4)
            share = _splat(builder, builder.load(builder.gep(weight.data, [index])), ADDED)
            builder.store(builder.fadd(builder.load(total), builder.fmul(part, share)), total)
        pointer = _vector_at(builder, builder.gep(sums.data, [column]), _DOUBLE, ADDED)
        part = builder.fpext(builder.load(total), ir.VectorType(_DOUBLE, ADDED))
        builder.store(builder.fadd(builder.load(pointer, align=8), part), pointer, align=8)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(table, rows, weights, intp, intp, intp, sums), codegen
