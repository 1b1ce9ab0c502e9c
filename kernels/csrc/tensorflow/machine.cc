// What dispatch.py asks the library through ctypes.
#include <cstdint>
#include <string>

#include "core/isa.h"

extern "C" {

const char* ikelos_isa() { return ikelos::IsaName(ikelos::ChosenIsa()); }

int64_t ikelos_cache_bytes() { return ikelos::CacheBytes(); }

// The names of the instruction sets that run here, with ", " between them.
const char* ikelos_supported_isas() {
  static const std::string names = [] {
    std::string joined;
    for (ikelos::Isa isa : ikelos::SupportedIsas()) {
      joined += (joined.empty() ? "" : ", ") + std::string(ikelos::IsaName(isa));
    }
    return joined;
  }();
  return names.c_str();
}

}  // extern "C"
