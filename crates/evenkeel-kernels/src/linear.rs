//! Products with a weight: the public functions and their place in autodiff.  Twin: `reference/matmul.rs`.
//!
//! N rows (tokens), I inputs, O outputs.

use burn::backend::Dispatch;
use burn::backend::TensorMetadata;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::tensor::Tensor;

use crate::backend::{Form, Kernels, RawKernels};
use crate::shapes::check;

/// How a weight matrix is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[O,I]`: PyTorch's `Linear`.
    OutIn,
    /// `[I,O]`: GPT-2's `Conv1D`.
    InOut,
}

/// x · weight, differentiable in both.  x `[N,I]`, weight `[O,I]` or `[I,O]` → `[N,O]`
///
/// Every row is summed in the same order whatever N is, so that a row gives the same bits alone and in a batch (on the GPU).
///
/// # Panics
/// When a dimension disagrees.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, layout: Layout) -> Tensor<2> {
    check_operands(&x, &weight, layout);
    Tensor::from_dispatch(Dispatch::linear(x.into_dispatch(), weight.into_dispatch(), layout == Layout::OutIn))
}

/// [`linear`] plus a bias `[O]`, differentiable in all three.  → `[N,O]`
///
/// # Panics
/// When a dimension disagrees.
pub fn linear_bias(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, layout: Layout) -> Tensor<2> {
    let [_, o] = check_operands(&x, &weight, layout);
    check("linear", "bias", &bias, [("O", o)]);
    let extra = bias.into_dispatch();
    Tensor::from_dispatch(Dispatch::linear_add(x.into_dispatch(), weight.into_dispatch(), extra, layout == Layout::OutIn))
}

/// [`linear`] plus `residual` `[N,O]`, differentiable in all three.  → `[N,O]`
///
/// # Panics
/// When a dimension disagrees.
pub fn linear_residual(x: Tensor<2>, weight: Tensor<2>, residual: Tensor<2>, layout: Layout) -> Tensor<2> {
    let [n, o] = check_operands(&x, &weight, layout);
    check("linear", "residual", &residual, [("N", n), ("O", o)]);
    let extra = residual.into_dispatch();
    Tensor::from_dispatch(Dispatch::linear_add(x.into_dispatch(), weight.into_dispatch(), extra, layout == Layout::OutIn))
}

/// → [N, O]
fn check_operands(x: &Tensor<2>, weight: &Tensor<2>, layout: Layout) -> [usize; 2] {
    let [n, i] = x.dims();
    let [rows, columns] = weight.dims();
    check("linear", "x", x, [("N", n), ("I", i)]);
    match layout {
        Layout::OutIn => check("linear", "weight", weight, [("O", rows), ("I", i)]),
        Layout::InOut => check("linear", "weight", weight, [("I", i), ("O", columns)]),
    }
    [n, if layout == Layout::OutIn { rows } else { columns }]
}

/// `Kernels::linear` without autodiff, plus a bias and a residual where there are any.
pub(crate) fn forward<B: RawKernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    residual: Option<FloatTensor<B>>,
    transposed: bool,
) -> FloatTensor<B> {
    B::matmul(x, weight, bias, residual, if transposed { Form::NT } else { Form::NN })
}

/// `Kernels::linear_add` without autodiff.
pub(crate) fn forward_add<B: RawKernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    extra: FloatTensor<B>,
    transposed: bool,
) -> FloatTensor<B> {
    match extra.shape().num_dims() {
        1 => forward::<B>(x, weight, Some(extra), None, transposed),
        _ => forward::<B>(x, weight, None, Some(extra), transposed),
    }
}

/// dx of a product with a weight.
pub(crate) fn backward_x<B: RawKernels>(dy: FloatTensor<B>, weight: FloatTensor<B>, transposed: bool) -> FloatTensor<B> {
    B::matmul(dy, weight, None, None, if transposed { Form::NN } else { Form::NT })
}

/// dweight of a product, written to `segment`.
pub(crate) fn backward_weight_into<B: RawKernels>(
    x: FloatTensor<B>,
    dy: FloatTensor<B>,
    transposed: bool,
    segment: &mut FloatTensor<B>,
    at: usize,
) {
    let (a, b) = if transposed { (dy, x) } else { (x, dy) };
    B::matmul_into(a, b, Form::TN, segment, at);
}

#[derive(Debug)]
struct LinearBackward;

/// Registers dx and dweight with those nodes that want them.
fn register<B: RawKernels>(
    [x, weight]: [FloatTensor<B>; 2],
    transposed: bool,
    dy: FloatTensor<B>,
    [x_node, weight_node]: [Option<NodeId>; 2],
    grads: &mut Gradients,
) {
    if let Some(id) = weight_node {
        let shape = weight.shape();
        let mut segment = B::segment(&dy, shape.num_elements(), true);
        backward_weight_into::<B>(x, dy.clone(), transposed, &mut segment, 0);
        grads.register::<B>(id, B::view(&segment, 0, shape));
    }
    if let Some(id) = x_node {
        grads.register::<B>(id, backward_x::<B>(dy, weight, transposed));
    }
}

impl<B: RawKernels> Backward<B, 2> for LinearBackward {
    /// Nodes of x and weight; whether the weight is [O,I].
    type State = ([NodeId; 2], bool);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, transposed) = ops.state;
        let operands = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        register::<B>(operands, transposed, dy, ops.parents.map(|parent| parent.map(|p| p.id)), grads);
    }
}

/// `Kernels::linear` under autodiff.
pub(crate) fn differentiable<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    transposed: bool,
) -> FloatTensor<Autodiff<B, C>> {
    match LinearBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
            let y = forward::<B>(x.into_primitive(), weight.into_primitive(), None, None, transposed);
            prep.finish((nodes, transposed), y)
        }
        OpsKind::UnTracked(prep) => prep.finish(forward::<B>(x.into_primitive(), weight.into_primitive(), None, None, transposed)),
    }
}

#[derive(Debug)]
struct LinearAddBackward;

impl<B: RawKernels> Backward<B, 3> for LinearAddBackward {
    /// Nodes of x and weight; whether the weight is [O,I]; whether `extra` was a bias.
    type State = ([NodeId; 2], bool, bool);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, transposed, is_bias) = ops.state;
        let [x_parent, weight_parent, extra_parent] = ops.parents;
        if let Some(parent) = extra_parent {
            let d_extra = if is_bias { sum_rows::<B>(dy.clone()) } else { dy.clone() };
            grads.register::<B>(parent.id, d_extra);
        }
        let operands = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        register::<B>(operands, transposed, dy, [x_parent, weight_parent].map(|parent| parent.map(|p| p.id)), grads);
    }
}

/// [N,O] → [O]
fn sum_rows<B: RawKernels>(dy: FloatTensor<B>) -> FloatTensor<B> {
    let mut segment = B::segment(&dy, dy.shape()[1], true);
    B::sum_rows_into(dy, &mut segment, 0);
    segment
}

/// `Kernels::linear_add` under autodiff.
pub(crate) fn differentiable_add<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    extra: FloatTensor<Autodiff<B, C>>,
    transposed: bool,
) -> FloatTensor<Autodiff<B, C>> {
    match LinearAddBackward.prepare::<C>([x.node(), weight.node(), extra.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
            let extra = extra.into_primitive();
            let is_bias = extra.shape().num_dims() == 1;
            let y = forward_add::<B>(x.into_primitive(), weight.into_primitive(), extra, transposed);
            prep.finish((nodes, transposed, is_bias), y)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(forward_add::<B>(x.into_primitive(), weight.into_primitive(), extra.into_primitive(), transposed))
        }
    }
}
