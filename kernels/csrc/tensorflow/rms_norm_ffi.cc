// The handlers that compiled programs call. These headers are the small, stable part of XLA: C
// structs, no MLIR, no protobuf.
#include <cstddef>
#include <cstdint>

#include "core/rms_norm.h"
#include "tensorflow/ffi_support.h"
#include "tensorflow/names.h"
#include "xla/ffi/api/c_api.h"
#include "xla/ffi/api/ffi.h"

namespace ikelos {
namespace {

namespace ffi = ::xla::ffi;
using Floats = ffi::Result<ffi::Buffer<ffi::F32>>;

template <typename T>
ffi::Error Forward(float epsilon, ffi::ThreadPool& pool, const ffi::AnyBuffer& x,
                   const ffi::AnyBuffer& scale, ffi::AnyBuffer& y, ffi::Buffer<ffi::F32>& rstd) {
  const size_t elements = rstd.element_count() * scale.element_count();
  for (const ffi::Error& error : {CheckElements("x", x.element_count(), elements),
                                  CheckElements("y", y.element_count(), elements)}) {
    if (error.failure()) {
      return error;
    }
  }
  RmsNorm(static_cast<const T*>(x.untyped_data()), static_cast<const T*>(scale.untyped_data()),
          static_cast<T*>(y.untyped_data()), rstd.typed_data(),
          static_cast<int64_t>(rstd.element_count()), static_cast<int64_t>(scale.element_count()),
          epsilon, ChosenIsa(), XlaPool(pool));
  return ffi::Error::Success();
}

ffi::Error RmsNormHandler(float epsilon, ffi::ThreadPool pool, ffi::AnyBuffer x,
                          ffi::AnyBuffer scale, ffi::Result<ffi::AnyBuffer> y, Floats rstd) {
  if (x.element_type() == ffi::F32) {
    return Forward<float>(epsilon, pool, x, scale, *y, *rstd);
  }
  if (x.element_type() == ffi::BF16) {
    return Forward<BFloat16>(epsilon, pool, x, scale, *y, *rstd);
  }
  return ffi::Error::InvalidArgument("`x` must be of dtype float32 or bfloat16");
}

template <typename T>
ffi::Error Backward(ffi::ThreadPool& pool, const ffi::AnyBuffer& x, const ffi::AnyBuffer& scale,
                    const ffi::Buffer<ffi::F32>& rstd, const ffi::AnyBuffer& dy, ffi::AnyBuffer& dx,
                    ffi::AnyBuffer& dscale, ffi::Buffer<ffi::F32>& scratch) {
  const auto rows = static_cast<int64_t>(rstd.element_count());
  const auto columns = static_cast<int64_t>(scale.element_count());
  const size_t elements = rstd.element_count() * scale.element_count();
  const auto scratch_elements = static_cast<size_t>(RmsNormGradScratch(rows, columns));
  for (const ffi::Error& error :
       {CheckElements("x", x.element_count(), elements),
        CheckElements("dy", dy.element_count(), elements),
        CheckElements("dx", dx.element_count(), elements),
        CheckElements("dscale", dscale.element_count(), scale.element_count()),
        CheckElements("scratch", scratch.element_count(), scratch_elements)}) {
    if (error.failure()) {
      return error;
    }
  }
  RmsNormGrad(static_cast<const T*>(x.untyped_data()), static_cast<const T*>(scale.untyped_data()),
              rstd.typed_data(), static_cast<const T*>(dy.untyped_data()),
              static_cast<T*>(dx.untyped_data()), static_cast<T*>(dscale.untyped_data()),
              scratch.typed_data(), rows, columns, ChosenIsa(), XlaPool(pool));
  return ffi::Error::Success();
}

ffi::Error RmsNormGradHandler(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer scale,
                              ffi::Buffer<ffi::F32> rstd, ffi::AnyBuffer dy,
                              ffi::Result<ffi::AnyBuffer> dx, ffi::Result<ffi::AnyBuffer> dscale,
                              Floats scratch) {
  if (x.element_type() == ffi::F32) {
    return Backward<float>(pool, x, scale, rstd, dy, *dx, *dscale, *scratch);
  }
  if (x.element_type() == ffi::BF16) {
    return Backward<BFloat16>(pool, x, scale, rstd, dy, *dx, *dscale, *scratch);
  }
  return ffi::Error::InvalidArgument("`x` must be of dtype float32 or bfloat16");
}

XLA_FFI_DEFINE_HANDLER(kRmsNormHandler, RmsNormHandler,
                       ffi::Ffi::Bind()
                           .Attr<float>("epsilon")
                           .Ctx<ffi::ThreadPool>()
                           .Arg<ffi::AnyBuffer>()
                           .Arg<ffi::AnyBuffer>()
                           .Ret<ffi::AnyBuffer>()
                           .Ret<ffi::Buffer<ffi::F32>>());

XLA_FFI_DEFINE_HANDLER(kRmsNormGradHandler, RmsNormGradHandler,
                       ffi::Ffi::Bind()
                           .Ctx<ffi::ThreadPool>()
                           .Arg<ffi::AnyBuffer>()
                           .Arg<ffi::AnyBuffer>()
                           .Arg<ffi::Buffer<ffi::F32>>()
                           .Arg<ffi::AnyBuffer>()
                           .Ret<ffi::AnyBuffer>()
                           .Ret<ffi::AnyBuffer>()
                           .Ret<ffi::Buffer<ffi::F32>>());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kRmsNormTarget, "Host", kRmsNormHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kRmsNormGradTarget, "Host", kRmsNormGradHandler);

}  // namespace
}  // namespace ikelos
