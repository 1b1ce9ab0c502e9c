#include "core/isa.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

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
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    supported.push_back(Isa::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      supported.push_back(Isa::kAvx512);
    }
  }
#endif
  return supported;
}

Isa ChosenIsa() {
  static const Isa chosen = [] {
    const char* const name = std::getenv("IKELOS_ISA");
    const std::vector<Isa> supported = SupportedIsas();
    if (name == nullptr || name[0] == 0) {
      return supported.back();
    }
    for (Isa isa : supported) {
      if (std::strcmp(name, IsaName(isa)) == 0) {
        return isa;
      }
    }
    // dispatch.py raises an error. A program without Python has only its log.
    std::fprintf(stderr, "IKELOS_ISA=%s: this processor has no such instruction set; using %s\n",
                 name, IsaName(supported.back()));
    return supported.back();
  }();
  return chosen;
}

int64_t CacheBytes() {
  static const int64_t bytes = [] {
    int64_t found = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    found = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return found > 0 ? found : int64_t{1} << 20;
  }();
  return bytes;
}

}  // namespace ikelos
