//! Rows of a table (an embedding, hidden states), and sums into such rows: the public functions and their place in autodiff.
//! Twin: `reference/gather.rs`.
//!
//! R rows of the table, N gathered, D numbers each.

use burn::backend::Dispatch;
use burn::backend::autodiff::Autodiff;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::backend::{Kernels, RawKernels};
use crate::shapes::check;

/// Which rows to gather, and for each row of the table where it went, so that the gradient is a sum without atomics.
#[derive(Clone, Debug)]
pub struct Rows {
    rows: Tensor<1, Int>,
    /// Gathered positions sorted by their row `[N]`, and where each row's begin `[R+1]`.
    order: Tensor<1, Int>,
    starts: Tensor<1, Int>,
}

impl Rows {
    /// `rows` of a table of `table_rows`.
    ///
    /// # Panics
    /// When there is none or one is outside the table.
    pub fn new(rows: &[i32], table_rows: usize, device: &Device) -> Self {
        assert!(!rows.is_empty(), "gather: no rows");
        let mut starts = vec![0i32; table_rows + 1];
        for &row in rows {
            assert!((0..table_rows as i32).contains(&row), "gather: row {row} is not in a table of {table_rows}");
            starts[row as usize + 1] += 1;
        }
        for row in 0..table_rows {
            starts[row + 1] += starts[row];
        }
        let (mut next, mut order) = (starts.clone(), vec![0i32; rows.len()]);
        for (n, &row) in rows.iter().enumerate() {
            order[next[row as usize] as usize] = n as i32;
            next[row as usize] += 1;
        }
        let ints = |values: &[i32]| Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device);
        Self { rows: ints(rows), order: ints(&order), starts: ints(&starts) }
    }
}

/// The named rows of `x`, differentiable; a row may be gathered any number of times.  x `[R,D]` → `[N,D]`
///
/// # Panics
/// When `rows` were made for a table of another size.
pub fn gather(x: Tensor<2>, rows: &Rows) -> Tensor<2> {
    let [r, d] = x.dims();
    check("gather", "x", &x, [("R", rows.starts.dims()[0] - 1), ("D", d)]);
    check("gather", "starts", &rows.starts, [("R+1", r + 1)]);
    let Rows { rows, order, starts } = rows.clone();
    Tensor::from_dispatch(Dispatch::gather(x.into_dispatch(), rows.into_dispatch(), order.into_dispatch(), starts.into_dispatch()))
}

/// The numbers of `x` at these places, without a gradient.  x `[R]`, places `[N]` → `[N]`
pub fn pick(x: Tensor<1>, places: Tensor<1, Int>) -> Tensor<1> {
    let ([r], [n]) = (x.dims(), places.dims());
    let places = places.inner().into_dispatch();
    let picked = Dispatch::gather(x.inner().reshape([r, 1]).into_dispatch(), places.clone(), places.clone(), places);
    Tensor::<2>::from_dispatch(picked).reshape([n])
}

/// The sum of those of `x` that belong to each row of a table, differentiable: what [`gather`] does, backwards. Rows that nothing belongs
/// to are 0.  x `[N,D]` → `[R,D]`
///
/// # Panics
/// When there are not as many of x as of `rows`.
pub fn scatter_sum(x: Tensor<2>, rows: &Rows) -> Tensor<2> {
    let [n, d] = x.dims();
    check("scatter_sum", "x", &x, [("N", rows.rows.dims()[0]), ("D", d)]);
    check("scatter_sum", "order", &rows.order, [("N", n)]);
    let Rows { rows, order, starts } = rows.clone();
    Tensor::from_dispatch(Dispatch::scatter_sum(x.into_dispatch(), rows.into_dispatch(), order.into_dispatch(), starts.into_dispatch()))
}

#[derive(Debug)]
struct GatherBackward;

impl<B: RawKernels> Backward<B, 1> for GatherBackward {
    /// order, starts.
    type State = [IntTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [order, starts] = ops.state;
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::gather_backward(dy, order, starts));
        }
    }
}

/// `Kernels::gather` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    rows: IntTensor<B>,
    order: IntTensor<B>,
    starts: IntTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match GatherBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish([order, starts], B::gather_forward(x.into_primitive(), rows)),
        OpsKind::UnTracked(prep) => prep.finish(B::gather_forward(x.into_primitive(), rows)),
    }
}

#[derive(Debug)]
struct ScatterSumBackward;

impl<B: RawKernels> Backward<B, 1> for ScatterSumBackward {
    /// rows.
    type State = IntTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            grads.register::<B>(parent.id, B::gather_forward(dy, ops.state));
        }
    }
}

/// `Kernels::scatter_sum` under autodiff.
pub(crate) fn differentiable_sum<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    rows: IntTensor<B>,
    order: IntTensor<B>,
    starts: IntTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match ScatterSumBackward.prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(rows, B::gather_backward(x.into_primitive(), order, starts)),
        OpsKind::UnTracked(prep) => prep.finish(B::gather_backward(x.into_primitive(), order, starts)),
    }
}
