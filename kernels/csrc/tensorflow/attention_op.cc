// TensorFlow's view of attention: the two ops, their shapes, their CPU kernels.
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "tensorflow/attention_arguments.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/intra_op_pool.h"

namespace ikelos {
namespace {

namespace tf = ::tensorflow;
using tf::OpKernelConstruction;
using tf::OpKernelContext;
using tf::Tensor;
using tf::TensorShape;
using tf::shape_inference::DimensionHandle;
using tf::shape_inference::InferenceContext;
using tf::shape_inference::ShapeHandle;

template <bool kIsGradient>
absl::Status InferShapes(InferenceContext* c) {
  AttentionAttributes attributes;
  TF_RETURN_IF_ERROR(ReadAttributes(c, &attributes));
  std::vector<AttentionArray> inputs(c->num_inputs());
  for (int i = 0; i < c->num_inputs(); ++i) {
    const ShapeHandle shape = c->input(i);
    if (!c->RankKnown(shape)) {
      continue;
    }
    inputs[i].shape.emplace();
    for (int axis = 0; axis < c->Rank(shape); ++axis) {
      inputs[i].shape->push_back(c->Value(c->Dim(shape, axis)));
    }
  }
  static_assert(kUnknown == InferenceContext::kUnknownDim);
  AttentionArguments arguments;
  TF_RETURN_IF_ERROR(ReadArguments(attributes, kIsGradient, inputs, &arguments));
  const std::vector<AttentionShape> results = ResultShapes(arguments, kIsGradient);
  for (size_t i = 0; i < results.size(); ++i) {
    std::vector<DimensionHandle> axes;
    for (const int64_t size : results[i]) {
      axes.push_back(c->MakeDim(size));
    }
    c->set_output(static_cast<int>(i), c->MakeShape(axes));
  }
  return absl::OkStatus();
}

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
    .SetShapeFn(InferShapes<false>)
    .Doc("Scaled dot-product attention, and the logarithm of the sum of its logits' exponentials.");

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
    .SetShapeFn(InferShapes<true>)
    .Doc("The gradient of IkelosAttention, given those by its outputs.");
#undef IKELOS_ATTENTION_INPUTS

template <bool kIsGradient>
class AttentionOp : public tf::OpKernel {
 public:
  explicit AttentionOp(OpKernelConstruction* construction) : OpKernel(construction) {
    tf::DataType dtype;
    OP_REQUIRES_OK(construction, construction->GetAttr("T", &dtype));
    storage_ = dtype == tf::DT_FLOAT      ? Storage::kFloat32
               : dtype == tf::DT_BFLOAT16 ? Storage::kBFloat16
                                          : Storage::kFloat16;
    OP_REQUIRES_OK(construction, ReadAttributes(construction, &attributes_));
    OP_REQUIRES_OK(construction, CheckAttributes(attributes_));
  }

  void Compute(OpKernelContext* context) override {
    std::vector<AttentionArray> inputs;
    for (int i = 0; i < context->num_inputs(); ++i) {
      const Tensor& input = context->input(i);
      inputs.push_back({input.shape().dim_sizes(), input.data()});
    }
    AttentionArguments arguments;
    OP_REQUIRES_OK(context, ReadArguments(attributes_, kIsGradient, inputs, &arguments));
    OP_REQUIRES_OK(context, CheckValues(arguments));

    std::vector<void*> results;
    for (const AttentionShape& sizes : ResultShapes(arguments, kIsGradient)) {
      Tensor* result = nullptr;
      OP_REQUIRES_OK(context, context->allocate_output(static_cast<int>(results.size()),
                                                       TensorShape(sizes), &result));
      results.push_back(result->data());
    }
    if constexpr (kIsGradient) {
      Tensor scratch;
      OP_REQUIRES_OK(context,
                     context->allocate_temp(
                         tf::DT_FLOAT, TensorShape({GradScratch(arguments, storage_)}), &scratch));
      RunAttentionGrad(arguments, storage_, results, static_cast<float*>(scratch.data()),
                       IntraOpPool(context));
    } else {
      RunAttention(arguments, storage_, results, IntraOpPool(context));
    }
  }

 private:
  AttentionAttributes attributes_;
  Storage storage_;
};

#define IKELOS_REGISTER(T)                                                                       \
  REGISTER_KERNEL_BUILDER(Name("IkelosAttention").Device(tf::DEVICE_CPU).TypeConstraint<T>("T"), \
                          AttentionOp<false>);                                                   \
  REGISTER_KERNEL_BUILDER(                                                                       \
      Name("IkelosAttentionGrad").Device(tf::DEVICE_CPU).TypeConstraint<T>("T"),                 \
      AttentionOp<true>)
IKELOS_REGISTER(float);
IKELOS_REGISTER(Eigen::bfloat16);
IKELOS_REGISTER(Eigen::half);
#undef IKELOS_REGISTER

}  // namespace
}  // namespace ikelos
