//! The kernels on the GPU backend: contiguous inputs, fresh outputs, one launch per shader.

use burn::backend::Scalar;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::wgpu::{CubeBackend, CubeTensor, into_contiguous};
use burn::tensor::{DType, FloatDType, IntDType, Shape};

use crate::backend::{Form, RawKernels, Updates};
use crate::launch::{
    ACTIVATION_SWIGLU_BACKWARD, ACTIVATION_SWIGLU_FORWARD, ATTENTION_BACKWARD_KV, ATTENTION_BACKWARD_KV_SUBGROUP, ATTENTION_BACKWARD_Q,
    ATTENTION_BACKWARD_Q_SUBGROUP, ATTENTION_BACKWARD_ROWS, ATTENTION_FORWARD, ATTENTION_FORWARD_SUBGROUP, Kernel, LOGPROB_BACKWARD,
    LOGPROB_FORWARD, LOSS_CROSS_ENTROPY, MATMUL_SUBGROUP, MATMUL_TILED, NORM_RMS_BACKWARD_WEIGHT, NORM_RMS_BACKWARD_X, NORM_RMS_FORWARD,
    OPTIM_ADAMW, POISONED, ROPE_ROTATE, Specialised, Variant, launch, poisoned, variant,
};
use crate::reference::optim::Update;

/// Lanes of a workgroup where the work is plenty: WebGPU's default limit.
const MOST_LANES: u32 = 256;
/// Lanes of a workgroup whose lanes own one small item each.
const ITEM_LANES: u32 = 64;
/// Columns that one workgroup of a sum over rows owns.
const SUM_COLUMNS: usize = 16;
/// Largest head dimension of attention's subgroup forms: the rows of a lane are variables, and a driver's compiler takes
/// minutes over more of them.
const SUBGROUP_HEAD_DIM: usize = 32;
/// Queries or keys that a workgroup of attention's subgroup forms owns.
const SUBGROUP_BLOCK: usize = 32;
/// Numbers of its row that a lane should have before the tree over the lanes costs less than they do.
const NUMBERS_PER_LANE: usize = 8;
/// Rows and columns that a workgroup of each product owns.
const MATMUL_TILE: [usize; 2] = [64, 64];
const MATMUL_SUBGROUP_TILE: [usize; 2] = [32, 64];
/// Largest head dimension at which three tiles of 16 rows fit 16 KiB of workgroup memory; above it tiles have 8 rows.
const WIDE_BLOCK_HEAD_DIM: usize = 64;

fn floats(tensor: CubeTensor) -> CubeTensor {
    assert_eq!(tensor.dtype, DType::F32, "evenkeel's kernels take f32 tensors");
    into_contiguous(tensor)
}

fn ints(tensor: CubeTensor) -> CubeTensor {
    let tensor = match tensor.dtype {
        DType::I32 => tensor,
        _ => CubeBackend::int_cast(tensor, IntDType::I32),
    };
    into_contiguous(tensor)
}

/// An uninitialised f32 tensor beside `like`.
fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    let shape = shape.into();
    if poisoned() {
        return CubeBackend::float_full(shape, Scalar::Float(POISONED.into()), &like.device, FloatDType::F32);
    }
    let handle = like.client.empty(shape.num_elements() * size_of::<f32>());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, DType::F32)
}

/// Sizes of an attention call, tiles and parameters; letters as in `attention.rs`.
struct Plan {
    b: usize,
    t: usize,
    s: usize,
    h: usize,
    k: usize,
    d: usize,
    block: usize,
    variant: Variant,
    scale: f32,
}

impl Plan {
    fn new(q: &CubeTensor, k: &CubeTensor, scale: f32) -> Self {
        let [b, t, h, d] = q.meta.shape().dims();
        let [_, s, k, _] = k.meta.shape().dims();
        let variant = if d <= SUBGROUP_HEAD_DIM { variant() } else { Variant::Default };
        let block = match variant {
            Variant::Subgroup => SUBGROUP_BLOCK,
            Variant::Default if d <= WIDE_BLOCK_HEAD_DIM => 16,
            Variant::Default => 8,
        };
        Self { b, t, s, h, k, d, block, variant, scale }
    }

