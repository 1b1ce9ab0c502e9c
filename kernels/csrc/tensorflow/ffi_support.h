// What the XLA handlers share. XLA's headers here are its small, stable part: C structs, no MLIR,
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

// XLA's executable hands over the intra-op pool of TensorFlow. The pool outlives the call it is
// used in.
inline ParallelFor XlaPool(xla::ffi::ThreadPool& pool) {
  return OnPool(pool.num_threads(),
                [&pool](std::function<void()> work) { pool.Schedule(std::move(work)); });
}

// The lowerings check the shapes of what they emit. This is the last line before raw pointers, for
// a program that came here some other way.
inline xla::ffi::Error ExpectElements(const std::string& name, size_t received, size_t expected) {
  if (received == expected) {
    return xla::ffi::Error::Success();
  }
  return xla::ffi::Error::InvalidArgument(name + ": expected " + std::to_string(expected) +
                                          " elements. Received: " + std::to_string(received));
}

// Types by the numbers of XLA_FFI_DataType.
inline xla::ffi::Error ExpectType(const std::string& name, xla::ffi::DataType received,
                                  xla::ffi::DataType expected) {
  if (received == expected) {
    return xla::ffi::Error::Success();
  }
  return xla::ffi::Error::InvalidArgument(
      name + ": expected dtype " + std::to_string(static_cast<int>(expected)) +
      ". Received: dtype " + std::to_string(static_cast<int>(received)));
}

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_FFI_SUPPORT_H_
