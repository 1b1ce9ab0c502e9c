// The handler, for compiled programs, of an op of arguments.h.
#ifndef IKELOS_TENSORFLOW_FFI_HANDLER_H_
#define IKELOS_TENSORFLOW_FFI_HANDLER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/arguments.h"
#include "tensorflow/ffi_support.h"

namespace ikelos {

inline xla::ffi::Error ErrorOf(const absl::Status& status) {
  return status.ok() ? xla::ffi::Error::Success()
                     : xla::ffi::Error::InvalidArgument(std::string(status.message()));
}

inline xla::ffi::DataType TypeOf(Elements elements, xla::ffi::DataType stored) {
  switch (elements) {
    case Elements::kStored:
      return stored;
    case Elements::kBool:
      return xla::ffi::PRED;
    case Elements::kInt32:
      return xla::ffi::S32;
    case Elements::kFloat32:
      return xla::ffi::F32;
  }
  return xla::ffi::DataType::INVALID;
}

inline xla::ffi::ErrorOr<Storage> StorageOf(xla::ffi::DataType type) {
  switch (type) {
    case xla::ffi::F32:
      return Storage::kFloat32;
    case xla::ffi::BF16:
      return Storage::kBFloat16;
    case xla::ffi::F16:
      return Storage::kFloat16;
    default:
      return xla::ffi::Unexpected(xla::ffi::Error::InvalidArgument(
          "The first input must be of dtype float32, bfloat16 or float16"));
  }
}

// Reads the inputs, whose number depends on the attributes.
inline auto BindAll() {
  return xla::ffi::Ffi::Bind().Ctx<xla::ffi::ThreadPool>().Attrs().RemainingArgs().RemainingRets();
}

template <typename Op>
xla::ffi::Error CoreHandler(xla::ffi::ThreadPool pool, xla::ffi::Dictionary dictionary,
                            xla::ffi::RemainingArgs operands, xla::ffi::RemainingRets returns) {
  namespace ffi = ::xla::ffi;
  ffi::Error error;
  typename Op::Attributes attributes;
  Op::ForEachAttribute(attributes, [&](const char* name, auto& value) {
    const auto found = dictionary.get<std::remove_reference_t<decltype(value)>>(name);
    if (found.has_value()) {
      value = *found;
    } else {
      error = found.error();
    }
  });
  if (error.failure()) {
    return error;
  }

  std::vector<InputArray> inputs;
  std::vector<ffi::DataType> types;
  for (size_t i = 0; i < operands.size(); ++i) {
    const ffi::ErrorOr<ffi::AnyBuffer> buffer = operands.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) {
      return buffer.error();
    }
    const ffi::AnyBuffer::Dimensions sizes = buffer->dimensions();
    inputs.push_back({Shape(sizes.begin(), sizes.end()), buffer->untyped_data()});
    types.push_back(buffer->element_type());
  }
  const ffi::ErrorOr<Storage> storage =
      StorageOf(types.empty() ? ffi::DataType::INVALID : types[0]);
  if (storage.has_error()) {
    return storage.error();
  }
  typename Op::Arguments arguments;
  if (error = ErrorOf(Op::ReadArguments(attributes, *storage, inputs, &arguments));
      error.failure()) {
    return error;
  }
  for (size_t i = 0; i < types.size(); ++i) {
    const Input& input = arguments.table[arguments.rows[i]];
    if (error = CheckType(input.name, types[i], TypeOf(input.elements, types[0]));
        error.failure()) {
      return error;
    }
  }
  if (error = ErrorOf(Op::CheckValues(arguments)); error.failure()) {
    return error;
  }

  std::vector<Result> expected = Op::Results(arguments);
  const size_t num_results = expected.size();
  if (const int64_t scratch = Op::Scratch(arguments); scratch > 0) {
    expected.push_back({{scratch}, Elements::kFloat32});
  }
  if (error = CheckElements("results", returns.size(), expected.size()); error.failure()) {
    return error;
  }
  std::vector<void*> results;
  for (size_t i = 0; i < expected.size(); ++i) {
    ffi::ErrorOr<ffi::Result<ffi::AnyBuffer>> buffer = returns.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) {
      return buffer.error();
    }
    const std::string name = absl::StrCat("result ", i);
    size_t elements = 1;
    for (const int64_t size : expected[i].shape) {
      elements *= static_cast<size_t>(size);
    }
    if (error = CheckType(name, (*buffer)->element_type(), TypeOf(expected[i].elements, types[0]));
        error.failure()) {
      return error;
    }
    if (error = CheckElements(name, (*buffer)->element_count(), elements); error.failure()) {
      return error;
    }
    void* const data = (*buffer)->untyped_data();
    // Usually the same memory: the lowering says that the output may take that of the input.
    if (expected[i].updates >= 0 && inputs[expected[i].updates].data != data) {
      std::memcpy(data, inputs[expected[i].updates].data, (*buffer)->size_bytes());
    }
    results.push_back(data);
  }
  float* scratch = nullptr;
  if (results.size() > num_results) {
    scratch = static_cast<float*>(results.back());
    results.pop_back();
  }
  Op::Run(arguments, results, scratch, XlaPool(pool));
  return ffi::Error::Success();
}

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_FFI_HANDLER_H_
