//! What no gradient goes through: the optimiser, sampling, advantages, ceilings.

use burn::backend::Scalar;
use burn::backend::ops::IntTensorOps;
use burn::backend::wgpu::{CubeBackend, CubeTensor};
use burn::tensor::Shape;

use super::{ITEM_LANES, MOST_LANES, empty, floats, ints, launch_words, own, row_lanes};
use crate::backend::{RawKernels, Untracked};
use crate::block::{Block, Operands, forward_cached, forward_cached_half};
use crate::launch::{
    ADVANTAGE_GAE, ADVANTAGE_REWARDS, ADVANTAGE_WHITEN, CEILING_COPY, CEILING_FMA, OPTIM_ADAMW, OPTIM_CLIP, OPTIM_SUM_SQUARES,
    SAMPLING_DRAW, SAMPLING_THRESHOLD, Specialised, launch, width,
};
use crate::optim::{MOST_BOUND, TOGETHER, square_parts};
use crate::reference::advantage::Kl;
use crate::reference::optim::Update;
use crate::reference::sampling::{ROW, Settings};

impl Untracked for CubeBackend {
    fn copy(x: CubeTensor) -> CubeTensor {
        let x = floats(x);
        let numbers = x.meta.num_elements();
        let out = empty(&x, [numbers]);
        launch_words(&CEILING_COPY, width(&[numbers]), &[], &[&x, &out], numbers, &[]);
        out
    }

    fn fma(x: CubeTensor, rounds: usize, s: f32, t: f32) -> CubeTensor {
        let x = floats(x);
        let numbers = x.meta.num_elements();
        let out = empty(&x, [numbers]);
        launch_words(&CEILING_FMA, width(&[numbers]), &[], &[&x, &out], numbers, &[rounds as u32, s.to_bits(), t.to_bits()]);
        out
    }

    fn adamw(
        param: CubeTensor,
        grad: CubeTensor,
        m: CubeTensor,
        v: CubeTensor,
        clip: CubeTensor,
        rates: CubeTensor,
        update: Update,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [grad, clip, rates] = [grad, clip, rates].map(floats);
        let [param, m, v] = [param, m, v].map(own);
        let Update { decayed, beta1, one_minus_beta1, beta2, one_minus_beta2, eps } = update;
        let numbers = [beta1, one_minus_beta1, beta2, one_minus_beta2, eps].map(f32::to_bits);
        let total = param.meta.num_elements();
        for start in (0..total).step_by(MOST_BOUND) {
            let count = MOST_BOUND.min(total - start);
            let [param, grad, m, v] = [&param, &grad, &m, &v].map(|x| Self::view(x, start, Shape::new([count])));
            let decayed = decayed.saturating_sub(start);
            let width = width(&[count, decayed]);
            let rest = [&[(decayed / width) as u32], numbers.as_slice()].concat();
            launch_words(&OPTIM_ADAMW, width, &[], &[&param, &grad, &m, &v, &clip, &rates], count, &rest);
        }
        (param, m, v)
    }

    fn sum_squares(
        a: CubeTensor,
        b: CubeTensor,
        c: CubeTensor,
        d: CubeTensor,
        e: CubeTensor,
        f: CubeTensor,
        count: usize,
        partial: CubeTensor,
        mut at: usize,
    ) -> CubeTensor {
        let (tensors, partial) = ([a, b, c, d, e, f].map(floats), own(partial));
        let bindings = |x: &CubeTensor| {
            let (x, total) = (x.clone(), x.meta.num_elements());
            (0..total).step_by(MOST_BOUND).map(move |start| Self::view(&x, start, Shape::new([MOST_BOUND.min(total - start)])))
        };
        let all: Vec<CubeTensor> = tensors[..count].iter().flat_map(bindings).collect();
        for some in all.chunks(TOGETHER) {
            let numbers: Vec<usize> = some.iter().map(|x| x.meta.num_elements()).collect();
            let (width, mut groups) = (width(&numbers), 0);
            let (mut ends, mut words) = ([0; TOGETHER], [0; TOGETHER]);
            for (i, &numbers) in numbers.iter().enumerate() {
                groups += square_parts(numbers);
                (ends[i], words[i]) = (groups as u32, (numbers / width) as u32);
            }
            // A binding of its own for each that there is not: one buffer must not be bound twice.
            let none: Vec<CubeTensor> = (some.len()..TOGETHER).map(|_| empty(&partial, [width])).collect();
            let tensors: Vec<&CubeTensor> = some.iter().chain(&none).chain([&partial]).collect();
            let kernel = Specialised::new(&OPTIM_SUM_SQUARES, &[("WG", MOST_LANES)]).with_words_of(width);
            launch(kernel, groups, &tensors, &[[at as u32].as_slice(), &ends, &words].concat());
            at += groups;
        }
        partial
    }

    fn clip(partial: CubeTensor, last: CubeTensor, max_norm: f32) -> CubeTensor {
        let [partial, last] = [partial, last].map(floats);
        let clip = empty(&partial, [2]);
        let kernel = Specialised::new(&OPTIM_CLIP, &[("WG", MOST_LANES)]);
        launch(kernel, 1, &[&partial, &last, &clip], &[partial.meta.num_elements() as u32, max_norm.to_bits()]);
        clip
    }

