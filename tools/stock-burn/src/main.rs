//! The native shell of [`Bench`]: commands from standard input, answers to standard output, see Cargo.toml.

use std::process::ExitCode;
use std::time::Instant;

use stock_burn::Bench;

fn main() -> ExitCode {
    let start = Instant::now();
    pollster::block_on(async {
        let mut bench = match Bench::new(move || start.elapsed().as_secs_f64() * 1e3).await {
            Ok(bench) => bench,
            Err(problem) => {
                eprintln!("no device: {problem}");
                return ExitCode::FAILURE;
            }
        };
        for line in std::io::stdin().lines().map_while(Result::ok).take_while(|line| line.trim() != "quit") {
            println!("{}", bench.answer(&line).await);
        }
        ExitCode::SUCCESS
    })
}
