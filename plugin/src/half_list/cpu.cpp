// half_list on the CPU: atoms are sorted into bins of the cell, a third of the cutoff wide or so,
// and each looks at those bins, images included, that may have neighbours. A direction that is not
// periodic is a direction of its own, as long as the atoms reach.
//
// Of each pair that direction is listed in which the first atom has the lower number, and of an
// atom with its own images those whose shift comes after zero in the dictionary. Threads take
// ranges of first atoms; the list is the same for any number of them.
#include "half_list/arguments.h"
#include "parallel.h"

#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

namespace openmm_pqeq {
namespace {

using Vector = std::array<double, 3>;
using Matrix = std::array<Vector, 3>;

constexpr int64_t kRanges = 32;
constexpr int kBlock = 256;      // candidates whose distances are computed together
constexpr int kMostShift = 127;  // of an int8
constexpr double kBinsPerCutoff = 3.0;
constexpr double kOutside = 1e-6;  // of a cell: how far an atom that rounding left outside may be

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Vector cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

// b without what is along the unit vectors.
Vector rest_of(Vector b, const std::vector<Vector>& units) {
  for (const Vector& unit : units) {
    const double along = dot(b, unit);
    for (int k = 0; k < 3; ++k) b[k] -= along * unit[k];
  }
  return b;
}

void add_unit(std::vector<Vector>& units, const Vector& vector) {
  const double length = std::sqrt(dot(vector, vector));
  units.push_back({vector[0] / length, vector[1] / length, vector[2] / length});
}

// The lattice vectors, and unit vectors perpendicular to all others in place of those that are not
// periodic.
Matrix completed(const double* cell, const bool* periodic) {
  Matrix rows;
  std::vector<Vector> units;
  for (int a = 0; a < 3; ++a) {
    rows[a] = {cell[3 * a], cell[3 * a + 1], cell[3 * a + 2]};
    if (periodic[a]) add_unit(units, rest_of(rows[a], units));
  }
  for (int a = 0; a < 3; ++a) {
    if (periodic[a]) continue;
    Vector best{};
    for (int k = 0; k < 3; ++k) {
      Vector axis{};
      axis[k] = 1.0;
      axis = rest_of(axis, units);
      if (dot(axis, axis) > dot(best, best)) best = axis;
    }
    add_unit(units, best);
    rows[a] = units.back();
  }
  return rows;
}

// Atoms in bins. Per direction: number of bins, width between the planes of a bin (Å), farthest bin
// with neighbours.
struct Bins {
  Matrix rows;
  std::array<bool, 3> periodic;
  std::array<int, 3> n, reach;
  Vector width;
  bool rectangular;
  std::vector<int64_t> begin;   // of the atoms of each bin
  std::vector<int32_t> atoms;   // bin after bin, ascending in each
  std::vector<double> x, y, z;  // in that order
  std::vector<std::array<int, 3>> of_atom;
};

Bins binned(const double* positions, int64_t n_atoms, const double* cell, const bool* periodic,
            double cutoff) {
  Bins bins;
  bins.rows = completed(cell, periodic);
  std::array<std::vector<double>, 3> fractions;
  bins.rectangular = true;
  int64_t n_bins = 1;
  for (int a = 0; a < 3; ++a) {
    bins.periodic[a] = periodic[a];
    const Vector across = cross(bins.rows[(a + 1) % 3], bins.rows[(a + 2) % 3]);
    const double volume = dot(across, bins.rows[a]), area = std::sqrt(dot(across, across));
    TORCH_CHECK_VALUE(std::abs(volume) > 0.0,
                      "cell: expected periodic vectors that are linearly independent");
    bins.rectangular = bins.rectangular && std::abs(dot(bins.rows[a], bins.rows[(a + 1) % 3])) <
                                               1e-12 * std::abs(volume) / area;
    fractions[a].resize(n_atoms);
    double least = 0.0, most = 1.0;
    for (int64_t i = 0; i < n_atoms; ++i) {
      fractions[a][i] =
          dot({positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]}, across) / volume;
      least = i == 0 && !periodic[a] ? fractions[a][i] : std::min(least, fractions[a][i]);
      most = i == 0 && !periodic[a] ? fractions[a][i] : std::max(most, fractions[a][i]);
    }
    TORCH_CHECK_VALUE(!periodic[a] || (least > -kOutside && most < 1.0 + kOutside),
                      "positions: expected atoms wrapped into the cell, got fractions of ", least,
                      " to ", most, " of vector ", a);
    const double reached = periodic[a] ? 1.0 : std::max(most - least, 1e-3);
    for (double& fraction : fractions[a])
      fraction = periodic[a] ? fraction : (fraction - least) / reached;
    bins.width[a] = reached * std::abs(volume) / area;
    bins.n[a] = static_cast<int>(
        std::clamp(std::floor(kBinsPerCutoff * bins.width[a] / cutoff), 1.0, 1024.0));
    n_bins *= bins.n[a];
  }
  while (n_bins > std::max<int64_t>(n_atoms, 1)) {
    int& most = *std::max_element(bins.n.begin(), bins.n.end());
    most = (most + 1) / 2;
    n_bins = int64_t(bins.n[0]) * bins.n[1] * bins.n[2];
  }
  for (int a = 0; a < 3; ++a) {
    bins.width[a] /= bins.n[a];
    bins.reach[a] = static_cast<int>(
        std::min(std::floor(cutoff / bins.width[a]) + 1.0, periodic[a] ? 1e6 : bins.n[a] - 1.0));
    TORCH_CHECK_VALUE(!periodic[a] || bins.reach[a] <= int64_t(kMostShift) * bins.n[a],
                      "cell: expected one with pairs within ", cutoff, " Å at most ", kMostShift,
                      " cells apart, got a cell ", bins.width[a] * bins.n[a],
                      " Å thick along vector ", a, "; repeat the cell along its short vectors");
  }
  bins.of_atom.resize(n_atoms);
  bins.begin.assign(n_bins + 1, 0);
  std::vector<int64_t> bin(n_atoms);
  for (int64_t i = 0; i < n_atoms; ++i) {
    for (int a = 0; a < 3; ++a)
      bins.of_atom[i][a] =
          std::clamp(static_cast<int>(fractions[a][i] * bins.n[a]), 0, bins.n[a] - 1);
    bin[i] = (int64_t(bins.of_atom[i][0]) * bins.n[1] + bins.of_atom[i][1]) * bins.n[2] +
             bins.of_atom[i][2];
    ++bins.begin[bin[i] + 1];
  }
  for (int64_t b = 0; b < n_bins; ++b) bins.begin[b + 1] += bins.begin[b];
  std::vector<int64_t> next(bins.begin.begin(), bins.begin.end() - 1);
  bins.atoms.resize(n_atoms);
  for (auto* numbers : {&bins.x, &bins.y, &bins.z}) numbers->resize(n_atoms);
  for (int64_t i = 0; i < n_atoms; ++i) {
    const int64_t place = next[bin[i]]++;
    bins.atoms[place] = static_cast<int32_t>(i);
    bins.x[place] = positions[3 * i];
    bins.y[place] = positions[3 * i + 1];
    bins.z[place] = positions[3 * i + 2];
  }
  return bins;
}

// Pairs of a range of first atoms.
struct Found {
  std::vector<int32_t> centers, neighbors;
  std::vector<int8_t> shifts;
};

// The bin `step` bins away, and the image that it belongs to; false where there is none.
inline bool moved(const Bins& bins, int axis, int from, int step, int& bin, int& image) {
  const int to = from + step, n = bins.n[axis];
  image = to >= 0 ? to / n : -((n - 1 - to) / n);
  bin = to - image * n;
  return image == 0 || bins.periodic[axis];
}

inline double gap(const Bins& bins, int axis, int step) {
  return step == 0 ? 0.0 : (std::abs(step) - 1) * bins.width[axis];
}

// Neighbours of an atom in a bin, shifted by an image.
void look(const Bins& bins, int32_t i, const Vector& at, int64_t bin,
          const std::array<int, 3>& image, double square, Found& found) {
  const auto first = bins.atoms.begin() + bins.begin[bin],
             last = bins.atoms.begin() + bins.begin[bin + 1];
  auto from = std::lower_bound(first, last, i);
  if (from != last && *from == i && image <= std::array<int, 3>{0, 0, 0}) ++from;
  Vector offset;
  for (int b = 0; b < 3; ++b) {
    offset[b] = image[0] * bins.rows[0][b] + image[1] * bins.rows[1][b] +
                image[2] * bins.rows[2][b] - at[b];
  }
  double squares[kBlock];
  const int64_t end = last - bins.atoms.begin();
  for (int64_t begin = from - bins.atoms.begin(); begin < end; begin += kBlock) {
    const int n = static_cast<int>(std::min<int64_t>(kBlock, end - begin));
    const double *const x = bins.x.data() + begin, *const y = bins.y.data() + begin,
                        *const z = bins.z.data() + begin;
    for (int q = 0; q < n; ++q) {
      const double dx = x[q] + offset[0], dy = y[q] + offset[1], dz = z[q] + offset[2];
      squares[q] = dx * dx + dy * dy + dz * dz;
    }
    size_t count = found.neighbors.size();
    found.neighbors.resize(count + n);
    for (int q = 0; q < n; ++q) {
      found.neighbors[count] = bins.atoms[begin + q];
      count += squares[q] < square;
    }
    found.neighbors.resize(count);
  }
  for (size_t added = found.neighbors.size() - found.centers.size(); added > 0; --added) {
    found.centers.push_back(i);
    for (int a = 0; a < 3; ++a) found.shifts.push_back(static_cast<int8_t>(image[a]));
  }
}

void search(const Bins& bins, const double* positions, int64_t begin, int64_t end, double cutoff,
            Found& found) {
  const double square = cutoff * cutoff;
  for (int64_t i = begin; i < end; ++i) {
    const Vector at{positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]};
    const auto& home = bins.of_atom[i];
    std::array<int, 3> bin, image;
    for (int a = -bins.reach[0]; a <= bins.reach[0]; ++a) {
      if (!moved(bins, 0, home[0], a, bin[0], image[0])) continue;
      for (int b = -bins.reach[1]; b <= bins.reach[1]; ++b) {
        if (!moved(bins, 1, home[1], b, bin[1], image[1])) continue;
        for (int c = -bins.reach[2]; c <= bins.reach[2]; ++c) {
          if (!moved(bins, 2, home[2], c, bin[2], image[2])) continue;
          const Vector apart{gap(bins, 0, a), gap(bins, 1, b), gap(bins, 2, c)};
          if (bins.rectangular && dot(apart, apart) > square * (1.0 + 1e-12)) continue;
          look(bins, static_cast<int32_t>(i), at,
               (int64_t(bin[0]) * bins.n[1] + bin[1]) * bins.n[2] + bin[2], image, square, found);
        }
      }
    }
  }
}

