//! RMS and layer normalisation: the public functions and their place in autodiff.  Twin: `reference/norm.rs`.
//!
//! N rows, D model dimension.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, TensorMetadata};
use burn::tensor::{Shape, Tensor};

use crate::backend::{Affine, Kernels, RawKernels};
use crate::block::aligned;
use crate::shapes::check;

/// x / √(mean(x²) + eps) · weight over each row; differentiable in both.  x `[N,D]`, weight `[D]` → `[N,D]`
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Zhang and Sennrich 2019.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    let [n, d] = x.dims();
    check("rms_norm", "x", &x, [("N", n), ("D", d)]);
    check("rms_norm", "weight", &weight, [("D", d)]);
    Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}

/// (x − mean) / √(mean((x − mean)²) + eps) · weight + bias over each row; differentiable in all three.
///
/// x `[N,D]`, weight and bias `[D]` → `[N,D]`
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Ba et al. 2016.
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f32) -> Tensor<2> {
    let [n, d] = x.dims();
    check("layer_norm", "x", &x, [("N", n), ("D", d)]);
    check("layer_norm", "weight", &weight, [("D", d)]);
    check("layer_norm", "bias", &bias, [("D", d)]);
    Tensor::from_dispatch(Dispatch::layer_norm(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), eps))
}

/// Registers the gradients of a norm with those nodes that want them; weight's and bias's come from one pass.
fn register<B: RawKernels>(
    [x, weight, stats, dy]: [FloatTensor<B>; 4],
    x_node: Option<NodeId>,
    weight_node: Option<NodeId>,
    bias_node: Option<NodeId>,
    centred: bool,
    grads: &mut Gradients,
) {
    let d = weight.shape()[0];
    if weight_node.is_some() || bias_node.is_some() {
        let at = Affine { weight: 0, bias: centred.then_some(aligned(d)) };
        let mut segment = B::segment(&dy, aligned(d) + at.bias.map_or(0, |_| d), true);
        B::norm_backward_weight_into(x.clone(), stats.clone(), dy.clone(), &mut segment, at);
        let part = |at: usize| B::view(&segment, at, Shape::new([d]));
        if let Some(id) = weight_node {
            grads.register::<B>(id, part(0));
        }
        if let (Some(id), Some(at)) = (bias_node, at.bias) {
            grads.register::<B>(id, part(at));
        }
    }
    if let Some(id) = x_node {
        grads.register::<B>(id, B::norm_backward_x(x, weight, stats, dy, None, centred));
    }
}

#[derive(Debug)]
struct RmsNormBackward;

impl<B: RawKernels> Backward<B, 2> for RmsNormBackward {
    /// Nodes of x and weight; stats [N,2].
    type State = ([NodeId; 2], FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, stats) = ops.state;
        let [x, weight] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|p| p.id));
        register::<B>([x, weight, stats, dy], x_node, weight_node, None, false, grads);
    }
}

/// `Kernels::rms_norm` under autodiff.
pub(crate) fn differentiable_rms<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    eps: f32,
) -> FloatTensor<Autodiff<B, C>> {
    match RmsNormBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
            let (y, stats) = B::norm_forward(x.into_primitive(), weight.into_primitive(), None, eps);
            prep.finish((nodes, stats), y)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::norm_forward(x.into_primitive(), weight.into_primitive(), None, eps).0),
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl<B: RawKernels> Backward<B, 3> for LayerNormBackward {
    /// Nodes of x and weight; stats [N,2].
    type State = ([NodeId; 2], FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (nodes, stats) = ops.state;
        let [x, weight] = nodes.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let [x_node, weight_node, bias_node] = ops.parents.map(|parent| parent.map(|p| p.id));
        register::<B>([x, weight, stats, dy], x_node, weight_node, bias_node, true, grads);
    }
}

/// `Kernels::layer_norm` under autodiff.
pub(crate) fn differentiable_layer<B: RawKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    eps: f32,
) -> FloatTensor<Autodiff<B, C>> {
    match LayerNormBackward.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) => {
            let nodes = [prep.checkpoint(&x), prep.checkpoint(&weight)];
            let (y, stats) = B::norm_forward(x.into_primitive(), weight.into_primitive(), Some(bias.into_primitive()), eps);
            prep.finish((nodes, stats), y)
        }
        OpsKind::UnTracked(prep) => {
            prep.finish(B::norm_forward(x.into_primitive(), weight.into_primitive(), Some(bias.into_primitive()), eps).0)
        }
    }
}
