//! `report.html`: a run's curves and samples in one self-contained page.

pub mod charts;
pub mod demo;
pub mod page;
mod runs;

pub use demo::page_of_demo;
pub use runs::page_of_runs;
