// RMS normalisation in TensorFlow: the two ops, their shape functions, their CPU kernels.
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/rms_norm.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/intra_op_pool.h"
#include "tensorflow/rms_norm_shapes.h"

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

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// The core's type with the same storage as a TensorFlow type.
template <typename T>
struct Stored {
  using type = T;
};
template <>
struct Stored<Eigen::bfloat16> {
  using type = BFloat16;
};
static_assert(sizeof(Eigen::bfloat16) == sizeof(BFloat16));

// Sets `rows` to the shape of rstd, [...], for x [..., D] and scale [D].
absl::Status MergeRowShape(InferenceContext* c, ShapeHandle x, ShapeHandle scale,
                           ShapeHandle* rows) {
  ShapeHandle vector;
  DimensionHandle columns;
  if (!c->WithRankAtLeast(x, 1, &x).ok()) {
    return Invalid("`x` must have at least one axis. Received: x.shape=", c->DebugString(x));
  }
  if (!c->WithRank(scale, 1, &vector).ok() ||
      !c->Merge(c->Dim(x, -1), c->Dim(vector, 0), &columns).ok()) {
    return Invalid(
        "`scale` must have shape [D], where D is the last axis of `x`. Received: scale.shape=",
        c->DebugString(scale), ", x.shape=", c->DebugString(x));
  }
  return c->Subshape(x, 0, -1, rows);
}

absl::Status RmsNormShape(InferenceContext* c) {
  ShapeHandle rows;
  TF_RETURN_IF_ERROR(MergeRowShape(c, c->input(0), c->input(1), &rows));
  c->set_output(0, c->input(0));
  c->set_output(1, c->RankKnown(rows) ? rows : c->UnknownShape());
  return absl::OkStatus();
}

absl::Status RmsNormGradShape(InferenceContext* c) {
  ShapeHandle rows, merged;
  TF_RETURN_IF_ERROR(MergeRowShape(c, c->input(0), c->input(1), &rows));
  if (c->RankKnown(rows) && !c->Merge(rows, c->input(2), &merged).ok()) {
    return Invalid("`rstd` must have the shape of `x` without its last axis. Received: rstd.shape=",
                   c->DebugString(c->input(2)), ", x.shape=", c->DebugString(c->input(0)));
  }
  if (!c->Merge(c->input(0), c->input(3), &merged).ok()) {
    return Invalid("`dy` must have the shape of `x`. Received: dy.shape=",
                   c->DebugString(c->input(3)), ", x.shape=", c->DebugString(c->input(0)));
  }
  c->set_output(0, merged);
  c->set_output(1, c->input(1));
  return absl::OkStatus();
}

REGISTER_OP("IkelosRmsNorm")
    .Attr("T: {float, bfloat16}")
    .Attr("epsilon: float = 1e-6")
    .Input("x: T")
    .Input("scale: T")
    .Output("y: T")
    .Output("rstd: float")
    .SetShapeFn(RmsNormShape)
    .Doc("y = x * rstd * scale, rstd = 1 / sqrt(mean(x^2 over the last axis) + epsilon).");

REGISTER_OP("IkelosRmsNormGrad")
    .Attr("T: {float, bfloat16}")
    .Attr("epsilon: float = 1e-6")
    .Input("x: T")
    .Input("scale: T")
    .Input("rstd: float")
    .Input("dy: T")
    .Output("dx: T")
    .Output("dscale: T")
    .SetShapeFn(RmsNormGradShape)
    .Doc(
        "The gradients of x and scale, given that of y. Only the second derivative needs epsilon, "
        "which is otherwise contained in rstd.");

template <typename T>
class RmsNormOp : public tf::OpKernel {
 public:
  explicit RmsNormOp(OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES(construction, epsilon_ >= 0,
                Invalid("`epsilon` must be at least 0. Received: epsilon=", epsilon_));
  }

  void Compute(OpKernelContext* context) override {
    using S = typename Stored<T>::type;
    const Tensor& x = context->input(0);
    const Tensor& scale = context->input(1);
    OP_REQUIRES_OK(context, ValidateShapes(x.shape(), scale.shape()));
    const TensorShape rows = WithoutLastAxis(x.shape());
    Tensor* y = nullptr;
    Tensor* rstd = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    OP_REQUIRES_OK(context, context->allocate_output(1, rows, &rstd));
    RmsNorm(static_cast<const S*>(x.data()), static_cast<const S*>(scale.data()),
            static_cast<S*>(y->data()), static_cast<float*>(rstd->data()), rows.num_elements(),
            scale.NumElements(), epsilon_, ChosenIsa(), IntraOpPool(context));
  }

 private:
  float epsilon_;
};

template <typename T>
class RmsNormGradOp : public tf::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* context) override {
    using S = typename Stored<T>::type;
    const Tensor& x = context->input(0);
    const Tensor& scale = context->input(1);
    const Tensor& rstd = context->input(2);
    const Tensor& dy = context->input(3);
    OP_REQUIRES_OK(context, ValidateGradShapes(x.shape(), scale.shape(), rstd.shape(), dy.shape()));
    const int64_t rows = rstd.NumElements();
    const int64_t columns = scale.NumElements();
    Tensor* dx = nullptr;
    Tensor* dscale = nullptr;
    Tensor scratch;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &dx));
    OP_REQUIRES_OK(context, context->allocate_output(1, scale.shape(), &dscale));
    OP_REQUIRES_OK(context,
                   context->allocate_temp(
                       tf::DT_FLOAT, TensorShape({RmsNormGradScratch(rows, columns)}), &scratch));
    RmsNormGrad(static_cast<const S*>(x.data()), static_cast<const S*>(scale.data()),
                static_cast<const float*>(rstd.data()), static_cast<const S*>(dy.data()),
                static_cast<S*>(dx->data()), static_cast<S*>(dscale->data()),
                static_cast<float*>(scratch.data()), rows, columns, ChosenIsa(),
                IntraOpPool(context));
  }
};

#define IKELOS_REGISTER(T)                                                                         \
  REGISTER_KERNEL_BUILDER(Name("IkelosRmsNorm").Device(tf::DEVICE_CPU).TypeConstraint<T>("T"),     \
                          RmsNormOp<T>);                                                           \
  REGISTER_KERNEL_BUILDER(Name("IkelosRmsNormGrad").Device(tf::DEVICE_CPU).TypeConstraint<T>("T"), \
                          RmsNormGradOp<T>)
IKELOS_REGISTER(float);
IKELOS_REGISTER(Eigen::bfloat16);
#undef IKELOS_REGISTER

}  // namespace
}  // namespace ikelos
