// Which instruction set a kernel runs with: found once, at run time.
#ifndef IKELOS_CORE_ISA_H_
#define IKELOS_CORE_ISA_H_

#include <vector>

namespace ikelos {

// In order of preference. Every kernel source is compiled once for each.
enum class Isa { kPortable, kAvx2, kAvx512 };

// "portable", "avx2" or "avx512".
const char* IsaName(Isa isa);

// The instruction sets this processor and operating system can run, the best one last.
std::vector<Isa> SupportedIsas();

// The last of SupportedIsas(), found at the first call.
Isa BestIsa();

}  // namespace ikelos

#endif  // IKELOS_CORE_ISA_H_
