//! The kernels on burn's CPU backend: tensors to slices, the twin in `reference`, slices to tensors.

use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{DType, Shape, TensorData};

use crate::backend::{Form, RawKernels, Updates};
use crate::reference::optim::Update;
use crate::reference::{activation, attention, logprob, loss, norm, optim, rope};

/// Contiguous f32 view: `.get()` borrows the slice.
struct Floats(FlexTensor);

impl Floats {
    fn new(tensor: FlexTensor) -> Self {
        assert_eq!(tensor.dtype(), DType::F32, "evenkeel's kernels take f32 tensors");
        Self(tensor.to_contiguous())
    }

    fn get(&self) -> &[f32] {
        self.0.as_slice().expect("to_contiguous made an f32 slice")
    }
}

/// burn's CPU backend makes i64 integers by default and i32 when asked.
fn ints(tensor: FlexTensor) -> Vec<i32> {
    let tensor = tensor.to_contiguous();
    match tensor.dtype() {
        DType::I32 => tensor.as_slice::<i32>().expect("contiguous i32").to_vec(),
        DType::I64 => tensor.as_slice::<i64>().expect("contiguous i64").iter().map(|&x| x as i32).collect(),
        other => panic!("evenkeel's kernels take i32 or i64 indices, not {other:?}"),
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

/// Sizes from q [B,T,H,D] and k [B,S,K,D].
fn attention_dims(q: &FlexTensor, k: &FlexTensor) -> attention::Dims {
    let (q, k) = (q.shape(), k.shape());
    attention::Dims { b: q[0], t: q[1], s: k[1], h: q[2], k: k[2], d: q[3] }
}

impl RawKernels for Flex {
    fn attention_forward(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        first: FlexTensor,
        last: FlexTensor,
        scale: f32,
    ) -> (FlexTensor, FlexTensor) {
        let dims = attention_dims(&q, &k);
        let (q, k, v) = (Floats::new(q), Floats::new(k), Floats::new(v));
        let (out, lse) = attention::forward(q.get(), k.get(), v.get(), &ints(first), &ints(last), scale, dims);
        (tensor(out, [dims.b, dims.t, dims.h, dims.d]), tensor(lse, [dims.b, dims.t, dims.h]))
    }

    fn attention_backward(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        first: FlexTensor,
        last: FlexTensor,
        out: FlexTensor,
        lse: FlexTensor,
        dout: FlexTensor,
        scale: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let dims = attention_dims(&q, &k);
        let (q_shape, k_shape) = (q.shape(), k.shape());
        let [q, k, v, out, lse, dout] = [q, k, v, out, lse, dout].map(Floats::new);
        let (dq, dk, dv) =
            attention::backward(q.get(), k.get(), v.get(), &ints(first), &ints(last), out.get(), lse.get(), dout.get(), scale, dims);
        (tensor(dq, q_shape), tensor(dk, k_shape.clone()), tensor(dv, k_shape))
    }

    fn logprob_forward(logits: FlexTensor, targets: FlexTensor, inv_temperature: f32) -> (FlexTensor, FlexTensor) {
        let [n, v] = logits.shape().dims();
        let logits = Floats::new(logits);
        let (stats, lse) = logprob::forward(logits.get(), &ints(targets), inv_temperature, v);
        (tensor(stats, [3, n]), tensor(lse, [n]))
    }

    fn logprob_backward(
        logits: FlexTensor,
        targets: FlexTensor,
        lse: FlexTensor,
        stats: FlexTensor,
        grad: FlexTensor,
        inv_temperature: f32,
    ) -> FlexTensor {
        let [n, v] = logits.shape().dims();
        let [logits, lse, stats, grad] = [logits, lse, stats, grad].map(Floats::new);
        let targets = ints(targets);
        let dlogits = logprob::backward(logits.get(), &targets, lse.get(), stats.get(), grad.get(), inv_temperature, v);
        tensor(dlogits, [n, v])
    }

    fn cross_entropy_forward(logits: FlexTensor, targets: FlexTensor, weights: FlexTensor) -> (FlexTensor, FlexTensor) {
        let [n, v] = logits.shape().dims();
        let (logits, weights) = (Floats::new(logits), Floats::new(weights));
        let (stats, dlogits) = loss::cross_entropy(logits.get(), &ints(targets), weights.get(), v);
        (tensor(stats, [3, n]), tensor(dlogits, [n, v]))
    }

    /// burn's CPU backend has a tuned product (the gemm crate); `reference::matmul` is what the shaders are tested against.
    fn matmul(a: FlexTensor, b: FlexTensor, extra: Option<FlexTensor>, form: Form) -> FlexTensor {
        let stored = |x: FlexTensor, transposed: bool| if transposed { Self::float_swap_dims(x, 0, 1) } else { x };
        let out = Self::float_matmul(stored(a, form.a_transposed), stored(b, form.b_transposed));
        let n = out.shape()[1];
        match extra {
            None => out,
            Some(extra) if extra.shape().num_dims() == 1 => Self::float_add(out, Self::float_reshape(extra, Shape::new([1, n]))),
            Some(extra) => Self::float_add(out, extra),
        }
    }

    fn rms_norm_forward(x: FlexTensor, weight: FlexTensor, eps: f32) -> (FlexTensor, FlexTensor) {
        let shape = x.shape();
        let (x, weight) = (Floats::new(x), Floats::new(weight));
        let (y, r) = norm::rms_forward(x.get(), weight.get(), eps);
        let n = r.len();
        (tensor(y, shape), tensor(r, [n]))
    }

    fn rms_norm_backward_x(x: FlexTensor, weight: FlexTensor, r: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let shape = x.shape();
        let [x, weight, r, dy] = [x, weight, r, dy].map(Floats::new);
        tensor(norm::rms_backward_x(x.get(), weight.get(), r.get(), dy.get()), shape)
    }

    fn rms_norm_backward_weight(x: FlexTensor, r: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let [_, d] = x.shape().dims();
        let [x, r, dy] = [x, r, dy].map(Floats::new);
        tensor(norm::rms_backward_weight(x.get(), r.get(), dy.get(), d), [d])
    }

    fn swiglu_forward(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let shape = gate.shape();
        let (gate, up) = (Floats::new(gate), Floats::new(up));
        tensor(activation::swiglu_forward(gate.get(), up.get()), shape)
    }

    fn swiglu_backward(gate: FlexTensor, up: FlexTensor, dout: FlexTensor) -> (FlexTensor, FlexTensor) {
        let shape = gate.shape();
        let [gate, up, dout] = [gate, up, dout].map(Floats::new);
        let (dgate, dup) = activation::swiglu_backward(gate.get(), up.get(), dout.get());
        (tensor(dgate, shape.clone()), tensor(dup, shape))
    }

    fn rope_rotate(x: FlexTensor, cos: FlexTensor, sin: FlexTensor, direction: f32) -> FlexTensor {
        let shape = x.shape();
        let [_, _, heads, d] = shape.dims();
        let [x, cos, sin] = [x, cos, sin].map(Floats::new);
        tensor(rope::rotate(x.get(), cos.get(), sin.get(), heads, d / 2, direction), shape)
    }
}

impl Updates for Flex {
    fn adamw(
        param: FlexTensor,
        grad: FlexTensor,
        m: FlexTensor,
        v: FlexTensor,
        grad_scale: FlexTensor,
        update: Update,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let shape = param.shape();
        let [param, grad, m, v, grad_scale] = [param, grad, m, v, grad_scale].map(Floats::new);
        let scale = grad_scale.get()[0];
        let (param, m, v) = optim::adamw(param.get(), grad.get(), m.get(), v.get(), scale, &update);
        (tensor(param, shape.clone()), tensor(m, shape.clone()), tensor(v, shape))
    }
}
