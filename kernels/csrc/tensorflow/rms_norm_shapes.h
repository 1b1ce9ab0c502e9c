// Shape checks for the CPU kernels and the XLA lowerings of the two ops: the shape functions may
// not know the shapes, which become known when the graph runs or is compiled.
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

// InvalidArgument that names the argument if its shape is not `valid`.
inline absl::Status CheckShape(bool valid, const char* name, const char* expected,
                               const tensorflow::TensorShape& received,
                               const tensorflow::TensorShape& x) {
  if (valid) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("`", name, "` must have ", expected, ". Received: ", name,
                   ".shape=", received.DebugString(), ", x.shape=", x.DebugString()));
}

inline absl::Status ValidateShapes(const tensorflow::TensorShape& x,
                                   const tensorflow::TensorShape& scale) {
  if (x.dims() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("`x` must have at least one axis. Received: x.shape=", x.DebugString()));
  }
  return CheckShape(scale.dims() == 1 && scale.dim_size(0) == x.dim_size(x.dims() - 1), "scale",
                    "shape [D], where D is the last axis of `x`", scale, x);
}

inline absl::Status ValidateGradShapes(const tensorflow::TensorShape& x,
                                       const tensorflow::TensorShape& scale,
                                       const tensorflow::TensorShape& rstd,
                                       const tensorflow::TensorShape& dy) {
  absl::Status status = ValidateShapes(x, scale);
  if (status.ok()) {
    status = CheckShape(rstd == WithoutLastAxis(x), "rstd",
                        "the shape of `x` without its last axis", rstd, x);
  }
  if (status.ok()) {
    status = CheckShape(dy == x, "dy", "the shape of `x`", dy, x);
  }
  return status;
}

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_RMS_NORM_SHAPES_H_
