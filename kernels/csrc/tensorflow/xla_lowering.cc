// How each op becomes XLA: one custom call to its handler. All ops share this file because the
// headers below take most of a minute to compile, and each op needs only some lines of them.
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/rms_norm.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/names.h"
#include "tensorflow/rms_norm_shapes.h"
#include "xla/hlo/builder/xla_builder.h"
#include "xla/shape_util.h"

namespace ikelos {
namespace {

namespace tf = ::tensorflow;
using tf::OpKernelConstruction;
using tf::XlaOpKernelContext;

xla::Shape RowMajor(const xla::Shape& shape) {
  return xla::ShapeUtil::MakeShapeWithDescendingLayout(shape.element_type(), shape.dimensions());
}

// A float attribute must be printed as a float ("1.0e-06 : f32"): the handler's decoder takes "1"
// for an integer and refuses it. Nine digits are enough to give back every float32.
std::string FloatAttribute(float value) { return absl::StrFormat("%.8e : f32", value); }

// Calls `target` with all inputs of the op. `results` are the shapes of the op's outputs, then
// those of any scratch memory: asked for as one more result, it is planned with all other buffers
// of the program. (ffi::ScratchAllocator finds no allocator when TensorFlow runs the program.)
// `attributes` is an MLIR dictionary.
void EmitCall(XlaOpKernelContext* context, const std::string& target,
              const std::vector<xla::Shape>& results, const std::string& attributes) {
  std::vector<xla::XlaOp> operands;
  std::vector<xla::Shape> operand_shapes;
  for (int i = 0; i < context->num_inputs(); ++i) {
    absl::StatusOr<xla::Shape> shape = context->InputXlaShape(i);
    OP_REQUIRES_OK(context, shape.status());
    operands.push_back(context->Input(i));
    operand_shapes.push_back(RowMajor(*shape));
  }
  // Left alone, layout assignment may hand a transposed operand over as it lies in memory.
  const xla::XlaOp call = xla::CustomCallWithLayout(
      context->builder(), target, operands, xla::ShapeUtil::MakeTupleShape(results), operand_shapes,
      attributes,
      /*has_side_effect=*/false, /*output_operand_aliasing=*/{}, /*literal=*/nullptr,
      xla::CustomCallSchedule::SCHEDULE_NONE, xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
  for (int i = 0; i < context->num_outputs(); ++i)
    context->SetOutput(i, xla::GetTupleElement(call, i));
}

// Each Compile checks the shapes itself: all are known by now, but where they were not when the
// graph was traced, nobody has asked the shape functions again, and the call would run past its
// buffers.

class RmsNormLowering : public tf::XlaOpKernel {
 public:
  explicit RmsNormLowering(OpKernelConstruction* construction) : XlaOpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES(construction, epsilon_ >= 0,
                absl::InvalidArgumentError(
                    absl::StrCat("epsilon: expected a number >= 0. Received: epsilon=", epsilon_)));
  }

  void Compile(XlaOpKernelContext* context) override {
    OP_REQUIRES_OK(context, ValidateShapes(context->InputShape(0), context->InputShape(1)));
    absl::StatusOr<xla::Shape> x = context->InputXlaShape(0);
    OP_REQUIRES_OK(context, x.status());
    const xla::Shape rstd = xla::ShapeUtil::MakeShapeWithDescendingLayout(
        xla::F32, x->dimensions().subspan(0, x->dimensions().size() - 1));
    EmitCall(context, kRmsNormTarget, {RowMajor(*x), rstd},
             absl::StrCat("{epsilon = ", FloatAttribute(epsilon_), "}"));
  }

 private:
  float epsilon_;
};

class RmsNormGradLowering : public tf::XlaOpKernel {
 public:
  using XlaOpKernel::XlaOpKernel;

  void Compile(XlaOpKernelContext* context) override {
    const tf::TensorShape rstd = context->InputShape(2);
    OP_REQUIRES_OK(context, ValidateGradShapes(context->InputShape(0), context->InputShape(1), rstd,
                                               context->InputShape(3)));
    absl::StatusOr<xla::Shape> x = context->InputXlaShape(0);
    absl::StatusOr<xla::Shape> scale = context->InputXlaShape(1);
    OP_REQUIRES_OK(context, x.status());
    OP_REQUIRES_OK(context, scale.status());
    const xla::Shape scratch = xla::ShapeUtil::MakeShapeWithDescendingLayout(
        xla::F32, {RmsNormGradScratch(rstd.num_elements(), scale->dimensions(0))});
    EmitCall(context, kRmsNormGradTarget, {RowMajor(*x), RowMajor(*scale), scratch}, "{}");
  }
};

// Not REGISTER_XLA_OP, which only notes the op in a list that TensorFlow turns into kernels once,
// at the first compilation of the process: a library loaded after that would be too late. These are
// the kernels that would come of it, for the one XLA device there are handlers for.
constexpr char kDevice[] = "XLA_CPU_JIT";
REGISTER_KERNEL_BUILDER(Name("IkelosRmsNorm").Device(kDevice), RmsNormLowering);
REGISTER_KERNEL_BUILDER(Name("IkelosRmsNormGrad").Device(kDevice), RmsNormGradLowering);

}  // namespace
}  // namespace ikelos
