// The handler that compiled programs call.
#include "tensorflow/cached_attention_arguments.h"
#include "tensorflow/ffi_handler.h"

namespace ikelos {
namespace {

XLA_FFI_DEFINE_HANDLER(kHandler, CoreHandler<CachedAttentionOp>, BindAll());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kCachedAttentionTarget, "Host", kHandler);

}  // namespace
}  // namespace ikelos
