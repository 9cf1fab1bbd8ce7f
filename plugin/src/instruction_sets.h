// Whether the processor has the instruction sets that kernels in vectors are compiled for: the
// flags of each are in CMakeLists.txt.
#pragma once

#if defined(PQEQ_X86_LEVELS)
namespace openmm_pqeq {

inline bool has_x86_64_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

inline bool has_x86_64_v4() {
  return has_x86_64_v3() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw");
}

}  // namespace openmm_pqeq
#endif
