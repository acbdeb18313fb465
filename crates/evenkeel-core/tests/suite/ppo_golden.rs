//! `golden/ppo.*.safetensors`: KL, rewards, GAE, whitening and the two clipped losses with their gradients, as PyTorch computes them.

use std::collections::HashMap;

use burn::tensor::{Device, Tensor};
use evenkeel_core::recipe::KlEstimator;
use evenkeel_core::train::forward::floats;
use evenkeel_core::train::maths::{gae, kl, policy_is_clipped, whiten};
use evenkeel_kernels::{ppo_policy_loss, ppo_value_loss};
use safetensors::SafeTensors;

use super::support::shared;

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

fn check(name: &str, estimator: KlEstimator, device: &Device) {
    let Some(golden) = Golden::read(name) else { return };
    let (mut advantages, mut returns_all) = (Vec::new(), Vec::new());
    for row in 0..golden.lengths.len() {
        let (old, reference) = (golden.row("old_logprobs", row), golden.row("ref_logprobs", row));
        let kls: Vec<f64> = old.iter().zip(&reference).map(|(&p, &r)| kl(estimator, p, r)).collect();
        assert_close("kl", &kls, &golden.row("kl", row));
        let mut rewards: Vec<f64> = kls.iter().map(|k| -KL_COEF * k).collect();
        *rewards.last_mut().unwrap() += f64::from(golden.arrays["scores"][row]);
        assert_close("rewards", &rewards, &golden.row("rewards", row));
        let (raw, returns) = gae(&rewards, &golden.row("values", row), GAMMA, LAM);
        assert_close("advantages_raw", &raw, &golden.row("advantages_raw", row));
        assert_close("returns", &returns, &golden.row("returns", row));
        advantages.extend(raw);
        returns_all.extend(returns);
    }
    whiten(&mut advantages, false);
    assert_close("advantages", &advantages, &golden.flat("advantages"));

    let autodiff = device.clone().autodiff();
    let tensor = |values: &[f64]| floats(&values.iter().map(|&v| v as f32).collect::<Vec<_>>(), device);
    let leaf = |name: &str| Tensor::from_inner(tensor(&golden.flat(name))).require_grad();
    let (new, predicted) = (leaf("new_logprobs"), leaf("value_preds"));
    let n = advantages.len() as f64;
    let old = tensor(&golden.flat("old_logprobs"));
    let ratio = (new.clone().inner() - old.clone()).exp();
    let policy = ppo_policy_loss(new.clone(), old, tensor(&advantages), CLIP);
    let value = ppo_value_loss(predicted.clone(), tensor(&golden.flat("values")), tensor(&returns_all), CLIP);
    let (policy, value) = (policy.sum() / n, value.sum() / n);
    assert_eq!(policy.device(), autodiff);
    let host = |t: Tensor<1>| t.inner().into_data().try_into_vec::<f32>().unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
    let one = |name: &str| vec![f64::from(golden.arrays[name][0])];
    assert_close("policy_loss", &host(policy.clone()), &one("policy_loss"));
    assert_close("value_loss", &host(value.clone()), &one("value_loss"));
    let clipped = host(ratio).iter().zip(&advantages).filter(|(r, a)| policy_is_clipped(**r, **a, CLIP)).count() as f64 / n;
    assert_close("clip_fraction", &[clipped], &one("clip_fraction"));
    let gradients = (policy + value * VF_COEF).backward();
    assert_close("grad.new_logprobs", &host(new.grad(&gradients).unwrap()), &golden.flat("grad.new_logprobs"));
    assert_close("grad.value_preds", &host(predicted.grad(&gradients).unwrap()), &golden.flat("grad.value_preds"));
}

#[test]
fn ppo_arrays_match_pytorch_with_k1() {
    check("ppo.k1.safetensors", KlEstimator::K1, &Device::flex());
}

#[test]
fn ppo_arrays_match_pytorch_with_k3() {
    check("ppo.k3.safetensors", KlEstimator::K3, &Device::flex());
}
