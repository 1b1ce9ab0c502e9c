// Dense products in TensorFlow: the two ops and their CPU kernels.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/dense_arguments.h"
#include "tensorflow/op_kernel.h"

namespace ikelos {
namespace {

REGISTER_OP("IkelosDense")
    .Attr("T: {float, bfloat16, half}")
    .Attr("num_kernel_1: int >= 0 = 0")
    .Attr("num_kernel_2: int >= 0 = 0")
    .Input("x: T")
    .Input("kernel_0: T")
    .Input("kernel_1: num_kernel_1 * T")
    .Input("kernel_2: num_kernel_2 * T")
    .Output("y_0: T")
    .Output("y_1: num_kernel_1 * T")
    .Output("y_2: num_kernel_2 * T")
    .SetShapeFn(InferShapes<DenseOp<false>>)
    .Doc("Products of a few rows with up to three matrices.");

REGISTER_OP("IkelosGatedDense")
    .Attr("T: {float, bfloat16, half}")
    .Input("x: T")
    .Input("kernel_0: T")
    .Input("kernel_1: T")
    .Output("y: T")
    .SetShapeFn(InferShapes<DenseOp<true>>)
    .Doc("silu(x kernel_0) * (x kernel_1), for a few rows.");

IKELOS_REGISTER_KERNEL("IkelosDense", CoreKernel<DenseOp<false>>);
IKELOS_REGISTER_KERNEL("IkelosGatedDense", CoreKernel<DenseOp<true>>);

}  // namespace
}  // namespace ikelos
