// The handler that compiled programs call.
#include "tensorflow/ffi_handler.h"
#include "tensorflow/rotary_arguments.h"

namespace ikelos {
namespace {

XLA_FFI_DEFINE_HANDLER(kHandler, CoreHandler<RotaryOp>, BindAll());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kRotaryTarget, "Host", kHandler);

}  // namespace
}  // namespace ikelos