    /// The form of a kernel that this plan is made for.
    fn kernel(&self, default: &Kernel, subgroup: &Kernel) -> Specialised {
        let head_dim = ("HEAD_DIM", self.d as u32);
        match self.variant {
            Variant::Default => Specialised::new(default, &[("BLOCK", self.block as u32), head_dim]),
            Variant::Subgroup => Specialised::new(subgroup, &[head_dim]),
        }
    }

    /// (workgroups, parameters) for one workgroup per `block` of `length` rows of each of `heads` heads.
    fn tiles(&self, length: usize, heads: usize) -> (usize, [u32; 7]) {
        let tiles = length.div_ceil(self.block);
        let groups = self.b * heads * tiles;
        let sizes = [self.t, self.s, self.h, self.k, tiles, groups].map(|x| x as u32);
        let [t, s, h, k, tiles, count] = sizes;
        (groups, [t, s, h, k, tiles, count, self.scale.to_bits()])
    }
}

impl RawKernels for CubeBackend {
    fn attention_forward(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        first: CubeTensor,
        last: CubeTensor,
        scale: f32,
    ) -> (CubeTensor, CubeTensor) {
        let [q, k, v] = [q, k, v].map(floats);
        let [first, last] = [first, last].map(ints);
        let plan = Plan::new(&q, &k, scale);
        let out = empty(&q, [plan.b, plan.t, plan.h, plan.d]);
        let lse = empty(&q, [plan.b, plan.t, plan.h]);
        let (groups, params) = plan.tiles(plan.t, plan.h);
        let kernel = plan.kernel(&ATTENTION_FORWARD, &ATTENTION_FORWARD_SUBGROUP);
        launch(kernel, groups, &[&q, &k, &v, &first, &last, &out, &lse], &params);
        (out, lse)
    }

    fn attention_backward(
        q: CubeTensor,
        k: CubeTensor,
        v: CubeTensor,
        first: CubeTensor,
        last: CubeTensor,
        out: CubeTensor,
        lse: CubeTensor,
        dout: CubeTensor,
        scale: f32,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [q, k, v, out, lse, dout] = [q, k, v, out, lse, dout].map(floats);
        let [first, last] = [first, last].map(ints);
        let plan = Plan::new(&q, &k, scale);
        let Plan { b, t, s, h, k: kv, d, .. } = plan;

        let rows = empty(&q, [b, h, t, 4]);
        let count = b * t * h;
        let consts = [("WG", ITEM_LANES), ("HEAD_DIM", d as u32)];
        launch(
            Specialised::new(&ATTENTION_BACKWARD_ROWS, &consts),
            count.div_ceil(ITEM_LANES as usize),
            &[&out, &dout, &lse, &first, &last, &rows],
            &[count, t, s, h].map(|x| x as u32),
        );

        let dq = empty(&q, [b, t, h, d]);
        let (groups, params) = plan.tiles(t, h);
        let kernel = plan.kernel(&ATTENTION_BACKWARD_Q, &ATTENTION_BACKWARD_Q_SUBGROUP);
        launch(kernel, groups, &[&q, &k, &v, &dout, &rows, &dq], &params);

        let dk = empty(&q, [b, s, kv, d]);
        let dv = empty(&q, [b, s, kv, d]);
        let (groups, params) = plan.tiles(s, kv);
        let kernel = plan.kernel(&ATTENTION_BACKWARD_KV, &ATTENTION_BACKWARD_KV_SUBGROUP);
        launch(kernel, groups, &[&q, &k, &v, &dout, &rows, &dk, &dv], &params);
        (dq, dk, dv)
    }

    fn logprob_forward(logits: CubeTensor, targets: CubeTensor, inv_temperature: f32) -> (CubeTensor, CubeTensor) {
        let (logits, targets) = (floats(logits), ints(targets));
        let [n, v] = logits.meta.shape().dims();
        let (stats, lse) = (empty(&logits, [3, n]), empty(&logits, [n]));
        let kernel = Specialised::new(&LOGPROB_FORWARD, &[("WG", row_lanes(v))]);
        launch(kernel, n, &[&logits, &targets, &stats, &lse], &[n as u32, v as u32, inv_temperature.to_bits()]);
        (stats, lse)
    }

