//! Guards seen to fail: what each guards is broken in a copy of the commit, and its test must notice.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{cache, command};

/// A guard, what is broken, and the test that must fail then.
struct Break {
    guard: &'static str,
    file: &'static str,
    find: &'static str,
    replace: &'static str,
    /// Package, and the test's name or a part of it.
    test: [&'static str; 2],
}

const CORE: &str = "evenkeel-core";
const CLI: &str = "evenkeel-cli";
const KERNELS: &str = "evenkeel-kernels";

const BREAKS: &[Break] = &[
    Break {
        guard: "checksums of a checkpoint",
        file: "crates/evenkeel-core/src/train/state.rs",
        find: "if digest(&mut place, name).await? != sum {",
        replace: "if digest(&mut place, name).await? == \"\" {",
        test: [CORE, "a_broken_checkpoint_is_passed_over_for_the_one_before"],
    },
    Break {
        guard: "a resumed run is bit-identical",
        file: "crates/evenkeel-core/src/train/state.rs",
        find: "tensors.add(params, &optimizer.second, called(second));",
        replace: "tensors.add(params, &optimizer.first, called(second));",
        test: [CORE, "sft_is_whole_wherever_it_is_cut"],
    },
    Break {
        guard: "LATEST moves after the checkpoint is durable",
        file: "crates/evenkeel-core/src/train/run.rs",
        find: "        store.write(&state::folder(step), checkpoint).await?;\n        store.write_folder(state::LATEST, &state::latest(at)).await?;",
        replace: "        store.write_folder(state::LATEST, &state::latest(at)).await?;\n        store.write(&state::folder(step), checkpoint).await?;",
        test: [CORE, "resume::"],
    },
    Break {
        guard: "crash drill",
        file: "crates/evenkeel-cli/src/cmd/train.rs",
        find: "event_log::rewind(path, standing.step.unwrap_or(0))?;",
        replace: "event_log::rewind(path, u64::MAX)?;",
        test: [CLI, "killed_runs_end_as_undisturbed_ones"],
    },
    Break {
        guard: "one process writes a run",
        file: "crates/evenkeel-cli/src/run_folder.rs",
        find: "        Ok(()) => Ok(open),\n",
        replace: "        Ok(()) | Err(TryLockError::WouldBlock) if path.exists() => Ok(open),\n        Ok(()) => Ok(open),\n",
        test: [CLI, "a_used_folder_is_refused_and_a_run_is_reopened"],
    },
    Break {
        guard: "a full disk leaves nothing half-written",
        file: "crates/evenkeel-cli/src/files.rs",
        find: "    sweep(parent(path));\n    written\n",
        replace: "    written\n",
        test: [CLI, "a_write_that_fails_leaves_what_was_there_and_nothing_of_itself"],
    },
    Break {
        guard: "a gradient that is not finite changes nothing",
        file: "shaders/optim/adamw.wgsl",
        find: "if scale < 0.0 { return; }",
        replace: "if scale < -2.0 { return; }",
        test: [CORE, "the_row_is_named_and_the_state_before_it_kept"],
    },
    Break {
        guard: "reference weights are as they were",
        file: "crates/evenkeel-core/src/train/dpo.rs",
        find: "if self.reference.digest().await? == self.reference_digest {",
        replace: "if !self.reference_digest.is_empty() {",
        test: [CORE, "a_reference_that_changed_is_told"],
    },
    Break {
        guard: "selfcheck",
        file: "crates/evenkeel-kernels/src/selfcheck.rs",
        find: "self.error <= 1.0",
        replace: "self.error >= 0.0",
        test: [CORE, "a_device_that_is_wrong_fails_the_selfcheck"],
    },
    Break {
        guard: "estimate of memory",
        file: "crates/evenkeel-core/src/estimate.rs",
        find: "const BACK_COPIES: u64 = 2;",
        replace: "const BACK_COPIES: u64 = 8;",
        test: [CLI, "the_estimate_is_the_peak"],
    },
    Break {
        guard: "tensors over the device's limit are refused",
        file: "crates/evenkeel-core/src/estimate.rs",
        find: "Room { tensor: Some(most), .. } if tensor > most =>",
        replace: "Room { tensor: Some(most), .. } if tensor > most.saturating_mul(1 << 20) =>",
        test: [CORE, "a_tensor_that_no_kernel_can_be_given_is_refused_with_its_size"],
    },
    Break {
        guard: "length of a submission",
        file: "crates/evenkeel-kernels/src/pace.rs",
        find: "const AIM: Duration = Duration::from_millis(50);",
        replace: "const AIM: Duration = Duration::from_millis(5000);",
        test: [KERNELS, "a_submission_holds_what_the_device_does_in_its_time"],
    },
    Break {
        guard: "a lost device ends in a sentence",
        file: "crates/evenkeel-core/src/model/mod.rs",
        find: "    Error::Device(innermost.unwrap_or(\"no reason given\").to_owned())",
        replace: "    panic!(\"{innermost:?}\")",
        test: [CLI, "a_lost_device_ends_the_run_and_leaves_what_it_can_go_on_from"],
    },
    Break {
        guard: "catalogue of malformed inputs",
        file: "crates/evenkeel-core/src/model/hf.rs",
        find: "name.contains(['/', '\\\\']) || **name == \"..\"",
        replace: "name.is_empty()",
        test: [CLI, "malformed::"],
    },
    Break {
        guard: "fuzzing",
        file: "crates/evenkeel-core/src/recipe/validate.rs",
        find: "    pub fn problems(&self) -> Vec<Problem> {\n",
        replace: "    pub fn problems(&self) -> Vec<Problem> {\n        assert!(self.training.learning_rate < 1e6);\n",
        test: [CORE, "mutated_inputs_are_survived"],
    },
    Break {
        guard: "soak",
        file: "crates/evenkeel-core/src/bench.rs",
        find: "        self.steps += 1;\n",
        replace: "        self.steps += 1;\n        std::mem::forget(vec![1u8; 1024]);\n",
        test: [CLI, "memory_stays_as_it_was_when_the_run_was_young"],
    },
];

/// Every break by itself. What was changed is put back; the copy is of the commit, not of the working tree.
pub fn are_noticed() -> Result<()> {
    let copy = cache::copy()?;
    let at = copy.to_str().context("the cache folder's name must be UTF-8")?;
    // What a run that was interrupted left.
    let _ = command::output("git", &["worktree", "remove", "--force", at]);
    command::run(&mut command::command("git", &["worktree", "add", "--detach", at, "HEAD"])?)?;
    let unnoticed: Vec<_> = BREAKS.iter().map(|one| Ok((one.guard, one.is_noticed(&copy)?))).collect::<Result<Vec<_>>>()?;
    command::run(&mut command::command("git", &["worktree", "remove", "--force", at])?)?;
    println!();
    unnoticed.iter().for_each(|(guard, noticed)| println!("{:<52} {}", guard, if *noticed { "fails" } else { "NOT NOTICED" }));
    let unnoticed: Vec<_> = unnoticed.iter().filter(|(_, noticed)| !noticed).map(|(guard, _)| *guard).collect();
    ensure!(unnoticed.is_empty(), "not noticed: {}", unnoticed.join(", "));
    Ok(())
}

impl Break {
    /// Whether its test fails where it is broken. That it passes where nothing is, CI says.
    fn is_noticed(&self, copy: &Path) -> Result<bool> {
        let file = copy.join(self.file);
        let sound = fs::read_to_string(&file).with_context(|| format!("cannot read {}", self.file))?;
        let matches = sound.matches(self.find).count();
        ensure!(matches == 1, "{}: what {} breaks is there {matches} times, not once", self.file, self.guard);
        let [package, test] = self.test;
        let build = ["test", "--release", "--package", package, "--no-run"];
        fs::write(&file, sound.replacen(self.find, self.replace, 1))?;
        // A break that does not compile would be noticed by the compiler, which guards nothing here.
        let built = command::run(command::command("cargo", &build)?.current_dir(copy));
        let args = ["test", "--release", "--package", package, "--", test];
        let noticed = built.and_then(|()| {
            let run = command::command("cargo", &args)?.current_dir(copy).env("EVENKEEL_GPU", "yes").output()?;
            let said = String::from_utf8_lossy(&run.stdout).into_owned();
            let failed = said.lines().any(|line| line.starts_with("test ") && line.contains(test) && line.ends_with("FAILED"));
            println!("{}: {test} {}", self.guard, if failed { "fails" } else { "does not fail" });
            Ok(failed)
        });
        fs::write(&file, sound)?;
        noticed
    }
}
