// The threads of the CPU kernels, which are TensorFlow's.
#ifndef IKELOS_TENSORFLOW_INTRA_OP_POOL_H_
#define IKELOS_TENSORFLOW_INTRA_OP_POOL_H_

#include <functional>
#include <utility>

#include "core/parallel.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace ikelos {

inline ParallelFor IntraOpPool(tensorflow::OpKernelContext* context) {
  const tensorflow::DeviceBase::CpuWorkerThreads& workers =
      *context->device()->tensorflow_cpu_worker_threads();
  return OnPool(workers.num_threads, [pool = workers.workers](std::function<void()> work) {
    pool->Schedule(std::move(work));
  });
}

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_INTRA_OP_POOL_H_
