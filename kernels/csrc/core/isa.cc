#include "core/isa.h"

namespace ikelos {

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kPortable:
      return "portable";
  }
  return "unknown";
}

std::vector<Isa> SupportedIsas() {
  std::vector<Isa> supported = {Isa::kPortable};
#ifdef IKELOS_X86
  // __builtin_cpu_supports checks cpuid and, by xgetbv, that the operating system saves the wide
  // registers. The features are those that the files are compiled with (see CMakeLists.txt).
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    supported.push_back(Isa::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      supported.push_back(Isa::kAvx512);
    }
  }
#endif
  return supported;
}

Isa BestIsa() {
  static const Isa best = SupportedIsas().back();
  return best;
}

}  // namespace ikelos
