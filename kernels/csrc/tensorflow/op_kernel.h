// The shape function and the CPU kernel of an op of arguments.h.
#ifndef IKELOS_TENSORFLOW_OP_KERNEL_H_
#define IKELOS_TENSORFLOW_OP_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "tensorflow/arguments.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/intra_op_pool.h"

namespace ikelos {

// Reads the attributes from anything that has GetAttr. T, which the op's registration limits to the
// three storages, is not one of Op::Attributes, since XLA's handler infers it from the arrays.
template <typename Op, typename Context>
absl::Status ReadAttributes(const Context* context, typename Op::Attributes* attributes,
                            Storage* storage) {
  tensorflow::DataType dtype;
  absl::Status status = context->GetAttr("T", &dtype);
  *storage = dtype == tensorflow::DT_FLOAT      ? Storage::kFloat32
             : dtype == tensorflow::DT_BFLOAT16 ? Storage::kBFloat16
                                                : Storage::kFloat16;
  Op::ForEachAttribute(*attributes, [&](const char* name, auto& value) {
    status.Update(context->GetAttr(name, &value));
  });
  return status;
}

template <typename Op>
absl::Status InferShapes(tensorflow::shape_inference::InferenceContext* c) {
  typename Op::Attributes attributes;
  Storage storage;
  TF_RETURN_IF_ERROR(ReadAttributes<Op>(c, &attributes, &storage));
  std::vector<InputArray> inputs(c->num_inputs());
  for (int i = 0; i < c->num_inputs(); ++i) {
    const tensorflow::shape_inference::ShapeHandle shape = c->input(i);
    if (!c->RankKnown(shape)) {
      continue;
    }
    inputs[i].shape.emplace();
    for (int axis = 0; axis < c->Rank(shape); ++axis) {
      inputs[i].shape->push_back(c->Value(c->Dim(shape, axis)));
    }
  }
  static_assert(kUnknown == tensorflow::shape_inference::InferenceContext::kUnknownDim);
  typename Op::Arguments arguments;
  TF_RETURN_IF_ERROR(Op::ReadArguments(attributes, storage, inputs, &arguments));
  int output = 0;
  for (const Result& result : Op::Results(arguments)) {
    std::vector<tensorflow::shape_inference::DimensionHandle> axes;
    for (const int64_t size : result.shape) {
      axes.push_back(c->MakeDim(size));
    }
    c->set_output(output++, c->MakeShape(axes));
  }
  return absl::OkStatus();
}

template <typename Op>
class CoreKernel : public tensorflow::OpKernel {
 public:
  explicit CoreKernel(tensorflow::OpKernelConstruction* construction) : OpKernel(construction) {
    OP_REQUIRES_OK(construction, ReadAttributes<Op>(construction, &attributes_, &storage_));
    OP_REQUIRES_OK(construction, Op::CheckAttributes(attributes_));
  }

  void Compute(tensorflow::OpKernelContext* context) override {
    std::vector<InputArray> inputs;
    for (int i = 0; i < context->num_inputs(); ++i) {
      const tensorflow::Tensor& input = context->input(i);
      inputs.push_back({input.shape().dim_sizes(), input.data()});
    }
    typename Op::Arguments arguments;
    OP_REQUIRES_OK(context, Op::ReadArguments(attributes_, storage_, inputs, &arguments));
    OP_REQUIRES_OK(context, Op::CheckValues(arguments));
    std::vector<void*> results;
    for (const Result& result : Op::Results(arguments)) {
      const int place = static_cast<int>(results.size());
      const tensorflow::TensorShape shape(result.shape);
      tensorflow::Tensor* output = nullptr;
      int forwarded = -1;
      const int source = result.updates < 0 ? result.reuses : result.updates;
      if (source < 0) {
        OP_REQUIRES_OK(context, context->allocate_output(place, shape, &output));
      } else {
        OP_REQUIRES_OK(context, context->forward_input_or_allocate_output({source}, place, shape,
                                                                          &output, &forwarded));
      }
      if (result.updates >= 0 && forwarded < 0 && output->TotalBytes() > 0) {
        std::memcpy(output->data(), context->input(result.updates).data(), output->TotalBytes());
      }
      results.push_back(output->data());
    }
    OP_REQUIRES_OK(context, Run(context, arguments, results));
  }

 protected:
  virtual absl::Status Run(tensorflow::OpKernelContext* context,
                           const typename Op::Arguments& arguments,
                           const std::vector<void*>& results) {
    tensorflow::Tensor scratch;
    TF_RETURN_IF_ERROR(context->allocate_temp(
        tensorflow::DT_FLOAT, tensorflow::TensorShape({Op::Scratch(arguments)}), &scratch));
    Op::Run(arguments, results, static_cast<float*>(scratch.data()), IntraOpPool(context));
    return absl::OkStatus();
  }

 private:
  typename Op::Attributes attributes_;
  Storage storage_;
};

// One kernel of an op for each dtype that the core knows.
#define IKELOS_REGISTER_KERNEL(name, ...)                                                         \
  REGISTER_KERNEL_BUILDER(Name(name).Device(::tensorflow::DEVICE_CPU).TypeConstraint<float>("T"), \
                          __VA_ARGS__);                                                           \
  REGISTER_KERNEL_BUILDER(                                                                        \
      Name(name).Device(::tensorflow::DEVICE_CPU).TypeConstraint<Eigen::bfloat16>("T"),           \
      __VA_ARGS__);                                                                               \
  REGISTER_KERNEL_BUILDER(                                                                        \
      Name(name).Device(::tensorflow::DEVICE_CPU).TypeConstraint<Eigen::half>("T"), __VA_ARGS__)

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_OP_KERNEL_H_
