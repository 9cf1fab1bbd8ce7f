// Loops of the operators in threads: as many as torch has, but of our own crew.
#pragma once

#include "crew.h"

#include <ATen/Parallel.h>

#if defined(_OPENMP)
#include <omp.h>
#endif

#include <algorithm>
#include <functional>

namespace openmm_pqeq {

// Pieces for each thread: so many that one which has lost its processor for a while leaves most of
// its share to others.
constexpr int64_t kPieces = 4;

// Threads of a loop that this thread calls: as many as torch has, or had before `short_pieces`.
int crew_threads();

// Whether OpenMP's threads are bound to processors: then new threads would be bound to the one of
// the thread that makes them, and who binds threads has the processors for himself.
inline bool threads_are_bound() {
#if defined(_OPENMP)
  return omp_get_proc_bind() != omp_proc_bind_false;
#else
  return false;
#endif
}

// piece(first, last) for parts of [begin, end) of no less than `grain` but for the last; called as
// at::parallel_for is, and in one thread where that would be.
template <typename F>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const F& piece) {
  const int64_t n = end - begin, n_threads = crew_threads();
  if (n <= 0) return;
  if (n_threads == 1 || n <= grain || at::in_parallel_region()) return piece(begin, end);
  if (threads_are_bound()) return at::parallel_for(begin, end, grain, piece);
  const int64_t n_pieces = kPieces * n_threads;
  const int64_t size = std::max(grain, (n + n_pieces - 1) / n_pieces);
  Crew::of_process().run(begin, end, size, static_cast<int>(n_threads), std::cref(piece));
}

}  // namespace openmm_pqeq
