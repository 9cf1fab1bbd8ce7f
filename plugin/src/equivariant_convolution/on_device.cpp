#include "equivariant_convolution/on_device.h"

namespace openmm_pqeq {

std::vector<Tensor> contiguous(at::TensorList tensors) {
  std::vector<Tensor> made;
  for (const Tensor& tensor : tensors) made.push_back(tensor.contiguous());
  return made;
}

Contiguous::Contiguous(at::TensorList features, const Geometry& geometry, const Tensor& table,
                       const Tensor& couplings)
    : features(contiguous(features)),
      distances(geometry.distances.contiguous()),
      harmonics(geometry.harmonics.contiguous()),
      rows(geometry.rows.contiguous()),
      centers(geometry.centers.contiguous()),
      neighbors(geometry.neighbors.contiguous()),
      neighbor_rows(geometry.neighbor_rows.contiguous()),
      by_neighbor(geometry.by_neighbor.contiguous()),
      table(table.contiguous()),
      couplings(couplings.contiguous()) {}

}  // namespace openmm_pqeq
