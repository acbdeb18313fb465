//! The inputs of whole transformer blocks, trained and through a cache; as `cases.rs`.

use burn::tensor::{Device, Tensor};
use evenkeel_kernels::{Block, Family, KeysValues, Positions, block_cached, stock};

use crate::block_cases::{EPS, turns};
use crate::cases::Maths;
use crate::common::{Numbers, Output, floats, ints, read};

fn llama(sizes: [usize; 5], bias: bool) -> Block {
    let [hidden_size, num_heads, num_kv_heads, head_dim, intermediate_size] = sizes;
    let family = Family::Llama { head_norms: false };
    Block {
        family,
        hidden_size,
        num_heads,
        num_kv_heads,
        head_dim,
        intermediate_size,
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: bias,
        eps: EPS,
    }
}

pub fn run_llama(sizes: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    run_block(sizes, llama([20, 6, 2, 4, 23], false), 1.0, maths, device)
}

/// Scores of over 100, whose exponentials overflow unless the maximum is subtracted.
pub fn run_sharp_llama(sizes: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    run_block(sizes, llama([20, 6, 2, 4, 23], false), 25.0, maths, device)
}

/// Sizes at which nothing needs padding, and every bias.
pub fn run_dense_llama(sizes: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    let block = llama([64, 4, 2, 32, 64], true);
    assert!(block.places().dense);
    run_block(sizes, block, 1.0, maths, device)
}

/// Keys and values in half precision.
pub fn run_half_llama(sizes: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    vec![cached(&Tokens::new(sizes, llama([20, 6, 2, 6, 23], false), 1.0, device), true, maths)]
}

pub fn run_half_dense_llama(sizes: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    vec![cached(&Tokens::new(sizes, llama([64, 4, 2, 32, 64], true), 1.0, device), true, maths)]
}

pub fn run_qwen3(sizes: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    run_block(sizes, Block { family: Family::Llama { head_norms: true }, ..llama([20, 6, 2, 4, 23], false) }, 1.0, maths, device)
}

pub fn run_gpt2(sizes: [usize; 3], maths: Maths, device: &Device) -> Vec<Output> {
    run_block(sizes, Block { family: Family::Gpt2, ..llama([15, 3, 3, 5, 29], true) }, 1.0, maths, device)
}

/// Tokens before a block: two documents in every row.
struct Tokens {
    sizes: [usize; 3],
    block: Block,
    x: Tensor<2>,
    weights: Tensor<1>,
    turns: Tensor<2>,
    dy: Tensor<2>,
}

impl Tokens {
    /// `sharpness` multiplies the weights of queries and keys.
    fn new(sizes: [usize; 3], block: Block, sharpness: f32, device: &Device) -> Self {
        let ([b, t, _], device) = (sizes, device.clone().autodiff());
        let (d, places) = (block.hidden_size, block.places());
        let mut numbers = Numbers::new(18);
        let x = floats(&numbers.many(b * t * d, 1.0), [b * t, d], &device).require_grad();
        let mut weights = numbers.many(places.len, 0.4);
        let sharpened = (block.num_heads + block.num_kv_heads) * block.head_dim * d;
        weights[places.qkv.weight..][..sharpened].iter_mut().for_each(|x| *x *= sharpness);
        let weights = floats(&weights, [places.len], &device).require_grad();
        // The last token's position is the first.
        let turns = turns(&mut numbers, b * t, block.head_dim, &device).flip([0]);
        let dy = floats(&numbers.many(b * t * d, 1.0), [b * t, d], &device);
        Self { sizes, block, x, weights, turns, dy }
    }

    fn positions(&self, columns: std::ops::Range<usize>) -> Positions {
        let ([b, t, _], device) = (self.sizes, self.x.device());
        let each = |f: &dyn Fn(usize) -> i32| -> Vec<i32> { (0..b).flat_map(|_| columns.clone().map(f)).collect() };
        let at = ints(&(0..b * t).map(|token| (b * t - 1 - token) as i32).collect::<Vec<_>>(), [b, t], &device);
        Positions {
            turns: self.turns.clone(),
            at: at.narrow(1, columns.start, columns.len()),
            first: ints(&each(&|i| if i >= 2 { 2 } else { 0 }), [b, columns.len()], &device),
            last: ints(&each(&|i| i as i32), [b, columns.len()], &device),
        }
    }

    fn through(&self, maths: Maths, recompute: bool) -> Tensor<2> {
        let positions = self.positions(0..self.sizes[1]);
        match maths {
            Maths::Ours => evenkeel_kernels::block(self.x.clone(), self.weights.clone(), &positions, &self.block, recompute),
            Maths::Stock => stock::block(self.x.clone(), self.weights.clone(), &positions, &self.block),
        }
    }
}

/// The tokens through a cache: some at once, two after them, the rest one by one. Without one in stock maths.
fn cached(tokens: &Tokens, half: bool, maths: Maths) -> Output {
    let Tokens { sizes: [b, t, split], block, x, weights, .. } = tokens;
    let (b, t, split) = (*b, *t, *split);
    if maths == Maths::Stock {
        return Output { name: "cached", values: read(tokens.through(maths, false)) };
    }
    let mut cache = Some(KeysValues::zeros([b, t + 1, block.num_kv_heads, block.head_dim], half, &x.device().inner()));
    let mut part = |columns: std::ops::Range<usize>| {
        let rows = x
            .clone()
            .reshape([b, t, block.hidden_size])
            .narrow(1, columns.start, columns.len())
            .reshape([b * columns.len(), block.hidden_size]);
        let (positions, start, columns) = (tokens.positions(columns.clone()), columns.start, columns.len());
        let (y, kept) = block_cached(rows, weights.clone(), &positions, cache.take().expect("given back"), start, block);
        cache = Some(kept);
        y.reshape([b, columns, block.hidden_size])
    };
    let mut parts = vec![part(0..split), part(split..split + 2)];
    parts.extend((split + 2..t).map(|column| part(column..column + 1)));
    Output { name: "cached", values: read(Tensor::cat(parts, 1)) }
}

/// Gradients kept and computed again, and the same tokens through a cache.
fn run_block(sizes: [usize; 3], block: Block, sharpness: f32, maths: Maths, device: &Device) -> Vec<Output> {
    let tokens = Tokens::new(sizes, block, sharpness, device);
    let run = |recompute: bool| {
        let y = tokens.through(maths, recompute);
        let grads = (y.clone() * tokens.dy.clone()).sum().backward();
        [read(y), read(tokens.x.grad(&grads).expect("a gradient")), read(tokens.weights.grad(&grads).expect("a gradient"))]
    };
    let [y, dx, dweights] = run(false);
    assert!(run(true) == [y.clone(), dx.clone(), dweights.clone()], "computed again, the gradients are others");
    let named = [("y", y), ("dx", dx), ("dweights", dweights)];
    named.into_iter().map(|(name, values)| Output { name, values }).chain([cached(&tokens, false, maths)]).collect()
}
