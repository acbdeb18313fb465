//! From log-probabilities, scores and values to PPO's targets, without a readback and without a gradient: targets are constants.
//! Twin: `reference/advantage.rs`.
//!
//! B responses, N tokens, M steps (one more than tokens in a response whose score stands past its last token).

use burn::backend::Dispatch;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::backend::Untracked;
pub use crate::reference::advantage::Kl;
use crate::shapes::check;

/// Where the tokens and the steps of each response lie in the vectors of all.
#[derive(Clone, Debug)]
pub struct Responses {
    /// Of tokens, then of steps `[2,B+1]`.
    begins: Tensor<2, Int>,
    tokens: usize,
    steps: usize,
}

impl Responses {
    /// Tokens and steps of each response.
    ///
    /// # Panics
    /// When there is no response, one without a token, or one with another number of steps than its tokens or one more.
    pub fn new(tokens: &[usize], steps: &[usize], device: &Device) -> Self {
        let fits = tokens.iter().zip(steps).all(|(&tokens, &steps)| tokens > 0 && (tokens..=tokens + 1).contains(&steps));
        assert!(fits && !tokens.is_empty() && tokens.len() == steps.len(), "responses: {tokens:?} tokens, {steps:?} steps");
        let mut begins = Vec::with_capacity(2 * (tokens.len() + 1));
        for lengths in [tokens, steps] {
            let mut next = 0;
            begins.push(0);
            begins.extend(lengths.iter().map(|&length| {
                next += length as i32;
                next
            }));
        }
        let begins = Tensor::from_data(TensorData::new(begins, [2, tokens.len() + 1]), device);
        Self { begins: begins.inner(), tokens: tokens.iter().sum(), steps: steps.iter().sum() }
    }
}

/// KL of every token to the reference `[N]`, and the reward of every step `[M]`: −β KL, plus the score on a response's last step.
///
/// logprobs and ref_logprobs `[N]`, scores `[B]`
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Ouyang et al. 2022 (InstructGPT), equation 2; and see [`Kl`].
pub fn rewards(
    logprobs: Tensor<1>,
    ref_logprobs: Tensor<1>,
    scores: Tensor<1>,
    responses: &Responses,
    kl: Kl,
    beta: f64,
) -> (Tensor<1>, Tensor<1>) {
    check("rewards", "logprobs", &logprobs, [("N", responses.tokens)]);
    check("rewards", "ref_logprobs", &ref_logprobs, [("N", responses.tokens)]);
    check("rewards", "scores", &scores, [("B", responses.begins.dims()[1] - 1)]);
    let [logprobs, ref_logprobs, scores] = [logprobs, ref_logprobs, scores].map(|x| x.inner().into_dispatch());
    let begins = responses.begins.clone().into_dispatch();
    let (kl, rewards) = Dispatch::rewards(logprobs, ref_logprobs, scores, begins, responses.steps, kl, beta as f32);
    (Tensor::from_dispatch(kl), Tensor::from_dispatch(rewards))
}

/// Generalised advantage estimation: the advantages of all tokens `[N]` and the returns (advantage + value) of all steps `[M]`.
///
/// δ_t = r_t + γ V_(t+1) − V_t; A_t = δ_t + γλ A_(t+1); V past the end of a response is 0.  rewards and values `[M]`
///
/// # Panics
/// When a dimension disagrees.
///
/// Source: Schulman et al. 2016, equations 16 to 18.
pub fn gae(rewards: Tensor<1>, values: Tensor<1>, responses: &Responses, gamma: f64, lambda: f64) -> (Tensor<1>, Tensor<1>) {
    check("gae", "rewards", &rewards, [("M", responses.steps)]);
    check("gae", "values", &values, [("M", responses.steps)]);
    let [rewards, values] = [rewards, values].map(|x| x.inner().into_dispatch());
    let begins = responses.begins.clone().into_dispatch();
    let (advantages, returns) = Dispatch::gae(rewards, values, begins, responses.tokens, gamma as f32, lambda as f32);
    (Tensor::from_dispatch(advantages), Tensor::from_dispatch(returns))
}

/// To unit variance (unbiased, ε 1e-8), and to zero mean unless `keep_mean`; a single number stays as it is.  x `[N]` → `[N]`
///
/// Source: TRL's `masked_whiten`, over the real tokens alone.
pub fn whiten(x: Tensor<1>, keep_mean: bool) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::whiten(x.inner().into_dispatch(), keep_mean))
}
