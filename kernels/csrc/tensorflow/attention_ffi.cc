// What XLA calls at run time.
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tensorflow/attention_arguments.h"
#include "tensorflow/ffi_support.h"
#include "tensorflow/names.h"

namespace ikelos {
namespace {

namespace ffi = ::xla::ffi;

ffi::Error ErrorOf(const absl::Status& status) {
  return ffi::Error::InvalidArgument(std::string(status.message()));
}

ffi::DataType TypeOf(Elements elements, ffi::DataType stored) {
  switch (elements) {
    case Elements::kStored:
      return stored;
    case Elements::kBool:
      return ffi::PRED;
    case Elements::kInt32:
      return ffi::S32;
    case Elements::kFloat32:
      return ffi::F32;
  }
  return ffi::DataType::INVALID;
}

ffi::Error ReadAttributes(const ffi::Dictionary& dictionary, AttentionAttributes* attributes) {
  ffi::Error error;
  ForEachAttribute(*attributes, [&](const char* name, auto& value) {
    const auto found = dictionary.get<std::remove_reference_t<decltype(value)>>(name);
    if (found.has_value()) {
      value = *found;
    } else {
      error = found.error();
    }
  });
  return error;
}

// All that fits no parameter list is read from what remains: how many arguments there are depends
// on the attributes.
template <bool kIsGradient>
ffi::Error Handler(ffi::ThreadPool pool, ffi::Dictionary dictionary, ffi::RemainingArgs operands,
                   ffi::RemainingRets returns) {
  AttentionAttributes attributes;
  if (ffi::Error error = ReadAttributes(dictionary, &attributes); error.failure()) {
    return error;
  }

  std::vector<AttentionArray> inputs;
  std::vector<ffi::DataType> types;
  for (size_t i = 0; i < operands.size(); ++i) {
    const ffi::ErrorOr<ffi::AnyBuffer> buffer = operands.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) {
      return buffer.error();
    }
    const ffi::AnyBuffer::Dimensions sizes = buffer->dimensions();
    inputs.push_back({AttentionShape(sizes.begin(), sizes.end()), buffer->untyped_data()});
    types.push_back(buffer->element_type());
  }
  AttentionArguments arguments;
  if (absl::Status status = ReadArguments(attributes, kIsGradient, inputs, &arguments);
      !status.ok()) {
    return ErrorOf(status);
  }
  const std::vector<AttentionInput> roles = InputsOf(attributes, kIsGradient);
  for (size_t i = 0; i < roles.size(); ++i) {
    const ffi::DataType expected = TypeOf(ElementsOf(roles[i]), types[0]);
    if (ffi::Error error = ExpectType(NameOf(roles[i]), types[i], expected); error.failure()) {
      return error;
    }
  }
  Storage storage;
  switch (types[0]) {
    case ffi::F32:
      storage = Storage::kFloat32;
      break;
    case ffi::BF16:
      storage = Storage::kBFloat16;
      break;
    case ffi::F16:
      storage = Storage::kFloat16;
      break;
    default:
      return ffi::Error::InvalidArgument("query: expected float32, bfloat16 or float16");
  }
  if (absl::Status status = CheckValues(arguments); !status.ok()) {
    return ErrorOf(status);
  }

  std::vector<AttentionShape> shapes = ResultShapes(arguments, kIsGradient);
  if (kIsGradient) {
    shapes.push_back({GradScratch(arguments, storage)});
  }
  if (returns.size() != shapes.size()) {
    return ExpectElements("results", returns.size(), shapes.size());
  }
  std::vector<void*> results;
  for (size_t i = 0; i < shapes.size(); ++i) {
    ffi::ErrorOr<ffi::Result<ffi::AnyBuffer>> buffer = returns.get<ffi::AnyBuffer>(i);
    if (buffer.has_error()) {
      return buffer.error();
    }
    // The residual of the one op and the scratch memory of the other, always the last result.
    const bool is_float = i + 1 == shapes.size();
    const std::string name = absl::StrCat("result ", i);
    if (ffi::Error error =
            ExpectType(name, (*buffer)->element_type(), is_float ? ffi::F32 : types[0]);
        error.failure()) {
      return error;
    }
    size_t elements = 1;
    for (const int64_t size : shapes[i]) {
      elements *= static_cast<size_t>(size);
    }
    if (ffi::Error error = ExpectElements(name, (*buffer)->element_count(), elements);
        error.failure()) {
      return error;
    }
    results.push_back((*buffer)->untyped_data());
  }

  if constexpr (kIsGradient) {
    auto* scratch = static_cast<float*>(results.back());
    results.pop_back();
    RunAttentionGrad(arguments, storage, results, scratch, XlaPool(pool));
  } else {
    RunAttention(arguments, storage, results, XlaPool(pool));
  }
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER(
    kAttentionHandler, Handler<false>,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attrs().RemainingArgs().RemainingRets());
XLA_FFI_DEFINE_HANDLER(
    kAttentionGradHandler, Handler<true>,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attrs().RemainingArgs().RemainingRets());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kAttentionTarget, "Host", kAttentionHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kAttentionGradTarget, "Host", kAttentionGradHandler);

}  // namespace
}  // namespace ikelos
