//! Named-dimension checks for every public function: a wrong shape is a bug of the caller and says which dimension.

use burn::tensor::Tensor;
use burn::tensor::kind::Basic;

/// Panics unless `tensor` has exactly the named sizes.  `expected` lists (dimension's letter, size).
pub(crate) fn check<const D: usize, K: Basic>(kernel: &str, name: &str, tensor: &Tensor<D, K>, expected: [(&str, usize); D]) {
    let got = tensor.dims();
    let letters = expected.map(|(letter, _)| letter).join(",");
    assert!(
        got == expected.map(|(_, size)| size),
        "{kernel}: {name} must be [{letters}] = {:?}, but is {got:?}",
        expected.map(|(_, size)| size)
    );
    assert!(got.iter().all(|&size| size > 0), "{kernel}: {name} [{letters}] = {got:?} has an empty dimension");
}