std::tuple<Tensor, Tensor, Tensor> half_list_cpu(const Tensor& positions_in, const Tensor& cell_in,
                                                 const Tensor& periodic_in, double cutoff) {
  check_half_list(positions_in, cell_in, periodic_in, cutoff);
  const Tensor positions = positions_in.contiguous(), cell = cell_in.contiguous(),
               periodic = periodic_in.contiguous();
  const int64_t n_atoms = positions.size(0);
  const double* const at = positions.const_data_ptr<double>();
  const Bins bins =
      binned(at, n_atoms, cell.const_data_ptr<double>(), periodic.const_data_ptr<bool>(), cutoff);
  std::array<Found, kRanges> found;
  // An atom has the fewer partners with higher numbers the higher its own: ranges of equal work.
  const auto start = [&](int64_t range) {
    return static_cast<int64_t>(
        std::round(n_atoms * (1.0 - std::sqrt(1.0 - static_cast<double>(range) / kRanges))));
  };
  parallel_for(0, kRanges, 1, [&](int64_t first, int64_t last) {
    for (int64_t range = first; range < last; ++range)
      search(bins, at, start(range), start(range + 1), cutoff, found[range]);
  });
  int64_t n_pairs = 0;
  for (const Found& part : found) n_pairs += static_cast<int64_t>(part.centers.size());
  const Tensor centers = at::empty({n_pairs}, at::kInt), neighbors = at::empty({n_pairs}, at::kInt),
               shifts = at::empty({n_pairs, 3}, at::kChar);
  int64_t done = 0;
  for (Found& part : found) {
    const size_t n = part.centers.size();
    if (n > 0) {
      std::memcpy(centers.data_ptr<int32_t>() + done, part.centers.data(), n * sizeof(int32_t));
      std::memcpy(neighbors.data_ptr<int32_t>() + done, part.neighbors.data(), n * sizeof(int32_t));
      std::memcpy(shifts.data_ptr<int8_t>() + 3 * done, part.shifts.data(), 3 * n);
    }
    done += static_cast<int64_t>(n);
    part = Found();  // its memory, before the next is copied
  }
  return {centers, neighbors, shifts};
}

}  // namespace
}  // namespace openmm_pqeq

TORCH_LIBRARY_IMPL(openmm_pqeq, CPU, library) {
  library.impl("half_list", openmm_pqeq::half_list_cpu);
}
