//! The benchmarks' Llama in burn's own operations, written the way a burn user would: scores as a matrix, `log_softmax` over all
//! logits, a cache that concatenates.
//!
//! B rows, T tokens, N = B·T, D width, H heads, E width of a head, V vocabulary.

use burn::tensor::activation::{log_softmax, silu, softmax};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor};

/// Longest sequence that the tables of RoPE and the causal mask are made for.
const CONTEXT: usize = 512;
/// Weights of a block: q, k, v, o, gate, up, down (all `[in, out]`) and two norms.
const PER_BLOCK: usize = 9;

/// A model and the batch that it is trained on.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub vocab: usize,
    pub d: usize,
    pub layers: usize,
    pub heads: usize,
    pub f: usize,
    pub rows: usize,
    pub time: usize,
}

pub const S: Shape = Shape { vocab: 512, d: 128, layers: 4, heads: 4, f: 512, rows: 8, time: 128 };
pub const M: Shape = Shape { vocab: 4096, d: 256, layers: 6, heads: 8, f: 1024, rows: 4, time: 256 };

impl Shape {
    /// The benchmarks' data, `[B, T]`: token t of row i is (31 t + 7 i) mod V.
    pub fn ids(&self, rows: usize, time: usize, device: &Device) -> Tensor<2, Int> {
        let ids: Vec<i32> = (0..rows * time).map(|n| ((n % time * 31 + n / time * 7) % self.vocab) as i32).collect();
        Tensor::<1, Int>::from_data(ids.as_slice(), device).reshape([rows, time])
    }
}

/// A trunk and one matrix on top: logits `[D, V]` or a score `[D, 1]`.
#[derive(Debug, Clone)]
pub struct Model {
    pub shape: Shape,
    /// Embedding, blocks, final norm, head.
    pub params: Vec<Tensor<2>>,
    /// RoPE, `[T, E/2]`.
    cos: Tensor<2>,
    sin: Tensor<2>,
    /// What a token must not see, `[T, T]`.
    future: Tensor<2, Bool>,
}

/// Keys and values of every layer so far, `[B, H, T, E]`.
#[derive(Debug, Default)]
pub struct Cache {
    layers: Vec<(Tensor<4>, Tensor<4>)>,
}

impl Model {
    pub fn new(s: Shape, device: &Device) -> Self {
        let matrix = |rows: usize, columns: usize| Tensor::random([rows, columns], Distribution::Normal(0.0, 0.02), device);
        let norm = || Tensor::ones([1, s.d], device);
        let mut params = vec![matrix(s.vocab, s.d)];
        for _ in 0..s.layers {
            params.extend((0..4).map(|_| matrix(s.d, s.d)));
            params.extend([matrix(s.d, s.f), matrix(s.d, s.f), matrix(s.f, s.d), norm(), norm()]);
        }
        params.extend([norm(), matrix(s.d, s.vocab)]);
        let half = s.d / s.heads / 2;
        let position = Tensor::<1, Int>::arange(0..CONTEXT as i64, device).float().reshape([CONTEXT, 1]);
        let pair = Tensor::<1, Int>::arange(0..half as i64, device).float().reshape([1, half]);
        let angles = position * (pair * (-10_000f32.ln() / half as f32)).exp();
        let future = Tensor::<2>::ones([CONTEXT, CONTEXT], device).tril(0).lower_elem(0.5);
        Self { shape: s, params, cos: angles.clone().cos(), sin: angles.sin(), future }
    }

    /// The same trunk with a score on top: how a reward model starts.
    pub fn with_score_head(&self) -> Self {
        let mut model = self.clone();
        let deviation = 1.0 / ((self.shape.d + 1) as f64).sqrt();
        let head = model.params.last_mut().expect("a head");
        *head = Tensor::random([self.shape.d, 1], Distribution::Normal(0.0, deviation), &head.device());
        model
    }

    /// Every parameter a leaf of the graph.
    pub fn trainable(&self) -> Self {
        Self { params: self.params.iter().map(|p| p.clone().autodiff().require_grad()).collect(), ..self.clone() }
    }

    /// The same weights without a graph.
    pub fn frozen(&self) -> Self {
        Self { params: self.params.iter().map(|p| p.clone().inner()).collect(), ..self.clone() }
    }

