// The shapes the two ops take, for all who learn them late: a graph may leave shapes unknown to the
// shape functions until it runs (CPU kernels) or is compiled (XLA lowerings).
#ifndef IKELOS_TENSORFLOW_RMS_NORM_SHAPES_H_
#define IKELOS_TENSORFLOW_RMS_NORM_SHAPES_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace ikelos {

// [..., D] -> [...].
inline tensorflow::TensorShape WithoutLastAxis(const tensorflow::TensorShape& shape) {
  tensorflow::TensorShape rows = shape;
  rows.RemoveLastDims(1);
  return rows;
}

// InvalidArgument if `fits` is false, naming what does not fit.
inline absl::Status Expect(bool fits, const char* name, const char* expected,
                           const tensorflow::TensorShape& received,
                           const tensorflow::TensorShape& x) {
  if (fits) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": expected ", expected, ". Received: ", name, " of shape ",
                   received.DebugString(), " and x of shape ", x.DebugString()));
}

inline absl::Status ValidateShapes(const tensorflow::TensorShape& x,
                                   const tensorflow::TensorShape& scale) {
  if (x.dims() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("x: expected at least one axis. Received: x of shape ", x.DebugString()));
  }
  return Expect(scale.dims() == 1 && scale.dim_size(0) == x.dim_size(x.dims() - 1), "scale",
                "shape [D], D the last axis of x", scale, x);
}

inline absl::Status ValidateGradShapes(const tensorflow::TensorShape& x,
                                       const tensorflow::TensorShape& scale,
                                       const tensorflow::TensorShape& rstd,
                                       const tensorflow::TensorShape& dy) {
  absl::Status status = ValidateShapes(x, scale);
  if (status.ok()) {
    status =
        Expect(rstd == WithoutLastAxis(x), "rstd", "the shape of x without its last axis", rstd, x);
  }
  if (status.ok()) {
    status = Expect(dy == x, "dy", "the shape of x", dy, x);
  }
  return status;
}

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_RMS_NORM_SHAPES_H_
