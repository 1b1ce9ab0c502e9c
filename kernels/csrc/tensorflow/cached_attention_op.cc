// Attention with a cache in TensorFlow: the op and its CPU kernel.
#include "tensorflow/cached_attention_arguments.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/op_kernel.h"

namespace ikelos {
namespace {

REGISTER_OP("IkelosCachedAttention")
    .Attr("T: {float, bfloat16, half}")
    .Attr("num_query_seq_lengths: int >= 0 = 0")
    .Attr("num_cache_rows: int >= 0 = 0")
    .Attr("num_alibi_slopes: int >= 0 = 0")
    .Attr("scale: float")
    .Attr("window_left: int = -1")
    .Input("query: T")
    .Input("key: T")
    .Input("value: T")
    .Input("key_cache: T")
    .Input("value_cache: T")
    .Input("cache_lengths: int32")
    .Input("query_seq_lengths: num_query_seq_lengths * int32")
    .Input("cache_rows: num_cache_rows * int32")
    .Input("alibi_slopes: num_alibi_slopes * float")
    .Output("output: T")
    .Output("new_key_cache: T")
    .Output("new_value_cache: T")
    .Output("new_cache_rows: num_cache_rows * int32")
    .SetShapeFn(InferShapes<CachedAttentionOp>)
    .Doc(
        "Causal attention of new tokens to themselves and to those in a cache, to which they are "
        "added in place where nobody else needs the cache.");

IKELOS_REGISTER_KERNEL("IkelosCachedAttention", CoreKernel<CachedAttentionOp>);

}  // namespace
}  // namespace ikelos