    fn rewards(
        logprobs: CubeTensor,
        ref_logprobs: CubeTensor,
        scores: CubeTensor,
        begins: CubeTensor,
        m: usize,
        kl: Kl,
        beta: f32,
    ) -> (CubeTensor, CubeTensor) {
        let ([logprobs, ref_logprobs, scores], begins) = ([logprobs, ref_logprobs, scores].map(floats), ints(begins));
        let (n, b) = (logprobs.meta.num_elements(), scores.meta.num_elements());
        let (kls, rewards) = (empty(&logprobs, [n]), empty(&logprobs, [m]));
        let kernel = Specialised::new(&ADVANTAGE_REWARDS, &[("WG", ITEM_LANES), ("KL", kl as u32)]);
        launch(kernel, b, &[&logprobs, &ref_logprobs, &scores, &begins, &kls, &rewards], &[b as u32, beta.to_bits()]);
        (kls, rewards)
    }

    fn gae(rewards: CubeTensor, values: CubeTensor, begins: CubeTensor, n: usize, gamma: f32, lambda: f32) -> (CubeTensor, CubeTensor) {
        let ([rewards, values], begins) = ([rewards, values].map(floats), ints(begins));
        let [_, ends] = begins.meta.shape().dims();
        let (advantages, returns) = (empty(&rewards, [n]), empty(&rewards, [rewards.meta.num_elements()]));
        let kernel = Specialised::new(&ADVANTAGE_GAE, &[("WG", ITEM_LANES)]);
        let params = [(ends - 1) as u32, gamma.to_bits(), lambda.to_bits()];
        launch(kernel, (ends - 1).div_ceil(ITEM_LANES as usize), &[&rewards, &values, &begins, &advantages, &returns], &params);
        (advantages, returns)
    }

    fn whiten(x: CubeTensor, keep_mean: bool) -> CubeTensor {
        let x = floats(x);
        let n = x.meta.num_elements();
        let out = empty(&x, [n]);
        let kernel = Specialised::new(&ADVANTAGE_WHITEN, &[("WG", MOST_LANES), ("KEEP_MEAN", u32::from(keep_mean))]);
        launch(kernel, 1, &[&x, &out], &[n as u32]);
        out
    }

    fn block_cached(
        x: CubeTensor,
        weights: CubeTensor,
        turns: CubeTensor,
        positions: CubeTensor,
        first: CubeTensor,
        last: CubeTensor,
        keys: CubeTensor,
        values: CubeTensor,
        start: usize,
        block: Block,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let operands = Operands { weights, angles: (turns, positions), first, last, block };
        forward_cached::<Self>(x, &operands, [keys, values], start)
    }

    fn block_cached_half(
        x: CubeTensor,
        weights: CubeTensor,
        turns: CubeTensor,
        positions: CubeTensor,
        first: CubeTensor,
        last: CubeTensor,
        keys: CubeTensor,
        values: CubeTensor,
        start: usize,
        block: Block,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let operands = Operands { weights, angles: (turns, positions), first, last, block };
        forward_cached_half::<Self>(x, &operands, [keys, values], start)
    }

    fn draw(
        logits: CubeTensor,
        facts: CubeTensor,
        seen: CubeTensor,
        tokens: CubeTensor,
        ids: CubeTensor,
        positions: CubeTensor,
        begins: CubeTensor,
        step: usize,
        settings: Settings,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        let logits = floats(logits);
        let [facts, seen, tokens, ids, positions, begins] = [facts, seen, tokens, ids, positions, begins].map(own_ints);
        let [b, v] = logits.meta.shape().dims();
        let [_, most] = tokens.meta.shape().dims();
        let stops = facts.meta.num_elements() - ROW * b;
        let Settings { samples, top_k, top_p, min_p, inv_temperature, penalty, context } = settings;
        let penalises = u32::from(settings.penalises());
        let wg = [("WG", row_lanes(v))];
        if settings.has_threshold() {
            let bits = [top_p, penalty, min_p].map(f32::to_bits);
            let params = [&[b as u32, v as u32, penalises, inv_temperature.to_bits(), top_k as u32], bits.as_slice()].concat();
            launch(Specialised::new(&SAMPLING_THRESHOLD, &wg), b, &[&logits, &seen, &facts], &params);
        }
        let sizes = [b, v, most, step, context, stops].map(|x| x as u32);
        let rest = [u32::from(samples), penalises, inv_temperature.to_bits(), penalty.to_bits()];
        let bindings = [&logits, &seen, &facts, &tokens, &ids, &positions, &begins];
        launch(Specialised::new(&SAMPLING_DRAW, &wg), b, &bindings, &[sizes.as_slice(), &rest].concat());
        (facts, seen, tokens, ids, positions, begins)
    }
}

/// Integers that may be written, as [`own`].
pub(super) fn own_ints(tensor: CubeTensor) -> CubeTensor {
    let tensor = ints(tensor);
    if tensor.handle.can_mut() { tensor } else { CubeBackend::int_mul_scalar(tensor, Scalar::Int(1)) }
}
