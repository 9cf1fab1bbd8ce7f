// PQEQ_FORMULA: a function for kernels on every device. It has internal linkage, so that each
// kernel file has its own, compiled for its own instruction set.
#pragma once

#if defined(__CUDACC__)
#define PQEQ_FORMULA __host__ __device__ static inline
#else
#define PQEQ_FORMULA static inline
#endif

// A loop of known length becomes straight code on a GPU, where an array that is indexed by a loop's
// counter would be in memory.
#ifdef __CUDACC__
#define PQEQ_UNROLL _Pragma("unroll")
#else
#define PQEQ_UNROLL
#endif
