// The lowering of each op to XLA: one custom call to its handler. All ops share this file because
// the headers below take most of a minute to compile, and each op needs only some lines of them.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/rms_norm.h"
#include "tensorflow/arguments.h"
#include "tensorflow/attention_arguments.h"
#include "tensorflow/cached_attention_arguments.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/dense_arguments.h"
#include "tensorflow/names.h"
#include "tensorflow/op_kernel.h"
#include "tensorflow/recurrent_arguments.h"
#include "tensorflow/rms_norm_shapes.h"
#include "tensorflow/rotary_arguments.h"
#include "tensorflow/swiglu_arguments.h"
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

tf::TensorShape TensorShapeOf(const xla::Shape& shape) {
  return tf::TensorShape(shape.dimensions());
}

// A float attribute must be printed as a float ("1.0e-06 : f32"): the handler's decoder takes "1"
// for an integer and rejects it. Nine digits suffice to restore every float32.
std::string Attribute(float value) { return absl::StrFormat("%.8e : f32", value); }
std::string Attribute(int64_t value) { return absl::StrCat(value, " : i64"); }
std::string Attribute(bool value) { return value ? "true" : "false"; }

// The shapes of all inputs, in row-major layout.
absl::StatusOr<std::vector<xla::Shape>> InputShapes(XlaOpKernelContext* context) {
  std::vector<xla::Shape> shapes;
  for (int i = 0; i < context->num_inputs(); ++i) {
    absl::StatusOr<xla::Shape> shape = context->InputXlaShape(i);
    if (!shape.ok()) {
      return shape.status();
    }
    shapes.push_back(RowMajor(*shape));
  }
  return shapes;
}

