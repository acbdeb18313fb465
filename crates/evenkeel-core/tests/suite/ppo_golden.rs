//! `golden/ppo.*.safetensors`: KL, rewards, GAE, whitening and the two clipped losses with their gradients, as PyTorch computes them.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use evenkeel_core::train::forward::floats;
use evenkeel_core::train::maths::policy_is_clipped;
use evenkeel_kernels::{Kl, Responses, gae, ppo_policy_loss, ppo_value_loss, rewards, whiten};
use safetensors::SafeTensors;

use super::support::{devices, shared};

/// The proof's bound for PPO's arrays.
const TOLERANCE: f64 = 1e-5;
const KL_COEF: f64 = 0.05;
const GAMMA: f64 = 0.98;
const LAM: f64 = 0.95;
const CLIP: f64 = 0.2;
const VF_COEF: f64 = 0.1;

struct Golden {
    arrays: HashMap<String, Vec<f32>>,
    lengths: Vec<usize>,
    width: usize,
}

impl Golden {
    fn read(name: &str) -> Option<Self> {
        let bytes = std::fs::read(shared("ppo golden")?.join("golden").join(name)).expect("the golden file is there");
        let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let lengths = tensors.tensor("lengths").unwrap();
        let lengths = lengths.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize).collect();
        let width = tensors.tensor("values").unwrap().shape()[1];
        let floats = |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        let arrays = tensors.tensors().into_iter().filter(|(n, _)| n != "lengths").map(|(n, v)| (n, floats(v.data()))).collect();
        Some(Self { arrays, lengths, width })
    }

    /// The real tokens of row `row`.
    fn row(&self, name: &str, row: usize) -> Vec<f64> {
        self.arrays[name][row * self.width..][..self.lengths[row]].iter().map(|&v| f64::from(v)).collect()
    }

    fn flat(&self, name: &str) -> Vec<f64> {
        (0..self.lengths.len()).flat_map(|r| self.row(name, r)).collect()
    }
}

fn assert_close(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= TOLERANCE * (1.0 + w.abs()), "{what}[{i}]: {g}, want {w}");
    }
}

fn check(name: &str, estimator: Kl, device: &Device) {
    let Some(golden) = Golden::read(name) else { return };
    let tensor = |values: &[f64]| floats(&values.iter().map(|&v| v as f32).collect::<Vec<_>>(), device);
    let host = |t: Tensor<1>| t.inner().into_data().try_into_vec::<f32>().unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
    let of = |name: &str| tensor(&golden.flat(name));
    let responses = Responses::new(&golden.lengths, &golden.lengths, device);
    let scores = floats(&golden.arrays["scores"], device);
    let (kl, rewards) = rewards(of("old_logprobs"), of("ref_logprobs"), scores, &responses, estimator, KL_COEF);
    let (raw, returns) = gae(rewards.clone(), of("values"), &responses, GAMMA, LAM);
    let advantages = whiten(raw.clone(), false);
    for (name, got) in [("kl", kl), ("rewards", rewards), ("advantages_raw", raw), ("returns", returns.clone())] {
        assert_close(name, &host(got), &golden.flat(name));
    }
    assert_close("advantages", &host(advantages.clone()), &golden.flat("advantages"));

    let autodiff = device.clone().autodiff();
    let leaf = |name: &str| Tensor::from_inner(of(name)).require_grad();
    let (new, predicted) = (leaf("new_logprobs"), leaf("value_preds"));
    let n = advantages.dims()[0] as f64;
    let old = of("old_logprobs");
    let ratio = (new.clone().inner() - old.clone()).exp();
    let policy = ppo_policy_loss(new.clone(), old, advantages.clone(), CLIP);
    let value = ppo_value_loss(predicted.clone(), of("values"), returns, CLIP);
    let (policy, value) = (policy.sum() / n, value.sum() / n);
    assert_eq!(policy.device(), autodiff);
    let one = |name: &str| vec![f64::from(golden.arrays[name][0])];
    assert_close("policy_loss", &host(policy.clone()), &one("policy_loss"));
    assert_close("value_loss", &host(value.clone()), &one("value_loss"));
    let clipped = host(ratio).iter().zip(&host(advantages)).filter(|(r, a)| policy_is_clipped(**r, **a, CLIP)).count() as f64 / n;
    assert_close("clip_fraction", &[clipped], &one("clip_fraction"));
    let gradients = (policy + value * VF_COEF).backward();
    assert_close("grad.new_logprobs", &host(new.grad(&gradients).unwrap()), &golden.flat("grad.new_logprobs"));
    assert_close("grad.value_preds", &host(predicted.grad(&gradients).unwrap()), &golden.flat("grad.value_preds"));
}

#[test]
fn ppo_arrays_match_pytorch_with_k1() {
    for (_, device) in devices("ppo_arrays_match_pytorch_with_k1") {
        check("ppo.k1.safetensors", Kl::K1, &device);
    }
}

#[test]
fn ppo_arrays_match_pytorch_with_k3() {
    for (_, device) in devices("ppo_arrays_match_pytorch_with_k3") {
        check("ppo.k3.safetensors", Kl::K3, &device);
    }
}
