// SwiGLU in TensorFlow: the two ops and their CPU kernels.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/op_kernel.h"
#include "tensorflow/swiglu_arguments.h"

namespace ikelos {
namespace {

REGISTER_OP("IkelosSwiglu")
    .Attr("T: {float, bfloat16, half}")
    .Input("gate: T")
    .Input("up: T")
    .Output("output: T")
    .SetShapeFn(InferShapes<SwigluOp<false>>)
    .Doc("output = gate * sigmoid(gate) * up.");

REGISTER_OP("IkelosSwigluGrad")
    .Attr("T: {float, bfloat16, half}")
    .Input("gate: T")
    .Input("up: T")
    .Input("output_grad: T")
    .Output("gate_grad: T")
    .Output("up_grad: T")
    .SetShapeFn(InferShapes<SwigluOp<true>>)
    .Doc("The gradients of the inputs of IkelosSwiglu, given that of its output.");

IKELOS_REGISTER_KERNEL("IkelosSwiglu", CoreKernel<SwigluOp<false>>);
IKELOS_REGISTER_KERNEL("IkelosSwigluGrad", CoreKernel<SwigluOp<true>>);

}  // namespace
}  // namespace ikelos