// Calls `target` with all inputs of the op. `results` are the shapes of the op's outputs, followed
// by those of scratch memory: as additional results, XLA plans it together with all other buffers
// of the program. (ffi::ScratchAllocator finds no allocator when TensorFlow runs the program.)
// `attributes` is an MLIR dictionary. The layouts are stated because layout assignment, left alone,
// may pass a transposed operand as it lies in memory. `aliases` are results that take the memory of
// an operand; XLA copies the operand first if it is still needed.
using Aliases = std::vector<std::pair<xla::ShapeIndex, std::pair<int64_t, xla::ShapeIndex>>>;
void EmitCall(XlaOpKernelContext* context, const std::string& target,
              const std::vector<xla::Shape>& inputs, const std::vector<xla::Shape>& results,
              const std::string& attributes, const Aliases& aliases = {}) {
  std::vector<xla::XlaOp> operands;
  for (int i = 0; i < context->num_inputs(); ++i) {
    operands.push_back(context->Input(i));
  }
  const xla::XlaOp call = xla::CustomCallWithLayout(
      context->builder(), target, operands, xla::ShapeUtil::MakeTupleShape(results), inputs,
      attributes,
      /*has_side_effect=*/false, aliases, /*literal=*/nullptr,
      xla::CustomCallSchedule::SCHEDULE_NONE, xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
  for (int i = 0; i < context->num_outputs(); ++i) {
    context->SetOutput(i, xla::GetTupleElement(call, i));
  }
}

// Each Compile checks the shapes. All are known now, but the shape functions are not called again
// for shapes that were unknown at trace time. Without the check, the call could run past its
// buffers.

class RmsNormLowering : public tf::XlaOpKernel {
 public:
  explicit RmsNormLowering(OpKernelConstruction* construction) : XlaOpKernel(construction) {
    OP_REQUIRES_OK(construction, construction->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES(construction, epsilon_ >= 0,
                absl::InvalidArgumentError(
                    absl::StrCat("`epsilon` must be at least 0. Received: epsilon=", epsilon_)));
  }

  void Compile(XlaOpKernelContext* context) override {
    const absl::StatusOr<std::vector<xla::Shape>> inputs = InputShapes(context);
    OP_REQUIRES_OK(context, inputs.status());
    const xla::Shape& x = (*inputs)[0];
    OP_REQUIRES_OK(context, ValidateShapes(TensorShapeOf(x), TensorShapeOf((*inputs)[1])));
    const xla::Shape rstd = xla::ShapeUtil::MakeShapeWithDescendingLayout(
        xla::F32, x.dimensions().subspan(0, x.dimensions().size() - 1));
    EmitCall(context, kRmsNormTarget, *inputs, {x, rstd},
             absl::StrCat("{epsilon = ", Attribute(epsilon_), "}"));
  }

 private:
  float epsilon_;
};

class RmsNormGradLowering : public tf::XlaOpKernel {
 public:
  using XlaOpKernel::XlaOpKernel;

  void Compile(XlaOpKernelContext* context) override {
    const absl::StatusOr<std::vector<xla::Shape>> inputs = InputShapes(context);
    OP_REQUIRES_OK(context, inputs.status());
    const xla::Shape &x = (*inputs)[0], &scale = (*inputs)[1];
    const tf::TensorShape rstd = TensorShapeOf((*inputs)[2]);
    OP_REQUIRES_OK(context, ValidateGradShapes(TensorShapeOf(x), TensorShapeOf(scale), rstd,
                                               TensorShapeOf((*inputs)[3])));
    const xla::Shape scratch = xla::ShapeUtil::MakeShapeWithDescendingLayout(
        xla::F32, {RmsNormGradScratch(rstd.num_elements(), scale.dimensions(0))});
    EmitCall(context, kRmsNormGradTarget, *inputs, {x, scale, scratch}, "{}");
  }
};

template <typename Op>
class CoreLowering : public tf::XlaOpKernel {
 public:
  explicit CoreLowering(OpKernelConstruction* construction) : XlaOpKernel(construction) {
    OP_REQUIRES_OK(construction, ReadAttributes<Op>(construction, &attributes_, &storage_));
    OP_REQUIRES_OK(construction, Op::CheckAttributes(attributes_));
  }

  void Compile(XlaOpKernelContext* context) override {
    const absl::StatusOr<std::vector<xla::Shape>> inputs = InputShapes(context);
    OP_REQUIRES_OK(context, inputs.status());
    std::vector<InputArray> arrays;
    for (const xla::Shape& shape : *inputs) {
      arrays.push_back({Shape(shape.dimensions().begin(), shape.dimensions().end()), nullptr});
    }
    typename Op::Arguments arguments;
    OP_REQUIRES_OK(context, Op::ReadArguments(attributes_, storage_, arrays, &arguments));

    std::vector<xla::Shape> results;
    Aliases aliases;
    for (const Result& result : Op::Results(arguments)) {
      if (result.updates >= 0) {
        aliases.push_back({{static_cast<int64_t>(results.size())}, {result.updates, {}}});
      }
      results.push_back(xla::ShapeUtil::MakeShapeWithDescendingLayout(
          result.elements == Elements::kStored  ? (*inputs)[0].element_type()
          : result.elements == Elements::kInt32 ? xla::S32
                                                : xla::F32,
          result.shape));
    }
    if (const int64_t scratch = Op::Scratch(arguments); scratch > 0) {
      results.push_back(xla::ShapeUtil::MakeShapeWithDescendingLayout(xla::F32, {scratch}));
    }

    std::vector<std::string> dictionary;
    Op::ForEachAttribute(attributes_, [&dictionary](const char* name, auto value) {
      dictionary.push_back(absl::StrCat(name, " = ", Attribute(value)));
    });
    EmitCall(context, Op::kTarget, *inputs, results,
             absl::StrCat("{", absl::StrJoin(dictionary, ", "), "}"), aliases);
  }

 private:
  typename Op::Attributes attributes_;
  Storage storage_;
};

// Not REGISTER_XLA_OP, which only adds the op to a list that TensorFlow turns into kernels once, at
// the first compilation of the process: a library loaded after that would be too late. These are
// the kernels that would result, for the one XLA device that has handlers.
constexpr char kDevice[] = "XLA_CPU_JIT";
REGISTER_KERNEL_BUILDER(Name("IkelosAttention").Device(kDevice), CoreLowering<AttentionOp<false>>);
REGISTER_KERNEL_BUILDER(Name("IkelosAttentionGrad").Device(kDevice),
                        CoreLowering<AttentionOp<true>>);
REGISTER_KERNEL_BUILDER(Name("IkelosCachedAttention").Device(kDevice),
                        CoreLowering<CachedAttentionOp>);
REGISTER_KERNEL_BUILDER(Name("IkelosDense").Device(kDevice), CoreLowering<DenseOp<false>>);
REGISTER_KERNEL_BUILDER(Name("IkelosGatedDense").Device(kDevice), CoreLowering<DenseOp<true>>);
REGISTER_KERNEL_BUILDER(Name("IkelosGru").Device(kDevice), CoreLowering<GruOp>);
REGISTER_KERNEL_BUILDER(Name("IkelosGruGrad").Device(kDevice), CoreLowering<GruGradOp>);
REGISTER_KERNEL_BUILDER(Name("IkelosLstm").Device(kDevice), CoreLowering<LstmOp>);
REGISTER_KERNEL_BUILDER(Name("IkelosLstmGrad").Device(kDevice), CoreLowering<LstmGradOp>);
REGISTER_KERNEL_BUILDER(Name("IkelosRmsNorm").Device(kDevice), RmsNormLowering);
REGISTER_KERNEL_BUILDER(Name("IkelosRmsNormGrad").Device(kDevice), RmsNormGradLowering);
REGISTER_KERNEL_BUILDER(Name("IkelosRotary").Device(kDevice), CoreLowering<RotaryOp>);
REGISTER_KERNEL_BUILDER(Name("IkelosSwiglu").Device(kDevice), CoreLowering<SwigluOp<false>>);
REGISTER_KERNEL_BUILDER(Name("IkelosSwigluGrad").Device(kDevice), CoreLowering<SwigluOp<true>>);

}  // namespace
}  // namespace ikelos
