// What the kernels know about the processor, found once at run time: the instruction set that they
// run with, and the cache that their blocks must fit.
#ifndef IKELOS_CORE_ISA_H_
#define IKELOS_CORE_ISA_H_

#include <cstdint>
#include <vector>

namespace ikelos {

// In order of preference, best last. Every kernel source is compiled once for each.
enum class Isa { kPortable, kAvx2, kAvx512 };

// "portable", "avx2" or "avx512".
const char* IsaName(Isa isa);

// The instruction sets that this processor and operating system can run, best last.
std::vector<Isa> SupportedIsas();

// The instruction set that the environment variable IKELOS_ISA names, or else the last of
// SupportedIsas(). The variable is read at the first call.
Isa ChosenIsa();

// The size of a core's second-level cache; 1 MB if the system does not tell.
int64_t CacheBytes();

}  // namespace ikelos

// `name` as defined by the per-ISA sources for an instruction set.
#ifdef IKELOS_X86
#define IKELOS_PICK(isa, name)                    \
  ((isa) == ::ikelos::Isa::kAvx512 ? avx512::name \
   : (isa) == ::ikelos::Isa::kAvx2 ? avx2::name   \
                                   : portable::name)
#else
#define IKELOS_PICK(isa, name) ((void)(isa), portable::name)
#endif

#endif  // IKELOS_CORE_ISA_H_
