// The handlers that compiled programs call.
#include "tensorflow/ffi_handler.h"
#include "tensorflow/swiglu_arguments.h"

namespace ikelos {
namespace {

XLA_FFI_DEFINE_HANDLER(kSwigluHandler, CoreHandler<SwigluOp<false>>, BindAll());
XLA_FFI_DEFINE_HANDLER(kSwigluGradHandler, CoreHandler<SwigluOp<true>>, BindAll());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kSwigluTarget, "Host", kSwigluHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kSwigluGradTarget, "Host", kSwigluGradHandler);

}  // namespace
}  // namespace ikelos