    /// Final hidden states `[N, D]` of ids `[B, T]`; with a cache, of one more token or of all the first.
    pub fn hidden(&self, ids: Tensor<2, Int>, mut cache: Option<&mut Cache>) -> Tensor<2> {
        let [b, t] = ids.dims();
        let (s, e) = (self.shape, self.shape.d / self.shape.heads);
        let past = cache.as_ref().map_or(0, |cache| cache.time());
        assert!(t == 1 || past == 0, "tokens after the first are fed one by one");
        let table = |table: &Tensor<2>| table.clone().narrow(0, past, t).reshape([1, 1, t, e / 2]);
        let (cos, sin) = (table(&self.cos), table(&self.sin));
        let future = (t > 1).then(|| self.future.clone().slice([0..t, 0..t]).reshape([1, 1, t, t]).expand([b, s.heads, t, t]));

        let mut x = self.params[0].clone().select(0, ids.reshape([b * t]));
        for (layer, weights) in self.params[1..].chunks_exact(PER_BLOCK).take(s.layers).enumerate() {
            let [q, k, v, o, gate, up, down, before, between] = <&[_; PER_BLOCK]>::try_from(weights).expect("a block's weights");
            let normed = rms_norm(x.clone(), before);
            let heads = |w: &Tensor<2>| normed.clone().matmul(w.clone()).reshape([b, t, s.heads, e]).swap_dims(1, 2);
            let (q, mut k, mut v) = (rope(heads(q), &cos, &sin), rope(heads(k), &cos, &sin), heads(v));
            if let Some(cache) = &mut cache {
                (k, v) = cache.append(layer, k, v);
            }
            let mut scores = q.matmul(k.swap_dims(2, 3)).div_scalar((e as f32).sqrt());
            if let Some(future) = &future {
                scores = scores.mask_fill(future.clone(), -1e9);
            }
            let mixed = softmax(scores, 3).matmul(v).swap_dims(1, 2).reshape([b * t, s.d]);
            x = x + mixed.matmul(o.clone());
            let normed = rms_norm(x.clone(), between);
            x = x + (silu(normed.clone().matmul(gate.clone())) * normed.matmul(up.clone())).matmul(down.clone());
        }
        rms_norm(x, &self.params[self.params.len() - 2])
    }

    /// Hidden states `[N, D]` → `[N, V]`, or `[N, 1]` of a score.
    pub fn head(&self, states: Tensor<2>) -> Tensor<2> {
        states.matmul(self.params[self.params.len() - 1].clone())
    }

    /// What the head says at `count` positions of ids `[B, T]` from `start` on → `[B·count, V or 1]`.
    pub fn head_at(&self, ids: Tensor<2, Int>, start: usize, count: usize) -> Tensor<2> {
        let ([b, t], d) = (ids.dims(), self.shape.d);
        self.head(self.hidden(ids, None).reshape([b, t, d]).narrow(1, start, count).reshape([b * count, d]))
    }

    /// Log-probability of each token of ids `[B, T]` from the `first` on (at least 1) at a temperature → `[B, T - first]`.
    pub fn log_probs(&self, ids: Tensor<2, Int>, first: usize, temperature: f64) -> Tensor<2> {
        let [b, t] = ids.dims();
        let count = t - first;
        let logits = self.head_at(ids.clone(), first - 1, count);
        let logits = if temperature == 1.0 { logits } else { logits.div_scalar(temperature) };
        let targets = ids.narrow(1, first, count).reshape([b * count, 1]);
        log_softmax(logits, 1).gather(1, targets).reshape([b, count])
    }
}

impl Cache {
    fn time(&self) -> usize {
        self.layers.first().map_or(0, |(k, _)| k.dims()[2])
    }

    /// → all keys and values of the layer.
    fn append(&mut self, layer: usize, k: Tensor<4>, v: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        if let Some((old_k, old_v)) = self.layers.get_mut(layer) {
            *old_k = Tensor::cat(vec![old_k.clone(), k], 2);
            *old_v = Tensor::cat(vec![old_v.clone(), v], 2);
        } else {
            self.layers.push((k, v));
        }
        self.layers[layer].clone()
    }
}

fn rms_norm(x: Tensor<2>, weight: &Tensor<2>) -> Tensor<2> {
    let r = x.clone().powi_scalar(2).mean_dim(1).add_scalar(1e-5).sqrt();
    x / r * weight.clone()
}

fn rope(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let (low, high) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
    let turned_low = low.clone() * cos.clone() - high.clone() * sin.clone();
    Tensor::cat(vec![turned_low, high * cos.clone() + low * sin.clone()], 3)
}
