//! A shader comes with a table entry, a twin, a defect that its test notices, a benchmark, and a row in `shaders/README.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use evenkeel_kernels::launch::KERNELS;

use crate::mutations::{
    ATTENTION_DEFECTS, ATTENTION_SUBGROUP_DEFECTS, BLOCK_DEFECTS, CACHE_DEFECTS, DECODE_DEFECTS, DECODE_SUBGROUP_DEFECTS, Defect,
    LOGPROB_DEFECTS, MATMUL_DEFECTS, MATMUL_SUBGROUP_DEFECTS, PANEL_DEFECTS, SAMPLING_DEFECTS,
};

fn shaders() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shaders")
}

/// Names of all `.wgsl` files: "family/function".
fn files() -> BTreeSet<String> {
    let families = fs::read_dir(shaders()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = families.flat_map(|family| fs::read_dir(family).unwrap()).map(|entry| entry.unwrap().path());
    let name = |path: PathBuf| {
        let family = path.parent()?.file_name()?.to_str()?.to_owned();
        Some(format!("{family}/{}", path.file_stem()?.to_str()?))
    };
    files.filter(|path| path.extension().is_some_and(|e| e == "wgsl")).filter_map(name).collect()
}

#[test]
fn every_shader_is_in_the_table() {
    let table: BTreeSet<_> = KERNELS.iter().map(|kernel| kernel.name.to_owned()).collect();
    assert_eq!(table, files());
}

#[test]
fn every_shader_has_a_twin() {
    for kernel in KERNELS {
        let (module, function) = kernel.twin.split_once("::").expect("module::function");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/reference/{module}.rs"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {}: {e}", kernel.name, path.display()));
        assert!(text.contains(&format!("pub fn {function}(")), "{}: no function {}", kernel.name, kernel.twin);
    }
}

#[test]
fn every_shader_has_a_defect_that_must_be_noticed() {
    let families = [
        ATTENTION_DEFECTS,
        ATTENTION_SUBGROUP_DEFECTS,
        LOGPROB_DEFECTS,
        BLOCK_DEFECTS,
        CACHE_DEFECTS,
        DECODE_DEFECTS,
        DECODE_SUBGROUP_DEFECTS,
        MATMUL_DEFECTS,
        MATMUL_SUBGROUP_DEFECTS,
        PANEL_DEFECTS,
        SAMPLING_DEFECTS,
    ];
    let defects: BTreeSet<_> = families.iter().flat_map(|family| family.iter()).map(Defect::kernel).collect();
    for kernel in KERNELS {
        assert!(defects.contains(kernel.name), "{}: no entry in tests/suite/mutations.rs", kernel.name);
    }
}

/// What in bench.rs times a family of shaders: a row by the name of a public function, or a side of every row.
fn timed_by(family: &str) -> String {
    let row = |function: &str| format!("self.row(\"{function}\"");
    match family {
        "activation" => row("swiglu"),
        "advantage" => row("gae"),
        "attention" => row("attention"),
        "cache" => row("block_cached"),
        "ceiling" => "ceiling::fma(".into(),
        "gather" => row("gather"),
        "logprob" => row("token_logprob"),
        "loss" => row("ppo_policy_loss"),
        "matmul" => row("linear"),
        "norm" => row("rms_norm"),
        "optim" => row("adamw"),
        "rope" => row("rope"),
        "sampling" => row("draw"),
        new => panic!("{new}: no row in bench.rs is known for this family"),
    }
}

#[test]
fn every_family_has_a_row_in_the_benchmark() {
    let bench = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench.rs")).unwrap();
    for kernel in KERNELS {
        let timed_by = timed_by(kernel.name.split('/').next().expect("family/function"));
        assert!(bench.contains(&timed_by), "{}: no row in bench.rs", kernel.name);
    }
}

#[test]
fn every_shader_has_a_row_in_the_readme() {
    let readme = fs::read_to_string(shaders().join("README.md")).unwrap();
    for kernel in KERNELS {
        assert!(readme.contains(&format!("| `{}`", kernel.name)), "{}: no row in shaders/README.md", kernel.name);
    }
}
