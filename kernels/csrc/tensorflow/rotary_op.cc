// Rotary positions in TensorFlow: the op and its CPU kernel.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/op_kernel.h"
#include "tensorflow/rotary_arguments.h"

namespace ikelos {
namespace {

REGISTER_OP("IkelosRotary")
    .Attr("T: {float, bfloat16, half}")
    .Attr("num_key: int >= 0 = 0")
    .Attr("magnitude: float = 1.0")
    .Attr("transposed: bool = false")
    .Input("query: T")
    .Input("key: num_key * T")
    .Input("positions: int32")
    .Input("frequencies: float")
    .Output("rotated_query: T")
    .Output("rotated_key: num_key * T")
    .SetShapeFn(InferShapes<RotaryOp>)
    .Doc("Rotates pairs of features by angles in proportion to the position.");

IKELOS_REGISTER_KERNEL("IkelosRotary", CoreKernel<RotaryOp>);

}  // namespace
}  // namespace ikelos
