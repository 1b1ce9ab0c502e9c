// Recurrent layers in TensorFlow: the four ops and their CPU kernels.
#include <algorithm>
#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tensorflow/core/common_runtime/dma_helper.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/op_kernel.h"
#include "tensorflow/recurrent_arguments.h"

namespace ikelos {
namespace {

namespace tf = ::tensorflow;

#define IKELOS_RECURRENT_ATTRIBUTES                     \
  Attr("T: {float, bfloat16, half}")                    \
      .Attr("num_bias: int >= 0 = 0")                   \
      .Attr("num_sequence_lengths: int >= 0 = 0")       \
      .Attr("num_mask: int >= 0 = 0")                   \
      .Attr("num_recurrent_dropout_mask: int >= 0 = 0") \
      .Attr("num_layer_norm: int >= 0 = 0")             \
      .Attr("go_backwards: bool = false")               \
      .Attr("zero_output_for_mask: bool = false")       \
      .Attr("epsilon: float = 0.0")
#define IKELOS_RECURRENT_FIRST_INPUTS \
  Input("inputs: T").Input("kernel: T").Input("recurrent_kernel: T").Input("initial_hidden: T")
#define IKELOS_RECURRENT_LAST_INPUTS                                   \
  Input("bias: num_bias * T")                                          \
      .Input("sequence_lengths: num_sequence_lengths * int32")         \
      .Input("mask: num_mask * bool")                                  \
      .Input("recurrent_dropout_mask: num_recurrent_dropout_mask * T") \
      .Input("layer_norm: num_layer_norm * T")

REGISTER_OP("IkelosLstm")
    .IKELOS_RECURRENT_ATTRIBUTES  //
    .Attr("save_for_gradient: bool = true")
    .IKELOS_RECURRENT_FIRST_INPUTS  //
    .Input("initial_cell: T")
    .IKELOS_RECURRENT_LAST_INPUTS  //
    .Output("outputs: T")
    .Output("hidden: T")
    .Output("cell: T")
    .Output("saved: float")
    .SetShapeFn(InferShapes<LstmOp>)
    .Doc("An LSTM over whole sequences, and the values that its gradient needs.");

REGISTER_OP("IkelosLstmGrad")
    .IKELOS_RECURRENT_ATTRIBUTES    //
    .IKELOS_RECURRENT_FIRST_INPUTS  //
    .Input("initial_cell: T")
    .IKELOS_RECURRENT_LAST_INPUTS  //
    .Input("outputs: T")
    .Input("saved: float")
    .Input("outputs_grad: T")
    .Input("hidden_grad: T")
    .Input("cell_grad: T")
    .Output("inputs_grad: T")
    .Output("kernel_grad: T")
    .Output("recurrent_kernel_grad: T")
    .Output("initial_hidden_grad: T")
    .Output("initial_cell_grad: T")
    .Output("bias_grad: num_bias * T")
    .Output("layer_norm_grad: num_layer_norm * T")
    .SetShapeFn(InferShapes<LstmGradOp>)
    .Doc("The gradients of the inputs of IkelosLstm, given those of its outputs.");

REGISTER_OP("IkelosGru")
    .IKELOS_RECURRENT_ATTRIBUTES  //
    .Attr("reset_after: bool = true")
    .Attr("save_for_gradient: bool = true")
    .IKELOS_RECURRENT_FIRST_INPUTS  //
    .IKELOS_RECURRENT_LAST_INPUTS   //
    .Output("outputs: T")
    .Output("hidden: T")
    .Output("saved: float")
    .SetShapeFn(InferShapes<GruOp>)
    .Doc("A GRU over whole sequences, and the values that its gradient needs.");

REGISTER_OP("IkelosGruGrad")
    .IKELOS_RECURRENT_ATTRIBUTES  //
    .Attr("reset_after: bool = true")
    .IKELOS_RECURRENT_FIRST_INPUTS  //
    .IKELOS_RECURRENT_LAST_INPUTS   //
    .Input("outputs: T")
    .Input("saved: float")
    .Input("outputs_grad: T")
    .Input("hidden_grad: T")
    .Output("inputs_grad: T")
    .Output("kernel_grad: T")
    .Output("recurrent_kernel_grad: T")
    .Output("initial_hidden_grad: T")
    .Output("bias_grad: num_bias * T")
    .Output("layer_norm_grad: num_layer_norm * T")
    .SetShapeFn(InferShapes<GruGradOp>)
    .Doc("The gradients of the inputs of IkelosGru, given those of its outputs.");
#undef IKELOS_RECURRENT_ATTRIBUTES
#undef IKELOS_RECURRENT_FIRST_INPUTS
#undef IKELOS_RECURRENT_LAST_INPUTS

// Returns whether the contents of a tensor stay unchanged as long as there is a reference to it.
// TensorFlow writes only to buffers without other references: kernels that work in place check for
// them, and a variable that has them is copied before an update (resource_var.h: copy-on-write).
// But a buffer can wrap foreign memory, of a NumPy array given to a raw op or from DLPack, which
// may change at any time. Such a buffer reports that it does not own its memory. A slice does not
// report this, so its root is asked.
bool IsImmutable(tf::Tensor& tensor) {
  tf::TensorBuffer* buffer = tf::DMAHelper::buffer(&tensor);
  return buffer == nullptr || buffer->root_buffer()->OwnsMemory();
}

// A bitcast gives the same memory another dtype.
bool IsSame(const tf::Tensor& a, const tf::Tensor& b) {
  return a.data() == b.data() && a.shape() == b.shape() && a.dtype() == b.dtype();
}

// Weights as the core reads them, and the tensors they were packed from. References to these keep
// the weights from changing and their memory from being reused, so tensors at the same address have
// the same contents.
struct PackedWeights {
  RecurrentCell cell;
  std::vector<tf::Tensor> weights;  // kernel, recurrent kernel and, if there is one, bias
  tf::Tensor floats;