    fn logprob_backward(
        logits: CubeTensor,
        targets: CubeTensor,
        lse: CubeTensor,
        stats: CubeTensor,
        grad: CubeTensor,
        inv_temperature: f32,
    ) -> CubeTensor {
        let [logits, lse, stats, grad] = [logits, lse, stats, grad].map(floats);
        let targets = ints(targets);
        let [n, v] = logits.meta.shape().dims();
        let dlogits = empty(&logits, [n, v]);
        let kernel = Specialised::new(&LOGPROB_BACKWARD, &[("WG", row_lanes(v))]);
        let params = [n as u32, v as u32, inv_temperature.to_bits()];
        launch(kernel, n, &[&logits, &targets, &lse, &stats, &grad, &dlogits], &params);
        dlogits
    }

    fn cross_entropy_forward(logits: CubeTensor, targets: CubeTensor, weights: CubeTensor) -> (CubeTensor, CubeTensor) {
        let [logits, weights] = [logits, weights].map(floats);
        let targets = ints(targets);
        let [n, v] = logits.meta.shape().dims();
        let (stats, dlogits) = (empty(&logits, [3, n]), empty(&logits, [n, v]));
        let kernel = Specialised::new(&LOSS_CROSS_ENTROPY, &[("WG", row_lanes(v))]);
        launch(kernel, n, &[&logits, &targets, &weights, &stats, &dlogits], &[n as u32, v as u32]);
        (stats, dlogits)
    }

    fn matmul(a: CubeTensor, b: CubeTensor, extra: Option<CubeTensor>, form: Form) -> CubeTensor {
        let [a, b] = [a, b].map(floats);
        let [[m, k], a_strides] = as_matrix(&a, form.a_transposed);
        let [[_, n], b_strides] = as_matrix(&b, form.b_transposed);
        let out = empty(&a, [m, n]);
        let extra_stride = match &extra {
            Some(extra) if extra.meta.shape().num_dims() == 2 => n,
            _ => 0,
        };
        let has_extra = usize::from(extra.is_some());
        // A binding must be there even where the shader does not read it.
        let extra = extra.map_or_else(|| empty(&a, [1]), floats);
        let params = [m, n, k, a_strides[0], a_strides[1], b_strides[0], b_strides[1], has_extra, extra_stride].map(|x| x as u32);
        let (kernel, [rows, columns]) = match variant() {
            Variant::Default => (&MATMUL_TILED, MATMUL_TILE),
            Variant::Subgroup => (&MATMUL_SUBGROUP, MATMUL_SUBGROUP_TILE),
        };
        let groups = m.div_ceil(rows) * n.div_ceil(columns);
        launch(Specialised::new(kernel, &[]), groups, &[&a, &b, &extra, &out], &params);
        out
    }

    fn rms_norm_forward(x: CubeTensor, weight: CubeTensor, eps: f32) -> (CubeTensor, CubeTensor) {
        let [x, weight] = [x, weight].map(floats);
        let [n, d] = x.meta.shape().dims();
        let (y, r) = (empty(&x, [n, d]), empty(&x, [n]));
        let kernel = Specialised::new(&NORM_RMS_FORWARD, &[("WG", row_lanes(d))]);
        launch(kernel, n, &[&x, &weight, &y, &r], &[n as u32, d as u32, eps.to_bits()]);
        (y, r)
    }

    fn rms_norm_backward_x(x: CubeTensor, weight: CubeTensor, r: CubeTensor, dy: CubeTensor) -> CubeTensor {
        let [x, weight, r, dy] = [x, weight, r, dy].map(floats);
        let [n, d] = x.meta.shape().dims();
        let dx = empty(&x, [n, d]);
        let kernel = Specialised::new(&NORM_RMS_BACKWARD_X, &[("WG", row_lanes(d))]);
        launch(kernel, n, &[&x, &weight, &r, &dy, &dx], &[n as u32, d as u32]);
        dx
    }

