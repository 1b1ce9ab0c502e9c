#include "core/thread_scratch.h"

#include <cstdlib>
#include <memory>
#include <new>

#include "core/parallel.h"

namespace ikelos {

float* ThreadScratch(int64_t floats) {
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<float, Free> memory;
  thread_local int64_t size = 0;
  if (floats > size) {
    memory.reset();
    size = 0;
    const size_t bytes = static_cast<size_t>(CeilDiv(floats, 16)) * 64;
    memory.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    if (memory == nullptr) {
      throw std::bad_alloc();
    }
    size = floats;
  }
  return memory.get();
}

}  // namespace ikelos
