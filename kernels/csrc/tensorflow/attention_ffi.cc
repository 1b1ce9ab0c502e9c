// The handlers that compiled programs call.
#include "tensorflow/attention_arguments.h"
#include "tensorflow/ffi_handler.h"

namespace ikelos {
namespace {

XLA_FFI_DEFINE_HANDLER(kAttentionHandler, CoreHandler<AttentionOp<false>>, BindAll());
XLA_FFI_DEFINE_HANDLER(kAttentionGradHandler, CoreHandler<AttentionOp<true>>, BindAll());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kAttentionTarget, "Host", kAttentionHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kAttentionGradTarget, "Host", kAttentionGradHandler);

}  // namespace
}  // namespace ikelos
