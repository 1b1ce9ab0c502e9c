// The handlers that compiled programs call.
#include "tensorflow/dense_arguments.h"
#include "tensorflow/ffi_handler.h"

namespace ikelos {
namespace {

XLA_FFI_DEFINE_HANDLER(kDenseHandler, CoreHandler<DenseOp<false>>, BindAll());
XLA_FFI_DEFINE_HANDLER(kGatedDenseHandler, CoreHandler<DenseOp<true>>, BindAll());

XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kDenseTarget, "Host", kDenseHandler);
XLA_FFI_REGISTER_HANDLER(XLA_FFI_GetApi(), kGatedDenseTarget, "Host", kGatedDenseHandler);

}  // namespace
}  // namespace ikelos
