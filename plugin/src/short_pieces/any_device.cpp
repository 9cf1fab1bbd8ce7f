// short_pieces: one thread for torch's own operations, on whatever device they are.
#include "parallel.h"

#include <torch/library.h>

// Of torch's own copy of MKL, where it has one; like OpenMP's, of the thread that calls.
extern "C" int MKL_Set_Num_Threads_Local(int n_threads) __attribute__((weak));

namespace openmm_pqeq {
namespace {

thread_local int64_t depth = 0;
thread_local int before = 0, before_mkl = 0;

void short_pieces(bool begin) {
#if defined(_OPENMP)
  if (begin && depth++ == 0) {
    before = at::get_num_threads();
    omp_set_num_threads(1);
    if (MKL_Set_Num_Threads_Local) before_mkl = MKL_Set_Num_Threads_Local(1);
  } else if (!begin && depth > 0 && --depth == 0) {
    omp_set_num_threads(before);
    if (MKL_Set_Num_Threads_Local) MKL_Set_Num_Threads_Local(before_mkl);
  }
#else
  (void)begin;
#endif
}

}  // namespace

int crew_threads() { return depth > 0 ? before : at::get_num_threads(); }

}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CompositeExplicitAutograd, library) {
  library.impl("short_pieces", openmm_pqeq::short_pieces);
}
