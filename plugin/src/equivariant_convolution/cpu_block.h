// A block of atoms with a few hundred pairs, and what its pairs have in common for all paths: their
// places in the table and their matrices M.
#pragma once

#include "equivariant_convolution/work.h"
#include "vectors.h"

#include <stdlib.h>

namespace openmm_pqeq {
namespace PQEQ_LEVEL {
namespace {

constexpr Index kPairs = 256;  // of a block, unless one atom has more

// The pairs of a block of atoms.
template <typename T>
struct Block {
  Index first, last;  // atoms
  Index* begin;       // of the pairs of each atom; last − first + 1
  Index* edge;        // which pair
  Index* other;       // its atom at the other end
  Index* row;         // of the table
  T *t, *t_slope;     // place in the polynomial, and its derivative with respect to the distance
  T* matrices;        // (pairs, entries): M of all paths
  Vector<T>* sums;    // (pairs, 1 + harmonics), backward: derivatives with respect to distance and
                      // harmonics, lane by lane
};

inline Index larger(Index a, Index b) { return a > b ? a : b; }
inline Index smaller(Index a, Index b) { return a < b ? a : b; }

// One allocation for everything, freed at the end of the scope.
struct Memory {
  char* data = nullptr;
  Index used = 0;
  ~Memory() { free(data); }
  void reserve(Index bytes) {
    if (posix_memalign(reinterpret_cast<void**>(&data), 64, static_cast<size_t>(bytes)) != 0)
      abort();
  }
  template <typename U>
  U* take(Index n) {
    U* taken = reinterpret_cast<U*>(data + used);
    used += (n * static_cast<Index>(sizeof(U)) + 63) / 64 * 64;
    return taken;
  }
};

template <typename T>
Block<T> allocate(Memory& memory, const Convolution<T>& of, Index n_atoms, Index n_pairs,
                  bool sums) {
  const Index n_sums = sums ? n_pairs * (1 + of.n_harmonics) : 0;
  memory.reserve(static_cast<Index>(sizeof(Index)) * (n_atoms + 1 + 3 * n_pairs) +
                 static_cast<Index>(sizeof(T)) * n_pairs * (2 + of.n_entries) + kBytes * n_sums +
                 64 * 8);
  Block<T> block{};
  block.begin = memory.take<Index>(n_atoms + 1);
  block.edge = memory.take<Index>(n_pairs);
  block.other = memory.take<Index>(n_pairs);
  block.row = memory.take<Index>(n_pairs);
  block.t = memory.take<T>(n_pairs);
  block.t_slope = memory.take<T>(n_pairs);
  block.matrices = memory.take<T>(n_pairs * of.n_entries);
  block.sums = memory.take<Vector<T>>(n_sums);
  return block;
}

template <typename T>
void add_pair(const Convolution<T>& of, Block<T>& block, Index q, Index edge, Index other) {
  const Grid& grid = of.grid;
  const double r = static_cast<double>(of.distances[edge]);
  const double inverse = 1.0 / (r + grid.softening), u = r * inverse;
  const bool outside = u >= grid.onset;
  const double scale = outside ? grid.outer_scale : grid.inner_scale;
  const double place = (outside ? u - grid.onset : u - grid.first) * scale;
  const Index last = static_cast<Index>(outside ? grid.outer_rows : grid.inner_rows) - 1;
  const Index interval = smaller(larger(static_cast<Index>(place), 0), last);
  block.edge[q] = edge;
  block.other[q] = other;
  block.row[q] = outside ? interval + static_cast<Index>(grid.inner_rows) : interval;
  block.t[q] = static_cast<T>(place - static_cast<double>(interval));
  block.t_slope[q] = static_cast<T>(scale * grid.softening * inverse * inverse);
  T* matrix = block.matrices + q * of.n_entries;
  const T* harmonics = of.harmonics + edge * of.n_harmonics;
  for (int entry = 0; entry < of.n_entries; ++entry)
    matrix[entry] = harmonics[0] * of.couplings[entry];
  for (int h = 1; h < of.n_harmonics; ++h) {
    const T* couplings = of.couplings + h * of.n_entries;
    for (int entry = 0; entry < of.n_entries; ++entry)
      matrix[entry] += harmonics[h] * couplings[entry];
  }
}

// The next block from `first` on: as many atoms as have kPairs pairs together, one at least.
template <typename T>
void next_block(const Convolution<T>& of, Block<T>& block, Index first, Index end, bool backward) {
  const Index* rows = backward ? of.neighbor_rows : of.rows;
  Index q = 0, atom = first;
  while (atom < end && (atom == first || rows[atom + 1] - rows[first] <= kPairs)) {
    block.begin[atom - first] = q;
    for (Index k = rows[atom]; k < rows[atom + 1]; ++k) {
      const Index edge = backward ? of.by_neighbor[k] : k;
      const bool inside = static_cast<double>(of.distances[edge]) < of.grid.cutoff;
      if (inside) add_pair(of, block, q++, edge, backward ? of.centers[edge] : of.neighbors[edge]);
    }
    ++atom;
  }
  block.begin[atom - first] = q;
  block.first = first;
  block.last = atom;
}

template <typename T>
Block<T> largest_block(Memory& memory, const Convolution<T>& of, Index begin, Index end,
                       bool backward) {
  const Index* rows = backward ? of.neighbor_rows : of.rows;
  Index most = kPairs;
  for (Index atom = begin; atom < end; ++atom) most = larger(most, rows[atom + 1] - rows[atom]);
  return allocate<T>(memory, of, end - begin, most, backward);
}

}  // namespace
}  // namespace PQEQ_LEVEL
}  // namespace openmm_pqeq
