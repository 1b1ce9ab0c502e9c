// Attention in TensorFlow: the two ops and their CPU kernels.
#include "tensorflow/attention_arguments.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/op_kernel.h"

namespace ikelos {
namespace {

#define IKELOS_ATTENTION_INPUTS                                          \
  Attr("T: {float, bfloat16, half}")                                     \
      .Attr("num_bias: int >= 0 = 0")                                    \
      .Attr("num_mask: int >= 0 = 0")                                    \
      .Attr("num_query_seq_lengths: int >= 0 = 0")                       \
      .Attr("num_key_value_seq_lengths: int >= 0 = 0")                   \
      .Attr("num_query_offset: int >= 0 = 0")                            \
      .Attr("num_alibi_slopes: int >= 0 = 0")                            \
      .Attr("num_dropout_seed: int >= 0 = 0")                            \
      .Attr("scale: float")                                              \
      .Attr("is_causal: bool = false")                                   \
      .Attr("window_left: int = -1")                                     \
      .Attr("window_right: int = -1")                                    \
      .Attr("dropout_rate: float = 0.0")                                 \
      .Input("query: T")                                                 \
      .Input("key: T")                                                   \
      .Input("value: T")                                                 \
      .Input("bias: num_bias * T")                                       \
      .Input("mask: num_mask * bool")                                    \
      .Input("query_seq_lengths: num_query_seq_lengths * int32")         \
      .Input("key_value_seq_lengths: num_key_value_seq_lengths * int32") \
      .Input("query_offset: num_query_offset * int32")                   \
      .Input("alibi_slopes: num_alibi_slopes * float")                   \
      .Input("dropout_seed: num_dropout_seed * int32")

REGISTER_OP("IkelosAttention")
    .IKELOS_ATTENTION_INPUTS  //
    .Output("output: T")
    .Output("residual: float")
    .SetShapeFn(InferShapes<AttentionOp<false>>)
    .Doc("Scaled dot-product attention, and the logsumexp of its logits.");

REGISTER_OP("IkelosAttentionGrad")
    .IKELOS_ATTENTION_INPUTS  //
    .Input("output: T")
    .Input("residual: float")
    .Input("output_grad: T")
    .Input("residual_grad: float")
    .Output("query_grad: T")
    .Output("key_grad: T")
    .Output("value_grad: T")
    .Output("bias_grad: num_bias * T")
    .SetShapeFn(InferShapes<AttentionOp<true>>)
    .Doc("The gradients of the inputs of IkelosAttention, given those of its outputs.");
#undef IKELOS_ATTENTION_INPUTS

IKELOS_REGISTER_KERNEL("IkelosAttention", CoreKernel<AttentionOp<false>>);
IKELOS_REGISTER_KERNEL("IkelosAttentionGrad", CoreKernel<AttentionOp<true>>);

}  // namespace
}  // namespace ikelos