  bool AreOf(RecurrentCell other_cell, const std::vector<tf::Tensor>& others) const {
    return cell == other_cell &&
           std::equal(weights.begin(), weights.end(), others.begin(), others.end(), IsSame);
  }
};

// The weights that the kernels of this process have packed, by the address of the recurrent kernel.
// A graph may have a node for each of many steps, and a model many graphs: separate packed weights
// would not fit into any cache. The map does not keep the weights alive.
class PackedOfAll {
 public:
  static PackedOfAll& Instance() {
    static auto* const instance = new PackedOfAll;
    return *instance;
  }

  std::shared_ptr<const PackedWeights> Find(RecurrentCell cell,
                                            const std::vector<tf::Tensor>& weights) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = packed_.find(weights[1].data());
    std::shared_ptr<const PackedWeights> packed;
    if (found != packed_.end()) {
      packed = found->second.lock();
    }
    return packed && packed->AreOf(cell, weights) ? packed : nullptr;
  }

  void Add(const std::shared_ptr<const PackedWeights>& packed) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto i = packed_.begin(); i != packed_.end();) {
      i = i->second.expired() ? packed_.erase(i) : std::next(i);
    }
    packed_[packed->weights[1].data()] = packed;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<const void*, std::weak_ptr<const PackedWeights>> packed_;
};

// The forward op. Packing takes longer than one step of a small batch, so in inference, where
// weights stay the same, the kernel keeps the last packed weights. In training it keeps none,
// because the weights are about to change, and a reference to a variable's buffer would cost a copy
// at each update.
template <typename Op>
class RecurrentKernel : public CoreKernel<Op> {
 public:
  using CoreKernel<Op>::CoreKernel;

 private:
  absl::Status Run(tf::OpKernelContext* context, const RecurrentArguments& arguments,
                   const std::vector<void*>& results) override {
    std::vector<tf::Tensor> weights;
    // Only sessions have this state. Their graphs may have variables of TensorFlow 1, which are
    // updated in place even if there are references to them.
    const bool in_session = context->session_state() != nullptr;
    bool may_keep = !arguments.attributes.save_for_gradient && !in_session;
    for (const int input : WeightInputs(arguments)) {
      weights.push_back(context->input(input));
      may_keep = may_keep && IsImmutable(weights.back());
    }
    if (!may_keep) {
      return CoreKernel<Op>::Run(context, arguments, results);
    }

    const RecurrentProblem problem = ProblemOf(arguments);
    const ParallelFor parallel_for = IntraOpPool(context);
    std::shared_ptr<const PackedWeights> packed = Kept();
    if (!packed || !packed->AreOf(problem.cell, weights)) {
      packed = PackedOfAll::Instance().Find(problem.cell, weights);
      Keep(packed);
    }
    if (!packed) {
      auto fresh = std::make_shared<PackedWeights>();
      fresh->cell = problem.cell;
      fresh->weights = std::move(weights);
      TF_RETURN_IF_ERROR(context->allocate_temp(
          tf::DT_FLOAT, tf::TensorShape({RecurrentPacked(problem)}), &fresh->floats));
      PackRecurrent(problem, static_cast<float*>(fresh->floats.data()), ChosenIsa(), parallel_for);
      PackedOfAll::Instance().Add(fresh);
      Keep(fresh);
      packed = std::move(fresh);
    }
    tf::Tensor scratch;
    TF_RETURN_IF_ERROR(context->allocate_temp(
        tf::DT_FLOAT, tf::TensorShape({RecurrentScratch(problem, /*saves=*/false)}), &scratch));
    RunPacked(arguments, problem, static_cast<const float*>(packed->floats.data()), results,
              static_cast<float*>(scratch.data()), parallel_for);
    return absl::OkStatus();
  }

  // A kernel may compute several calls at once; each one uses the weights that it got here.
  std::shared_ptr<const PackedWeights> Kept() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kept_;
  }
  void Keep(std::shared_ptr<const PackedWeights> packed) {
    const std::lock_guard<std::mutex> lock(mutex_);
    kept_.swap(packed);
  }

  std::mutex mutex_;
  std::shared_ptr<const PackedWeights> kept_;
};

IKELOS_REGISTER_KERNEL("IkelosGru", RecurrentKernel<GruOp>);
IKELOS_REGISTER_KERNEL("IkelosGruGrad", CoreKernel<GruGradOp>);
IKELOS_REGISTER_KERNEL("IkelosLstm", RecurrentKernel<LstmOp>);
IKELOS_REGISTER_KERNEL("IkelosLstmGrad", CoreKernel<LstmGradOp>);

}  // namespace
}  // namespace ikelos
