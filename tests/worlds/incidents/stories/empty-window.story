+++
kind = "index into nothing"
language = "Rust"
place = "src/window.rs:14"
log = '''
{at}  INFO telemetry: GET /mean?sensor=3 200 1ms
{at}  INFO telemetry: GET /mean?sensor=4 200 1ms
thread 'tokio-runtime-worker' panicked at src/window.rs:14:33:
index out of bounds: the len is 0 but the index is 0
stack backtrace:
   0: rust_begin_unwind
   1: core::panicking::panic_fmt
   2: core::panicking::panic_bounds_check
   3: telemetry::window::Window::drift
             at ./src/window.rs:14:33
   4: telemetry::routes::mean
             at ./src/routes.rs:9:5
{at} ERROR telemetry: GET /drift?sensor=9 500 1ms
{at}  INFO telemetry: GET /mean?sensor=3 200 1ms
'''

[alert]
alertname = "HighErrorRate"
summary = "telemetry answers 8 % of requests with 500"
+++
%% commit Ada: Say how far a sensor drifts
%% file Cargo.toml
[package]
name = "telemetry"
version = "0.3.0"
edition = "2021"
%% file src/window.rs
//! The newest samples of one sensor.

pub struct Window {
    samples: Vec<f64>,
}

impl Window {
    pub fn new(samples: Vec<f64>) -> Self {
        Self { samples }
    }

    /// Returns how far the newest sample is from the first.
    pub fn drift(&self) -> f64 {
        let first = self.samples.first().copied().unwrap_or(0.0);
        let last = self.samples.last().copied().unwrap_or(first);
        last - first
    }
}
%% file src/routes.rs
use crate::window::Window;

pub fn drift(samples: Vec<f64>) -> f64 {
    Window::new(samples).drift()
}

pub fn mean(samples: Vec<f64>) -> f64 {
    samples.iter().sum::<f64>() / samples.len().max(1) as f64
}
%% commit Cy: Say what the service is
%% file README.md
# Telemetry

Says what sensors say.
%% culprit Bo: Read the first sample directly
%% edit src/window.rs
        let first = self.samples.first().copied().unwrap_or(0.0);
%% to
        let first = self.samples[0];
%% commit Ada: Publish 0.4
%% edit Cargo.toml
version = "0.3.0"
%% to
version = "0.4.0"
