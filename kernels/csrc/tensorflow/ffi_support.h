// Helpers of the XLA handlers. XLA's headers here are its small, stable part: C structs, no MLIR,
// no protobuf.
#ifndef IKELOS_TENSORFLOW_FFI_SUPPORT_H_
#define IKELOS_TENSORFLOW_FFI_SUPPORT_H_

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "core/parallel.h"
#include "xla/ffi/api/c_api.h"
#include "xla/ffi/api/ffi.h"

namespace ikelos {

// XLA's executable passes TensorFlow's intra-op pool on, which outlives the call.
inline ParallelFor XlaPool(xla::ffi::ThreadPool& pool) {
  return OnPool(pool.num_threads(),
                [&pool](std::function<void()> work) { pool.Schedule(std::move(work)); });
}

// The lowerings check the shapes of the calls that they emit. This is the last check before raw
// pointers are used, for programs that come from elsewhere.
inline xla::ffi::Error CheckElements(const std::string& name, size_t received, size_t expected) {
  if (received == expected) {
    return xla::ffi::Error::Success();
  }
  return xla::ffi::Error::InvalidArgument("`" + name + "` must have " + std::to_string(expected) +
                                          " elements. Received: " + std::to_string(received));
}

// Types are given by their numbers in XLA_FFI_DataType.
inline xla::ffi::Error CheckType(const std::string& name, xla::ffi::DataType received,
                                 xla::ffi::DataType expected) {
  if (received == expected) {
    return xla::ffi::Error::Success();
  }
  return xla::ffi::Error::InvalidArgument(
      "`" + name + "` must be of XLA type " + std::to_string(static_cast<int>(expected)) +
      ". Received: " + std::to_string(static_cast<int>(received)));
}

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_FFI_SUPPORT_H_