    fn rms_norm_backward_weight(x: CubeTensor, r: CubeTensor, dy: CubeTensor) -> CubeTensor {
        let [x, r, dy] = [x, r, dy].map(floats);
        let [n, d] = x.meta.shape().dims();
        let dweight = empty(&x, [d]);
        let kernel = Specialised::new(&NORM_RMS_BACKWARD_WEIGHT, &[("COLUMNS", SUM_COLUMNS as u32)]);
        launch(kernel, d.div_ceil(SUM_COLUMNS), &[&x, &r, &dy, &dweight], &[n as u32, d as u32]);
        dweight
    }

    fn swiglu_forward(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
        let [gate, up] = [gate, up].map(floats);
        let out = empty(&gate, gate.meta.shape().clone());
        launch_items(&ACTIVATION_SWIGLU_FORWARD, &[&gate, &up, &out], gate.meta.num_elements(), &[]);
        out
    }

    fn swiglu_backward(gate: CubeTensor, up: CubeTensor, dout: CubeTensor) -> (CubeTensor, CubeTensor) {
        let [gate, up, dout] = [gate, up, dout].map(floats);
        let [dgate, dup] = [(); 2].map(|()| empty(&gate, gate.meta.shape().clone()));
        let count = gate.meta.num_elements();
        launch_items(&ACTIVATION_SWIGLU_BACKWARD, &[&gate, &up, &dout, &dgate, &dup], count, &[]);
        (dgate, dup)
    }

    fn rope_rotate(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, direction: f32) -> CubeTensor {
        let [x, cos, sin] = [x, cos, sin].map(floats);
        let [b, t, h, d] = x.meta.shape().dims();
        let out = empty(&x, [b, t, h, d]);
        let rest = [h as u32, d as u32 / 2, direction.to_bits()];
        launch_items(&ROPE_ROTATE, &[&x, &cos, &sin, &out], b * t * h * d / 2, &rest);
        out
    }
}

/// Lanes of a workgroup that owns one row of `width` numbers: a power of two, no smaller than the subgroups of most GPUs;
/// on an adapter that computes on the CPU a subgroup has 8.
fn row_lanes(width: usize) -> u32 {
    let fewest = if variant() == Variant::Subgroup { 8 } else { 32 };
    ((width / NUMBERS_PER_LANE) as u32).next_power_of_two().clamp(fewest, MOST_LANES)
}

/// Sizes and strides of the matrix that `x` stands for.
fn as_matrix(x: &CubeTensor, transposed: bool) -> [[usize; 2]; 2] {
    let [rows, columns] = x.meta.shape().dims();
    if transposed { [[columns, rows], [1, columns]] } else { [[rows, columns], [columns, 1]] }
}

impl Updates for CubeBackend {
    fn adamw(
        param: CubeTensor,
        grad: CubeTensor,
        m: CubeTensor,
        v: CubeTensor,
        grad_scale: CubeTensor,
        update: Update,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [grad, grad_scale] = [grad, grad_scale].map(floats);
        let [param, m, v] = [param, m, v].map(own);
        let Update { lr, decay, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, bias1, bias2 } = update;
        let rest = [lr, decay, beta1, one_minus_beta1, beta2, one_minus_beta2, eps, bias1, bias2].map(f32::to_bits);
        launch_items(&OPTIM_ADAMW, &[&param, &grad, &m, &v, &grad_scale], param.meta.num_elements(), &rest);
        (param, m, v)
    }
}

/// Launches one lane for each of `count` items; parameters are the count, then `rest`.
fn launch_items(kernel: &Kernel, tensors: &[&CubeTensor], count: usize, rest: &[u32]) {
    let params = [&[count as u32], rest].concat();
    let groups = count.div_ceil(MOST_LANES as usize);
    launch(Specialised::new(kernel, &[("WG", MOST_LANES)]), groups, tensors, &params);
}

/// A tensor that may be written: itself where nobody else holds it, else a copy.
fn own(tensor: CubeTensor) -> CubeTensor {
    let tensor = floats(tensor);
    if tensor.handle.can_mut() { tensor } else { CubeBackend::float_mul_scalar(tensor, Scalar::Float(1.0)) }
}
