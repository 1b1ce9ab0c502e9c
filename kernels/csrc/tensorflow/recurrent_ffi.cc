// The handlers that compiled programs call.
#include "tensorflow/ffi_handler.h"
#include "tensorflow/recurrent_arguments.h"

namespace ikelos {
namespace {

XLA_FFI_DEFINE_HANDLER(kGruHandler, CoreHandler<GruOp>, BindAll());
XLA_FFI_DEFINE_HANDLER(kGruGradHandler, CoreHandler<GruGradOp>, BindAll());
XLA_FFI_DEFINE_HANDLER(kLstmHandler, CoreHandler<LstmOp>, BindAll());
XLA_FFI_DEFINE_HANDLER(kLstmGradHandler, CoreHandler<LstmGradOp>, BindAll());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kGruTarget, "Host", kGruHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kGruGradTarget, "Host", kGruGradHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kLstmTarget, "Host", kLstmHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kLstmGradTarget, "Host", kLstmGradHandler);

}  // namespace
}  // namespace ikelos
